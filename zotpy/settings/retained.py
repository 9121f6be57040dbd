"""`storage.retention`: what goes and what stays of each repository, in zot's words."""

import re
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class KeepTagsSettings:
    """Which of the matching tags stay: those that any rule keeps. Without a rule all of them stay."""

    patterns: tuple[re.Pattern[str], ...] = ()
    """A tag matches if one of them is found in it. Without patterns all tags match."""
    most_recently_pushed_count: int = 0
    """How many of the newest stay; 0: no such rule."""
    most_recently_pulled_count: int = 0
    pushed_within_s: float | None = None
    pulled_within_s: float | None = None
    """How long tags stay that were pulled or pushed."""

    @property
    def needs_pulls(self) -> bool:
        """Whether the times of pulls matter."""
        return self.most_recently_pulled_count > 0 or self.pulled_within_s is not None


@dataclass(frozen=True, slots=True)
class PolicySettings:
    """What is done in the repositories that match, unless an earlier policy matches them."""

    repositories: tuple[re.Pattern[str], ...]
    delete_referrers: bool = False
    """Delete referrers whose subject does not exist any more."""
    delete_untagged: bool = True
    """Delete manifests that no tag and no retained index names."""
    keep_tags: tuple[KeepTagsSettings, ...] = ()
    """The first section that matches a tag decides.

    A tag that none matches is deleted. Without sections all tags stay.
    """
    keep_untagged: KeepTagsSettings | None = None
    """Keeps those untagged manifests that a rule matches. It has no patterns."""

    @property
    def needs_pulls(self) -> bool:
        """Whether the times of pulls matter."""
        keeps = self.keep_tags if self.keep_untagged is None else (*self.keep_tags, self.keep_untagged)
        return any(keep.needs_pulls for keep in keeps)


@dataclass(frozen=True, slots=True)
class RetentionSettings:
    """`storage.retention`: what zotpy deletes in a repository although no client deleted it."""

    dry_run: bool = False
    """Report what would be deleted, and delete none of it."""
    delay_s: float = 24 * 3600.0
    """How long untagged manifests and referrers stay after their push."""
    policies: tuple[PolicySettings, ...] = ()
    """The first policy that matches a repository counts. If none does, nothing is deleted."""

    @property
    def needs_pulls(self) -> bool:
        """Whether the times of pulls matter."""
        return any(policy.needs_pulls for policy in self.policies)
