"""`zotpy access`: which rule of a configuration decides about one action of one caller."""

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from zotpy.auth.decision import Decision

ACTIONS = ("read", "create", "update", "delete", "detectManifestCollision")
_DESCRIPTION = """Say whether a caller may do something in a repository, and which rule of http.accessControl decides.

Without --user the caller is anonymous, somebody who has not logged in. The command knows the groups of
http.accessControl.groups. If the login gives the user other groups, name them with --group.

Conditions are evaluated with the current time, and with the values of --tag, --claim and --client. All other properties
of the request are empty. The value of --claim is JSON, such as true or ["a", "b"]; anything else is a string.

The command starts nothing and sends nothing.

exit codes: 0 allowed, 1 refused, 2 wrong arguments or configuration
"""


def add_access(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command."""
    raw = argparse.RawDescriptionHelpFormatter
    parser = commands.add_parser(
        "access", help="show which rule lets a user do something", description=_DESCRIPTION, formatter_class=raw
    )
    parser.add_argument("-c", "--config", type=Path, metavar="FILE", help="the configuration: YAML or JSON")
    parser.add_argument("--user", default="", metavar="U", help="the name of the user (default: an anonymous caller)")
    parser.add_argument(
        "--group", action="append", default=[], metavar="G", help="a group that the login gives the user; repeatable"
    )
    parser.add_argument("--repo", required=True, metavar="R", help="the name of the repository, such as team/app")
    parser.add_argument("--tag", metavar="T", help="the tag, for conditions and immutable tags")
    parser.add_argument(
        "--claim",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="a claim of the token, for conditions; repeatable",
    )
    parser.add_argument("--client", default="", metavar="IP", help="the address of the client, for conditions")
    parser.add_argument("--action", required=True, choices=ACTIONS, help="what the user wants to do")
    parser.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> int:
    from zotpy.auth.actions import Action  # noqa: PLC0415 - what `--help` does without
    from zotpy.auth.claims import Claims  # noqa: PLC0415
    from zotpy.auth.conditions import HOPED, Circumstances, Judge  # noqa: PLC0415
    from zotpy.auth.permission import Identity  # noqa: PLC0415
    from zotpy.auth.policy import Policies  # noqa: PLC0415
    from zotpy.auth.request_variables import Facts  # noqa: PLC0415
    from zotpy.config import ConfigError, load_settings  # noqa: PLC0415
    from zotpy.core.errors import NameInvalid  # noqa: PLC0415
    from zotpy.core.names import RepositoryName  # noqa: PLC0415

    try:
        name = RepositoryName.parse(options.repo).text
    except NameInvalid as error:
        raise ConfigError([f"--repo: {error.message}"]) from error
    if options.group and not options.user:
        raise ConfigError(["--group: an anonymous caller has no groups: name the user with --user"])
    settings = load_settings(options.config)
    who, what = options.user or "an anonymous caller", f"{options.action} in {name}"
    access = settings.http.access
    if access is None:
        is_allowed = bool(options.user) or not settings.auth.has_login
        _say(is_allowed, who, what, "the configuration has no http.accessControl, so only a login is needed, if any")
        return 0 if is_allowed else 1
    policies = Policies(access)
    identity = Identity(options.user, frozenset(options.group), claims=Claims(_claims(options.claim)))
    action, tag = Action(options.action), options.tag or ""
    judge: Circumstances = Judge(lambda: Facts(client=options.client))
    if action is Action.DETECT_COLLISION:  # conditions do not switch it off
        judge = HOPED
    decision = policies.decide(identity, action, name, tag, judge)
    is_fixed = action in {Action.UPDATE, Action.DELETE} and not policies.is_admin(identity, action, name, tag, judge)
    if tag and decision.is_allowed and is_fixed and policies.is_immutable(name, tag):
        where = f"http.accessControl.repositories[{decision.pattern}].immutableTags"
        _say(False, who, what, f"{tag} is immutable by {where}, and the adminPolicy does not grant it")  # noqa: FBT003 - the first word of the line
        return 1
    _say(decision.is_allowed, who, what, _reason(decision))
    return 0 if decision.is_allowed else 1


def _claims(given: list[str]) -> dict[str, object]:
    """Read the claims. Raises `ConfigError`."""
    from zotpy.config import ConfigError  # noqa: PLC0415 - what `--help` does without

    found: dict[str, object] = {}
    for each in given:
        name, equals, value = each.partition("=")
        if not name or not equals:
            raise ConfigError([f"--claim: {each!r} is not a claim: write NAME=VALUE"])
        try:
            found[name] = json.loads(value)
        except (ValueError, RecursionError):
            found[name] = value
    return found


def _reason(decision: "Decision") -> str:
    if decision.is_allowed:
        return decision.rule
    if decision.conditions:
        told = f' ("{decision.reason}")' if decision.reason else ""
        return f"{decision.conditions} grants it, but its conditions are not fulfilled{told}"
    if decision.pattern is None:
        return "no pattern of http.accessControl.repositories matches, and the adminPolicy does not grant it"
    return f"neither {decision.rule} nor the adminPolicy grants it"


def _say(is_allowed: bool, who: str, what: str, why: str) -> None:  # noqa: FBT001 - the first word of the line
    print(f"{'allowed' if is_allowed else 'refused'}: {who}: {what}: {why}")  # noqa: T201 - said to the person at the terminal
