"""What `accessControl` decides, and by which rule: zot's words, as zot reads them."""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.auth.rules import ALICE, ANONYMOUS, BOB, grant, policies
from zotpy.auth.actions import Action
from zotpy.auth.claims import Claims
from zotpy.auth.conditions import Condition, Judge, Unjudged
from zotpy.auth.decision import Decision, Grantor
from zotpy.auth.granted import Granted
from zotpy.auth.permission import Identity
from zotpy.auth.policy import ON_REPOSITORIES, REMEMBERED, Policies
from zotpy.auth.request_variables import Facts, Question
from zotpy.config.access import ACTIONS, read_access_control
from zotpy.config.errors import NestedProblems
from zotpy.core.names import RepositoryName, Tag
from zotpy.settings import AccessSettings

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

CAROL = Identity("carol", frozenset({"testers"}), "ldap")
ADMIN = Identity("root", kind="htpasswd")
CONTROL: dict[str, Any] = {
    "repositories": {
        "**": {"defaultPolicy": ["read"], "anonymousPolicy": ["read", "create"]},
        "prod/**": {
            "policies": [grant("create", users="bob"), grant("read create update", groups="builders testers")],
            "defaultPolicy": ["read"],
        },
        "prod/private/*": {"policies": [grant("read delete", users="alice")]},
    },
    "groups": {"builders": {"users": ["alice"]}},
    "adminPolicy": grant("read delete", users="root", groups="staff"),
}


def test_the_actions_of_the_configuration_are_those_of_policies() -> None:
    """The words that a file may use are the actions that a policy can grant."""
    assert set(ACTIONS) == {str(action) for action in (*ON_REPOSITORIES, Action.DETECT_COLLISION)}


@pytest.mark.parametrize(
    ("caller", "action", "name", "decided"),
    [
        # The longest pattern counts, and no other.
        (ALICE, "read", "other", (Grantor.DEFAULT, "**", None)),
        (ALICE, "read", "prod/app", (Grantor.POLICY, "prod/**", 1)),
        (ALICE, "delete", "prod/private/app", (Grantor.POLICY, "prod/private/*", 0)),
        (BOB, "read", "prod/private/app", (None, "prod/private/*", None)),
        (ALICE, "create", "prod/private/app", (None, "prod/private/*", None)),
        (ALICE, "read", "prod/private/app/deep", (Grantor.POLICY, "prod/**", 1)),
        (ALICE, "read", "prod", (Grantor.POLICY, "prod/**", 1)),
        # A user has what any policy, or the default, grants. The first that grants is named.
        (BOB, "create", "prod/app", (Grantor.POLICY, "prod/**", 0)),
        (BOB, "read", "prod/app", (Grantor.DEFAULT, "prod/**", None)),
        (BOB, "update", "prod/app", (None, "prod/**", None)),
        # Groups come from the configuration and from the login.
        (CAROL, "update", "prod/app", (Grantor.POLICY, "prod/**", 1)),
        # A user does not have what anonymous callers have, nor the other way round.
        (ANONYMOUS, "create", "other", (Grantor.ANONYMOUS, "**", None)),
        (ALICE, "create", "other", (None, "**", None)),
        (ANONYMOUS, "read", "prod/app", (None, "prod/**", None)),
        # The admin policy grants in every repository, and only what it lists.
        (ADMIN, "delete", "prod/private/app", (Grantor.ADMIN, "prod/private/*", None)),
        (Identity("dave", frozenset({"staff"})), "delete", "prod/app", (Grantor.ADMIN, "prod/**", None)),
        (ADMIN, "read", "prod/app", (Grantor.DEFAULT, "prod/**", None)),
        (ADMIN, "update", "prod/private/app", (None, "prod/private/*", None)),
    ],
)
def test_one_rule_decides(caller: Identity, action: str, name: str, decided: tuple[Any, ...]) -> None:
    """The decision names the rule that grants the action, or the pattern whose rules do not."""
    assert policies(**CONTROL).decide(caller, Action(action), name) == Decision(*decided)


@pytest.mark.parametrize("given", ACTIONS)
@pytest.mark.parametrize("asked", ACTIONS)
def test_no_action_implies_another(given: str, asked: str) -> None:
    """Each rule grants exactly the actions that it lists."""
    for words in (
        {"repositories": {"**": {"policies": [grant(given, users="alice")]}}},
        {"repositories": {"**": {"defaultPolicy": [given]}}},
        {"adminPolicy": grant(given, users="alice")},
    ):
        assert policies(**words).decide(ALICE, Action(asked), "app").is_allowed is (given == asked)
    rules = policies(repositories={"**": {"anonymousPolicy": [given]}})
    assert rules.decide(ANONYMOUS, Action(asked), "app").is_allowed is (given == asked)


@pytest.mark.parametrize("caller", [ALICE, ANONYMOUS])
@pytest.mark.parametrize("action", sorted(ON_REPOSITORIES))
def test_a_repository_that_no_pattern_matches_is_closed(caller: Identity, action: Action) -> None:
    """Nobody but the admin may do anything there."""
    rules = policies(repositories={"team/*": {"defaultPolicy": list(ACTIONS), "anonymousPolicy": list(ACTIONS)}})
    assert rules.decide(caller, action, "other/app") == Decision(None, None)
    assert rules.decide(caller, action, "team/app/deep") == Decision(None, None)
    assert rules.decide(caller, action, "team/app").is_allowed


def test_a_star_among_users_is_a_user() -> None:
    """It is no wildcard, as in zot: only a user of that name has what it grants."""
    rules = policies(repositories={"**": {"policies": [grant("read", users="*")]}})
    assert not rules.decide(ALICE, Action.READ, "app").is_allowed
    assert rules.decide(Identity("*"), Action.READ, "app").is_allowed


def test_an_empty_name_is_no_user() -> None:
    """A caller without a name gets nothing of what policies and the admin policy grant, whatever groups say."""
    rules = policies(**CONTROL)
    nameless = Identity("", frozenset({"builders", "staff"}))
    assert not rules.decide(nameless, Action.UPDATE, "prod/app").is_allowed


def test_rules_have_names_that_a_file_has() -> None:
    """A decision says where in the file to look."""
    rules = policies(**CONTROL)
    assert [
        rules.decide(*asked).rule
        for asked in (
            (ALICE, Action.READ, "prod/app"),
            (BOB, Action.READ, "prod/app"),
            (ANONYMOUS, Action.READ, "app"),
            (ADMIN, Action.DELETE, "app"),
            (BOB, Action.DELETE, "app"),
        )
    ] == [
        "http.accessControl.repositories[prod/**].policies[1]",
        "http.accessControl.repositories[prod/**].defaultPolicy",
        "http.accessControl.repositories[**].anonymousPolicy",
        "http.accessControl.adminPolicy",
        "http.accessControl.repositories[**]",
    ]
    assert policies(adminPolicy=grant("read")).decide(BOB, Action.READ, "app").rule == "http.accessControl.repositories"


def test_remembered_names_are_bounded() -> None:
    """Clients that ask for ever new names do not fill the memory of a replica."""
    rules = policies(**CONTROL)
    for number in range(REMEMBERED + 100):
        rules.decide(ALICE, Action.READ, f"prod/app{number}")
    assert rules.rule_of.cache_info().currsize == REMEMBERED
    assert rules.lasting.cache_info().currsize == REMEMBERED


def test_a_decision_without_conditions_is_made_once() -> None:
    """A push asks the same of each of its requests. What a tag or a claim has to do with, it asks anew."""
    when = [{"expression": "req.tag == 'v1'"}]
    rules = policies(repositories={"**": {"policies": [grant("read", users="alice bob")]}, "if/*": {
        "policies": [{**grant("read", users="alice"), "conditions": when}]}})  # fmt: skip
    asked: list[str] = []

    class Counting(Unjudged):
        def refuses(self, conditions: Sequence[Condition], question: Question) -> str | None:
            asked.append(question.reference)
            return super().refuses(conditions, question)

    for tag in ("v1", "v2", "v1"):
        assert rules.decide(ALICE, Action.READ, "app", tag, Counting()).is_allowed
        assert not rules.decide(ALICE, Action.READ, "if/app", tag, Counting()).is_allowed
    assert asked == ["v1", "v2", "v1"]
    assert rules.lasting.cache_info().misses == 2
    assert rules.decide(Identity("bob", frozenset({"unnamed"})), Action.READ, "app").is_allowed
    assert rules.decide(Identity("bob", frozenset({"other"})), Action.READ, "app").is_allowed
    assert rules.lasting.cache_info().misses == 3, "groups that no rule names decide nothing"


def test_metrics_need_their_own_words() -> None:
    """Users need a place in `metrics.users`, and anonymous callers the policy of the metrics. No admin has more."""
    closed = policies(adminPolicy=grant("read", users="root"))
    users = policies(metrics={"users": ["alice"]})
    opened = policies(metrics={"anonymousPolicy": ["read"]})
    callers = (ALICE, BOB, ADMIN, ANONYMOUS)
    assert [closed.may_read_metrics(each) for each in callers] == [False, False, False, False]
    assert [users.may_read_metrics(each) for each in callers] == [True, False, False, False]
    assert [opened.may_read_metrics(each) for each in callers] == [False, False, False, True]


words = st.sets(st.sampled_from(ACTIONS)).map(sorted)
people = st.sets(st.sampled_from(["alice", "bob", "carol"]), max_size=2).map(sorted)
teams = st.sets(st.sampled_from(["a", "b"])).map(sorted)
CONDITIONS: dict[str, Callable[[dict[str, Any]], bool]] = {
    "req.tag.startsWith('v')": lambda req: req["reference"].startswith("v"),
    "req.referenceType == 'digest'": lambda req: ":" in req["reference"],
    "req.action in ['read', 'delete']": lambda req: req["action"] in {"read", "delete"},
    "'a' in req.user.groups": lambda req: "a" in req["groups"],
    "req.repository != 'x' && !req.auth.anonymous": lambda req: req["repository"] != "x",
    "req.auth.admin": lambda req: bool(req["admin"]),
    "req.claims.env == 'prod'": lambda req: req["claims"].get("env") == "prod",
    "!(req.claims.env == 'prod')": lambda req: req["claims"].get("env", "prod") != "prod",
    "req.claims.env": lambda _: False,
    "1 / 0 == 1": lambda _: False,
}
"""An error, such as a claim that is missing, is as false as any."""
conditions = st.lists(st.sampled_from(sorted(CONDITIONS)), max_size=2).map(
    lambda texts: [{"expression": text, "message": text} for text in texts]
)
grants = st.fixed_dictionaries({"users": people, "groups": teams, "actions": words, "conditions": conditions})
TAG_MATCHES: dict[str, Callable[[str], bool]] = {
    "*": lambda _: True,
    "v*": lambda tag: tag.startswith("v"),
    "*-rc?": lambda tag: len(tag) > 3 and tag[-4:-1] == "-rc",
    "{latest,dev}": lambda tag: tag in {"latest", "dev"},
}
TAGS = ["v1", "v1-rc1", "latest", "dev", "other"]
tag_patterns = st.lists(st.sampled_from(sorted(TAG_MATCHES)), unique=True, max_size=2)
rule = st.fixed_dictionaries(
    {
        "policies": st.lists(grants, max_size=3),
        "defaultPolicy": words,
        "anonymousPolicy": words,
        "immutableTags": tag_patterns,
        "mutableTags": tag_patterns,
    }
).map(lambda made: made if made["immutableTags"] else {**made, "mutableTags": []})
sections = st.fixed_dictionaries(
    {
        "repositories": st.dictionaries(st.sampled_from(["x*", "*y*", "x/**", "x/y/*", "z"]), rule),
        "adminPolicy": grants,
        "groups": st.dictionaries(st.sampled_from(["a", "b"]), st.fixed_dictionaries({"users": people})),
    }
)
claims = st.sampled_from([Claims(), Claims({"env": "prod"}), Claims({"env": "test"}), Claims({}, frozenset())])
names, logins = st.sampled_from(["", "alice", "bob", "dave"]), st.frozensets(st.sampled_from(["a", "c"]))
callers = st.builds(Identity, names, logins, claims=claims)
MATCHES: dict[str, Callable[[str], bool]] = {
    "x*": lambda name: "/" not in name and fnmatchcase(name, "x*"),
    "*y*": lambda name: "/" not in name and fnmatchcase(name, "*y*"),
    "x/**": lambda name: name == "x" or name.startswith("x/"),
    "x/y/*": lambda name: name.startswith("x/y/") and name.count("/") == 2,
    "z": lambda name: name == "z",
}


def fulfilled(section: Any, policy: Any, caller: Identity, asked: tuple[str, str, str]) -> bool:
    """Say whether a policy's conditions are, in the words of zot's documentation."""
    action, name, reference = asked
    groups = {*caller.groups, *(group for group, of in section["groups"].items() if caller.name in of["users"])}
    admin = section["adminPolicy"]
    facts = {
        "action": action,
        "repository": name,
        "reference": reference,
        "groups": groups,
        "claims": caller.claims.values if caller.claims.known is None else {},
        "admin": caller.name in admin["users"] or groups & set(admin["groups"]),
    }
    return all(CONDITIONS[each["expression"]](facts) for each in policy["conditions"])


questions = st.tuples(
    callers,
    st.sampled_from(ACTIONS),
    st.sampled_from(["x", "xy", "y", "x/y", "x/y/z", "x/y/z/q", "z"]),
    st.sampled_from(["", "v1", "latest", "sha256:44136fa3"]),
)


@given(sections, st.lists(questions, min_size=1, max_size=6))
def test_decisions_are_those_of_zots_words(section: Any, asked: list[tuple[Identity, str, str, str]]) -> None:
    """A model that says in a few lines what zot's documentation says decides the same, whatever was asked before."""
    rules = Policies(read_access_control(section))
    for caller, action, name, reference in [*asked, *asked]:
        decided = rules.decide(caller, Action(action), name, reference, Judge(Facts))
        assert decided.is_allowed == is_granted_by_the_words(section, caller, action, name, reference)


def is_granted_by_the_words(section: Any, caller: Identity, action: str, name: str, reference: str) -> bool:
    """Say what zot's documentation says."""
    matching = [pattern for pattern in section["repositories"] if MATCHES[pattern](name)]
    repository = section["repositories"][max(matching, key=len)] if matching else {}
    groups = {*caller.groups, *(group for group, of in section["groups"].items() if caller.name in of["users"])}

    def has(policy: Any) -> bool:
        who = caller.name in policy["users"] or groups & set(policy["groups"])
        is_meant = bool(caller.name and who and action in policy["actions"])
        return is_meant and fulfilled(section, policy, caller, (action, name, reference))

    return (
        any(has(policy) for policy in repository.get("policies", []))
        or action in repository.get("defaultPolicy" if caller.name else "anonymousPolicy", [])
        or has(section["adminPolicy"])
    )


@given(
    sections, callers, st.sampled_from(["update", "delete"]), st.sampled_from(["x", "x/y", "z"]), st.sampled_from(TAGS)
)
def test_immutable_tags_are_those_of_the_documentation(
    section: Any, caller: Identity, action: str, name: str, tag: str
) -> None:
    """A model in the words of `docs/access.md` decides the same: the longest pattern, its exceptions, and the admin."""
    matching = [pattern for pattern in section["repositories"] if MATCHES[pattern](name)]
    repository = section["repositories"][max(matching, key=len)] if matching else {}
    is_immutable = any(TAG_MATCHES[pattern](tag) for pattern in repository.get("immutableTags", []))
    is_exception = any(TAG_MATCHES[pattern](tag) for pattern in repository.get("mutableTags", []))
    admin = section["adminPolicy"]
    groups = {*caller.groups, *(group for group, of in section["groups"].items() if caller.name in of["users"])}
    is_admin = bool(caller.name) and (caller.name in admin["users"] or bool(groups & set(admin["groups"])))
    is_granted = is_admin and action in admin["actions"] and fulfilled(section, admin, caller, (action, name, tag))
    expected = is_immutable and not is_exception and not is_granted
    granted = Granted(Policies(read_access_control(section)), caller, Judge(Facts))
    assert granted.is_fixed(Action(action), RepositoryName(name), Tag(tag)) == expected


def test_the_order_in_a_file_does_not_matter() -> None:
    """The same patterns in another order decide the same."""
    turned = {**CONTROL, "repositories": dict(reversed(CONTROL["repositories"].items()))}
    assert read_access_control(turned) == read_access_control(CONTROL) != AccessSettings()


def test_a_section_with_a_mistake_is_no_policy() -> None:
    """Nothing of it is used."""
    with pytest.raises(NestedProblems):
        policies(repositories={"**": {"defaultPolicy": ["pull"]}})
