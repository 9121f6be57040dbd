"""`http.accessControl`: who may do what, in zot's words, and what surprises in it."""

import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations, groupby

from zotpy.cel.environments import of_request
from zotpy.cel.expressions import Failed
from zotpy.config.config_file import read_variable
from zotpy.config.errors import NestedProblems
from zotpy.config.expressions import Expressions
from zotpy.config.overlaps import can_match_same
from zotpy.core.globs import read_glob
from zotpy.settings.access import AccessSettings, GrantSettings, RuleSettings, TagSettings, Words
from zotpy.settings.logins import ConditionSettings

COLLISION = "detectManifestCollision"
ACTIONS = ("read", "create", "update", "delete", COLLISION)
_OF_REFERENCE = frozenset({"req.reference", "req.referenceType", "req.tag", "req.digest"})
MOST_PATTERNS = 1000
MOST_TAG_PATTERNS = 100


def read_access_control(value: object) -> AccessSettings:
    """Read the section; as a variable it is JSON. Raises `NestedProblems`, `ValueError`."""
    if isinstance(value, str):
        value = read_variable(value, "a section of settings")
    reading = _Reading()
    found = reading.access(value)
    if reading.problems:
        raise NestedProblems(reading.problems)
    return found


def surprises(access: AccessSettings) -> Iterator[str]:
    """Say what works as written, and hardly as it was meant."""
    grants = [(f".repositories[{rule.pattern}].policies", each) for rule in access.rules for each in rule.policies]
    for path, grant in [*grants, (".adminPolicy", access.admin)]:
        if "*" in grant.users:
            yield f'http.accessControl{path}: users: ["*"] is one user whose name is *: for all users use defaultPolicy'
        for each in grant.conditions:
            variables = of_request(each.expression).variables
            if "create" in grant.actions and variables and variables <= _OF_REFERENCE and _refuses_blobs(each):
                yield (
                    f"http.accessControl{path}: the condition {each.expression!r} is false for blobs, which have no tag"
                    " and no digest in req, so nobody can push new content by it: add || req.reference == ''"
                )
    for rule in access.rules:
        if not can_match_same(rule.pattern, "**"):
            yield (
                f"http.accessControl.repositories[{rule.pattern}]: no repository has such a name, so these rules hold"
                " nowhere: names have no capitals, and no slash at an end"
            )
        if more := rule.anonymous - rule.default - {COLLISION}:
            yield (
                f"http.accessControl.repositories[{rule.pattern}]: callers that have not logged in may"
                f" {_listed(more)}, and users that no policy names may not: add it to defaultPolicy if they should"
            )


def reads_claims(access: AccessSettings) -> bool:
    """Say whether any condition reads claims of callers."""
    grants = [access.admin, *(each for rule in access.rules for each in rule.policies)]
    texts = {condition.expression for grant in grants for condition in grant.conditions}
    return any("req.claims" in of_request(text).variables for text in texts)


def _refuses_blobs(condition: ConditionSettings) -> bool:
    """Say whether a condition that reads nothing but the reference is false if there is none."""
    try:
        return not of_request(condition.expression).yes_or_no(dict.fromkeys(_OF_REFERENCE, ""))
    except Failed:
        return True


class _Reading(Expressions):
    """Reads the section, and notes each mistake with its path."""

    def access(self, value: object) -> AccessSettings:
        """Read all of it."""
        parts = self._section(value, "", ("repositories", "adminPolicy", "groups", "metrics"))
        if not parts and not self.problems:
            self._note("", "write repositories or adminPolicy, because without them nobody may do anything")
        metrics = self._section(parts.get("metrics"), ".metrics", ("users", "anonymousPolicy"))
        opened = self._actions(metrics.get("anonymousPolicy"), ".metrics.anonymousPolicy", ("read",))
        groups = self._names(parts.get("groups"), ".groups")
        return AccessSettings(
            rules=self._rules(parts.get("repositories")),
            admin=self._grant(parts.get("adminPolicy"), ".adminPolicy"),
            groups={name: self._group(each, f".groups.{name}") for name, each in groups.items()},
            metrics_users=self._words(metrics.get("users"), ".metrics.users"),
            has_open_metrics=bool(opened),
        )

    def _rules(self, value: object) -> tuple[RuleSettings, ...]:
        patterns = self._names(value, ".repositories")
        if len(patterns) > MOST_PATTERNS:
            self._note(".repositories", f"has {len(patterns)} patterns: write at most {MOST_PATTERNS}, with * and {{}}")
            return ()
        found = [self._rule(pattern, each) for pattern, each in patterns.items()]
        ordered = sorted((rule for rule in found if rule is not None), key=_length, reverse=True)
        for _, equal in groupby(ordered, _length):
            for one, other in combinations(equal, 2):
                if can_match_same(one.pattern, other.pattern):
                    why = f"is as long as {other.pattern}, and both match some name: neither comes before the other"
                    self._note(
                        f".repositories[{one.pattern}]", f"{why}: put braces around a part of the one that should"
                    )
        return tuple(ordered)

    def _rule(self, pattern: str, value: object) -> RuleSettings | None:
        path = f".repositories[{pattern}]"
        if "${" in pattern:
            self._note(path, "a pattern has no variables, in zot neither: write the name of each user")
            return None
        known = ("policies", "defaultPolicy", "anonymousPolicy", "immutableTags", "mutableTags")
        parts = self._section(value, path, known)
        policies = self._list(parts.get("policies"), f"{path}.policies")
        default = self._actions(parts.get("defaultPolicy"), f"{path}.defaultPolicy")
        anonymous = self._actions(parts.get("anonymousPolicy"), f"{path}.anonymousPolicy")
        grants = tuple(self._grant(each, f"{path}.policies[{index}]") for index, each in enumerate(policies))
        try:
            return RuleSettings(pattern, read_glob(pattern), grants, default, anonymous, self._tags(parts, path))
        except ValueError as error:
            self._note(path, str(error))
            return None

    def _tags(self, parts: Mapping[str, object], path: str) -> TagSettings:
        """Read which tags of a rule are immutable."""
        patterns = self._globs(parts.get("immutableTags"), f"{path}.immutableTags")
        exceptions = self._globs(parts.get("mutableTags"), f"{path}.mutableTags")
        if exceptions and not parts.get("immutableTags"):
            self._note(f"{path}.mutableTags", "are exceptions to immutableTags: write these, too, or remove it")
        return TagSettings(patterns, exceptions)

    def _globs(self, value: object, path: str) -> tuple[re.Pattern[str], ...]:
        listed, found = self._list(value, path), []
        if len(listed) > MOST_TAG_PATTERNS:
            self._note(path, f"has {len(listed)} patterns: write at most {MOST_TAG_PATTERNS}, with * and {{}}")
            return ()
        for index, each in enumerate(listed):
            if isinstance(each, str) and each.startswith("!"):
                self._note(f"{path}[{index}]", "exceptions stand below mutableTags")
                continue
            try:
                found.append(read_glob(each, "v1.*"))
            except ValueError as error:
                self._note(f"{path}[{index}]", str(error))
        return tuple(found)

    def _grant(self, value: object, path: str) -> GrantSettings:
        parts = self._section(value, path, ("users", "groups", "actions", "conditions"))
        return GrantSettings(
            self._words(parts.get("users"), f"{path}.users"),
            self._words(parts.get("groups"), f"{path}.groups"),
            self._actions(parts.get("actions"), f"{path}.actions"),
            self._conditions(parts.get("conditions"), f"{path}.conditions", of_request, needs_message=False),
        )

    def _group(self, value: object, path: str) -> Words:
        return self._words(self._section(value, path, ("users",)).get("users"), f"{path}.users")

    def _actions(self, value: object, path: str, known: Sequence[str] = ACTIONS) -> Words:
        words = self._words(value, path)
        for word in sorted(words - set(known)):
            self._note(path, f"{word!r} is no action: write {_listed(known)}")
        return words


def _length(rule: RuleSettings) -> int:
    return len(rule.pattern.encode())


def _listed(words: Sequence[str] | Words) -> str:
    """Write actions as a sentence has them, in their usual order."""
    *others, last = sorted(words, key=lambda word: ACTIONS.index(word) if word in ACTIONS else len(ACTIONS))
    return f"{', '.join(others)} or {last}" if others else last
