"""`http.accessControl`: who may do what, in zot's words. Actions are the words of `zotpy.auth.actions.Action`."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from zotpy.settings.logins import ConditionSettings

Words = frozenset[str]


@dataclass(frozen=True, slots=True)
class GrantSettings:
    """What some users and groups may do: one of `policies`, or the `adminPolicy`."""

    users: Words = frozenset()
    groups: Words = frozenset()
    actions: Words = frozenset()
    conditions: tuple[ConditionSettings, ...] = ()
    """All must be true, otherwise it grants nothing."""


@dataclass(frozen=True, slots=True)
class TagSettings:
    """Some of all tags, by patterns."""

    patterns: tuple[re.Pattern[str], ...] = ()
    """Each matches tags as a whole."""
    exceptions: tuple[re.Pattern[str], ...] = ()
    """Tags that are not among them although a pattern matches."""

    def __contains__(self, tag: str) -> bool:
        """Say whether a tag is among them."""
        return any(each.match(tag) for each in self.patterns) and not any(each.match(tag) for each in self.exceptions)


@dataclass(frozen=True, slots=True)
class RuleSettings:
    """What holds for the repositories whose names match a pattern."""

    pattern: str
    """As the file has it."""
    names: re.Pattern[str]
    """Matches names as a whole."""
    policies: tuple[GrantSettings, ...] = ()
    default: Words = frozenset()
    """What every user may do that has logged in."""
    anonymous: Words = frozenset()
    """What callers may do that have not."""
    immutable: TagSettings = TagSettings()
    """Tags that only the `adminPolicy` lets anybody move or delete."""


@dataclass(frozen=True, slots=True)
class AccessSettings:
    """All of `http.accessControl`."""

    rules: tuple[RuleSettings, ...] = ()
    """In the order in which they are asked: the longest pattern first. No two of equal length match the same name."""
    admin: GrantSettings = GrantSettings()
    """Holds in every repository."""
    groups: Mapping[str, Words] = field(default_factory=dict)
    """Users by group."""
    metrics_users: Words = frozenset()
    """Users that may read the metrics."""
    has_open_metrics: bool = False
    """Whether callers may read the metrics that have not logged in."""

    @property
    def names_users(self) -> bool:
        """Say whether anything is granted to callers who have logged in."""
        grants = [self.admin, *(policy for rule in self.rules for policy in rule.policies)]
        is_granted = any(each.actions and (each.users or each.groups) for each in grants)
        return is_granted or bool(self.metrics_users) or any(rule.default for rule in self.rules)
