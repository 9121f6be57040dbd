"""Which tags of a repository are deleted, and why: a function of the rules and of what is known of the tags.

The rules of `keepUntagged` are the same, for manifests that no tag names.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TypeVar

from zotpy.core.digests import Digest
from zotpy.core.names import Tag
from zotpy.core.units import size_text
from zotpy.settings import KeepTagsSettings, PolicySettings

SETTLING = timedelta(days=7)
"""How long pulls must have been noted before something is deleted because others were pulled later."""

KeptSince = Mapping[KeepTagsSettings, datetime]
"""For sections that count bytes: what was pulled or pushed since then stays; see `byte_bounds`."""
NEVER = datetime.min.replace(tzinfo=UTC)
_REFERRER_TAG = re.compile(r"sha256-(?P<hex>[0-9a-f]{64})(?:\.[A-Za-z0-9._-]+)?")
"""Of OCI's fallback for referrers, and of cosign, which adds `.sig`, `.att` or `.sbom`. One for sha512 is cut off."""


@dataclass(frozen=True, slots=True)
class TagSeen:
    """A tag as it was found."""

    tag: Tag
    digest: Digest
    """Digest of the manifest that it names."""
    pushed: datetime

    @property
    def name(self) -> str:
        """What tells it from others of the same time."""
        return self.tag.text


@dataclass(frozen=True, slots=True)
class UntaggedSeen:
    """A manifest that neither a tag nor another manifest names."""

    digest: Digest
    pushed: datetime

    @property
    def name(self) -> str:
        """What tells it from others of the same time."""
        return str(self.digest)


Seen = TypeVar("Seen", TagSeen, UntaggedSeen)


@dataclass(frozen=True, slots=True)
class PullTimes:
    """When the manifests of one repository were last pulled, as far as is known."""

    times: Mapping[Digest, datetime]
    since: datetime | None
    """Since when pulls are noted; `None`: they are not."""

    def of(self, seen: "TagSeen | UntaggedSeen") -> datetime:
        """Return when the manifest was pulled last, by any name."""
        return self.times.get(seen.digest, NEVER)

    def used(self, seen: "TagSeen | UntaggedSeen") -> datetime:
        """Return when the manifest was last pulled or pushed."""
        return max(seen.pushed, self.of(seen))


def subject_of(tag: Tag) -> Digest | None:
    """Read from a tag such as `sha256-0123....sig` whose referrer it names; `None`: it is a usual tag."""
    found = _REFERRER_TAG.fullmatch(tag.text)
    return None if found is None else Digest("sha256", found["hex"])


def expired_tags(
    policy: PolicySettings, tags: Sequence[TagSeen], pulls: PullTimes, now: datetime, kept_since: KeptSince
) -> Mapping[Tag, str]:
    """Return the tags that are deleted, each with the reason. It does not judge tags of referrers."""
    if not policy.keep_tags:
        return {}
    expired: dict[Tag, str] = {}
    matching: dict[int, list[TagSeen]] = {}
    for seen in tags:
        index = policy.section_of(seen.tag.text)
        if index is None:
            expired[seen.tag] = "it matches no patterns of keepTags"
        else:
            matching.setdefault(index, []).append(seen)
    for index, some in matching.items():
        keep = policy.keep_tags[index]
        kept = _kept(keep, some, pulls, now, kept_since)
        why = f"it is {_reason(keep)} (keepTags[{index}])"
        expired.update({seen.tag: why for seen in some if seen not in kept})
    return expired


def expired_untagged(
    keep: KeepTagsSettings,
    manifests: Sequence[UntaggedSeen],
    pulls: PullTimes,
    now: datetime,
    kept_since: KeptSince,
) -> Mapping[Digest, str]:
    """Return the untagged manifests that no rule keeps, each with the reason."""
    kept = _kept(keep, manifests, pulls, now, kept_since)
    return {seen.digest: f"it is {_reason(keep)} (keepUntagged)" for seen in manifests if seen not in kept}


def _kept(
    keep: KeepTagsSettings, some: Sequence[Seen], pulls: PullTimes, now: datetime, kept_since: KeptSince
) -> set[Seen]:
    """Return those that any rule keeps."""
    if not keep.has_rules or not _knows_pulls(keep, pulls, now):
        return set(some)
    newest = sorted(some, key=lambda seen: (seen.pushed, seen.name), reverse=True)
    kept = set(newest[: keep.most_recently_pushed_count])
    # of those that were never pulled, the ones pushed later come first
    newest.sort(key=pulls.of, reverse=True)
    kept |= set(newest[: keep.most_recently_pulled_count])
    if keep.pushed_within is not None:
        kept |= {seen for seen in some if now - seen.pushed < keep.pushed_within}
    if keep.pulled_within is not None:
        kept |= {seen for seen in some if now - pulls.used(seen) < keep.pulled_within}
    if keep.most_recently_pulled_bytes:
        first = kept_since.get(keep, NEVER)
        kept |= {seen for seen in some if pulls.used(seen) >= first}
    return kept


def _knows_pulls(keep: KeepTagsSettings, pulls: PullTimes, now: datetime) -> bool:
    """Whether pulls have been noted for long enough: a lack of notes is no reason to delete anything."""
    compares = keep.most_recently_pulled_count or keep.most_recently_pulled_bytes
    needed = max(keep.pulled_within or timedelta(), SETTLING if compares else timedelta())
    return not needed or (pulls.since is not None and now - pulls.since >= needed)


def _reason(keep: KeepTagsSettings) -> str:
    """Name the rules that have not kept a tag."""
    rules = [
        keep.most_recently_pushed_count and f"not among the {keep.most_recently_pushed_count} pushed last",
        keep.most_recently_pulled_count and f"not among the {keep.most_recently_pulled_count} pulled last",
        keep.most_recently_pulled_bytes
        and f"not in the {size_text(keep.most_recently_pulled_bytes)} pulled or pushed last",
        keep.pushed_within and f"not pushed within {told(keep.pushed_within)}",
        keep.pulled_within and f"neither pulled nor pushed within {told(keep.pulled_within)}",
    ]
    return ", ".join(rule for rule in rules if isinstance(rule, str))


def told(duration: timedelta) -> str:
    """Write a duration as the configuration does."""
    seconds = duration.total_seconds()
    for unit, length in (("h", 3600), ("m", 60)):
        if seconds >= length and seconds % length == 0:
            return f"{seconds / length:.0f}{unit}"
    return f"{seconds:g}s"
