"""`storage.retention`: what is deleted and what stays in each repository, in zot's words."""

import re
from dataclasses import dataclass
from datetime import timedelta

from zotpy.core.names import RepositoryName

ALWAYS = timedelta.max


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
    most_recently_pulled_bytes: int = 0
    """How many bytes may stay of those that were pulled or pushed last, in all repositories of the policy; 0: no such
    rule."""

    @property
    def pushed_within(self) -> timedelta | None:
        """How long tags stay that were pushed; `None`: no such rule."""
        return None if self.pushed_within_s is None else timedelta(seconds=self.pushed_within_s)

    @property
    def pulled_within(self) -> timedelta | None:
        """How long tags stay that were pulled; `None`: no such rule. A push counts as a pull."""
        return None if self.pulled_within_s is None else timedelta(seconds=self.pulled_within_s)

    @property
    def has_rules(self) -> bool:
        """Whether anything that matches may be deleted."""
        counts = self.most_recently_pushed_count, self.most_recently_pulled_count, self.most_recently_pulled_bytes
        return any((*counts, self.pushed_within, self.pulled_within))

    @property
    def pulls_matter_for(self) -> timedelta:
        """How long a pull makes a difference; zero: pulls make none."""
        if self.most_recently_pulled_count or self.most_recently_pulled_bytes:
            return ALWAYS
        return self.pulled_within or timedelta()

    def matches(self, tag: str) -> bool:
        """Whether this section decides about a tag."""
        return not self.patterns or any(pattern.search(tag) for pattern in self.patterns)


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
    def sections(self) -> tuple[KeepTagsSettings, ...]:
        """All sections with rules for tags and for untagged manifests."""
        return self.keep_tags if self.keep_untagged is None else (*self.keep_tags, self.keep_untagged)

    @property
    def pulls_matter_for(self) -> timedelta:
        """How long a pull makes a difference."""
        return max((keep.pulls_matter_for for keep in self.sections), default=timedelta())

    @property
    def counts_bytes(self) -> bool:
        """Whether a rule needs the lengths of what the repositories have."""
        return any(keep.most_recently_pulled_bytes for keep in self.sections)

    def section_of(self, tag: str) -> int | None:
        """Return the number of the section that decides about a tag; `None`: no section does."""
        return next((index for index, keep in enumerate(self.keep_tags) if keep.matches(tag)), None)


@dataclass(frozen=True, slots=True)
class RetentionSettings:
    """`storage.retention`: what zotpy deletes in a repository although no client deleted it."""

    dry_run: bool = False
    """Report what would be deleted, and delete none of it."""
    delay_s: float = 24 * 3600.0
    """How long untagged manifests and referrers stay after their push; never shorter than the grace."""
    policies: tuple[PolicySettings, ...] = ()
    """The first policy that matches a repository counts. If none does, nothing is deleted."""

    @property
    def needs_pulls(self) -> bool:
        """Whether the times of pulls matter."""
        return any(policy.pulls_matter_for for policy in self.policies)

    @property
    def counts_bytes(self) -> bool:
        """Whether a rule needs the lengths of what the repositories have."""
        return any(policy.counts_bytes for policy in self.policies)

    def policy_of(self, repo: RepositoryName) -> PolicySettings | None:
        """Return the first policy that matches a repository."""
        for policy in self.policies:
            if any(pattern.match(repo.text) for pattern in policy.repositories):
                return policy
        return None
