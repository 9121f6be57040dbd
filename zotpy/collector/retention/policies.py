"""The rules, as the operator wrote them; `docs/configuration.md` has their meaning, which is zot's."""

import re
from dataclasses import dataclass
from datetime import timedelta

from zotpy.core.names import RepositoryName

DAY_S = 24 * 3600.0
SETTLING = timedelta(days=7)
"""How long pulls must have been noted before something is deleted because others were pulled later."""
ALWAYS = timedelta.max


@dataclass(frozen=True, slots=True)
class KeepTags:
    """Which of the matching tags stay: those that any rule keeps; without a rule, all."""

    patterns: tuple[re.Pattern[str], ...] = ()
    """A tag matches if one of them is found in it; without any, all do."""
    most_recently_pushed: int = 0
    """How many; 0: no such rule."""
    most_recently_pulled: int = 0
    pushed_within: timedelta | None = None
    pulled_within: timedelta | None = None
    """A push counts as a pull."""

    def matches(self, tag: str) -> bool:
        """Whether this section decides about a tag."""
        return not self.patterns or any(pattern.search(tag) for pattern in self.patterns)

    @property
    def has_rules(self) -> bool:
        """Whether anything that matches may be deleted."""
        return any((self.most_recently_pushed, self.most_recently_pulled, self.pushed_within, self.pulled_within))

    @property
    def pulls_matter_for(self) -> timedelta:
        """How long a pull makes a difference; zero: pulls make none."""
        if self.most_recently_pulled:
            return ALWAYS
        return self.pulled_within or timedelta()


@dataclass(frozen=True, slots=True)
class Policy:
    """What is done in the repositories that match."""

    repositories: tuple[re.Pattern[str], ...]
    delete_referrers: bool = False
    delete_untagged: bool = True
    keep_tags: tuple[KeepTags, ...] = ()
    """Empty: all tags stay.

    Otherwise the first section that matches a tag decides, and a tag that none matches is deleted.
    """
    keep_untagged: KeepTags | None = None
    """Which untagged manifests stay although they would be deleted; `None`: none of them."""

    @property
    def pulls_matter_for(self) -> timedelta:
        """How long a pull makes a difference."""
        keeps = self.keep_tags if self.keep_untagged is None else (*self.keep_tags, self.keep_untagged)
        return max((keep.pulls_matter_for for keep in keeps), default=timedelta())


@dataclass(frozen=True, slots=True)
class Retention:
    """All policies."""

    policies: tuple[Policy, ...] = ()
    delay_s: float = DAY_S
    """How long untagged manifests and referrers stay after their push; never shorter than the grace."""
    dry_run: bool = False
    """Report what would be deleted, and delete none of it."""

    @property
    def needs_pulls(self) -> bool:
        """Whether the times of pulls matter anywhere."""
        return any(policy.pulls_matter_for for policy in self.policies)

    def policy_of(self, repo: RepositoryName) -> Policy | None:
        """Return the first policy that matches a repository."""
        for policy in self.policies:
            if any(pattern.match(repo.text) for pattern in policy.repositories):
                return policy
        return None
