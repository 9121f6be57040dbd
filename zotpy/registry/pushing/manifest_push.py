"""The inside of a manifest's push: first all that it references is checked, then it is written, each step in its order.

Every step leaves the bucket right. All references are checked (and their leases renewed) at once; then comes the lease,
the authority; then tags and referrer; then the entry. The markers that tell a later DELETE which tags to look at come
before the tags.

The entry is what pushes and deletions of one manifest agree on (see `zotpy.bucket.deletions`). Each reads it, reads
or writes the names, and then replaces the entry if it is still the one it read. So of a push and a DELETE at the same
moment one comes wholly before the other: the DELETE sees all tags that the push wrote, or none of its deletions
touches them. Pushes do not hinder each other: an entry that is replaced after a push has written its names, and was
not deleted in between, serves as well.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from functools import partial

from zotpy.bucket.entries import Seen
from zotpy.bucket.long_reads import beginnings
from zotpy.bucket.pointers import Pointers
from zotpy.bucket.records import ATTEMPTS, Records, overtaken
from zotpy.bucket.reliance import Reliance, in_time, require
from zotpy.bucket.tags import does_not_hold
from zotpy.concurrency import beside, gather, watched
from zotpy.core import keys
from zotpy.core.conditions import Condition
from zotpy.core.digests import Digest
from zotpy.core.errors import ManifestBlobUnknown
from zotpy.core.manifest_facts import ManifestFacts
from zotpy.core.names import RepositoryName, Tag
from zotpy.core.record_values import Lease, ManifestValue
from zotpy.settings import Settings

Call = Callable[[], Awaitable[object]]
Left = Callable[[], Awaitable[object]]
LONG_LIST = 64
"""Up to so many references are looked up at once; with more, it is seen whether the client has left meanwhile."""
MOST_NAMED = 20
"""Absent digests that one answer names; with so many, no more are looked up."""


@dataclass(frozen=True, slots=True)
class ManifestPush:
    """One push: what is to be written, and the tags that are to name it."""

    repo: RepositoryName
    digest: Digest
    value: ManifestValue
    facts: ManifestFacts
    tags: Sequence[Tag]
    condition: Condition | None
    etags: dict[Tag, str] = field(default_factory=dict)
    """Of a conditional push: the tags that it may replace."""


@dataclass(frozen=True, slots=True)
class ManifestPushes:
    """Makes manifests exist, and tags name them."""

    records: Records
    pointers: Pointers
    settings: Settings

    async def run(self, push: ManifestPush, until_left: Left | None = None) -> None:
        """Make a manifest exist, within the deadline; see `zotpy.registry.manifests.Manifests.push`."""
        await in_time(self.settings.gc.deadline_s, partial(self._push, push, until_left))

    async def _push(self, push: ManifestPush, until_left: Left | None, reliance: Reliance) -> None:
        """Check everything, then write. Raises `TooLate`; then nothing that was written counts."""
        check = partial(self._check, push, reliance)
        is_long = len(push.facts.blobs) + len(push.facts.manifests) > LONG_LIST
        seen = await (watched(until_left, check) if until_left is not None and is_long else check())
        lease = await beside(
            partial(self.records.leases.write, push.repo, "manifests", push.digest, push.value, reliance),
            partial(self.pointers.mark_repository, push.repo),
            *[partial(self.pointers.mark_tag, push.repo, push.digest, tag) for tag in push.tags],
        )
        await self._make_visible(push, seen, lease)

    async def _check(self, push: ManifestPush, reliance: Reliance) -> Seen:
        """Rely on every reference, read the tags of a conditional push, and what there is of the manifest itself."""
        missing: list[str] = []

        async def rely(digest: Digest, kind: keys.Kind) -> None:
            if await self.records.rely(push.repo, kind, digest, reliance) is not None:
                return
            is_guessed, other = digest in push.facts.guessed, keys.OTHER_KIND[kind]
            if is_guessed and await self.records.rely(push.repo, other, digest, reliance) is not None:
                return
            may_miss = (kind == "manifests" or is_guessed) and self.settings.manifest.allow_sparse_indexes
            if not may_miss:
                missing.append(str(digest))
            if len(missing) >= MOST_NAMED:
                raise ManifestBlobUnknown(sorted(missing))

        calls: list[Call] = [partial(rely, digest, "blobs") for digest in push.facts.blobs]
        calls += [partial(rely, digest, "manifests") for digest in push.facts.manifests]
        if push.condition is not None and push.tags:
            self.pointers.tags.require_conditions(push.condition)
            calls += [
                partial(self.pointers.tags.check, push.repo, tag, push.condition, push.etags)
                for tag in push.tags
                if tag not in push.etags  # else an attempt that was too late has looked, and perhaps written
            ]
        seen = await beside(partial(self._look, push), *calls)
        if missing:
            raise ManifestBlobUnknown(sorted(missing))
        if push.condition is not None and not push.tags:  # it is then about the manifest itself
            there = None if seen.value is None else push.digest
            if not push.condition.holds(there):
                raise does_not_hold(push.digest, there)
        return seen

    async def _make_visible(self, push: ManifestPush, seen: Seen, lease: Lease) -> None:
        """Write the names, then the entry, such that no deletion came between; again where one did."""
        swap = partial(self.records.entries.replace, push.repo, "manifests", push.digest)
        look = partial(self._look, push)
        for _ in range(ATTEMPTS):
            # Over a tombstone the entry comes before the names as well: a collector that finishes the deletion takes
            # away whatever tag names a buried manifest. Else the entry comes last.
            if seen.is_tombstone:
                revived = await swap(seen, push.value, lease)
                if revived is None:
                    seen = await look()
                    continue
                seen = revived
            await gather(*self._names_of(push, lease))
            # The entry is still the one that was seen before the names were written. So no DELETE has read the names
            # in between and buried the manifest: one that did would have replaced the entry.
            if await swap(seen, push.value, lease) is not None:
                return
            again = await look()
            # Somebody has replaced it. If nobody has deleted the manifest since (it is in the same epoch), that was
            # a push or a renewal, and our names stand. One attempt more to write the entry; if that is overtaken in
            # the same way, the other's entry is as good as ours, as it was written after our names. The deadline is
            # then held against the time of this reading, as there is no write of ours to date.
            if again.continues(seen):
                if await swap(again, push.value, lease) is not None:
                    return
                again = await look()
                if again.continues(seen):
                    if lease.due is not None and again.time is not None:
                        require(lease.due, again.time)
                    return
            # The manifest was deleted in between, and the DELETE may have taken names of ours with it: all again, on
            # top of what is there now. A condition on a tag that is gone is judged anew.
            seen = again
            await gather(*[partial(self._forget_if_deleted, push, tag) for tag in list(push.etags)])
        raise overtaken(push.digest)

    async def _look(self, push: ManifestPush) -> Seen:
        """Look at the entry of the pushed manifest; its content is at hand."""
        return await self.records.entries.look(push.repo, "manifests", push.digest, beginnings(self.records.store))

    async def _forget_if_deleted(self, push: ManifestPush, tag: Tag) -> None:
        """Let a conditional push, whose tag was deleted with the manifest, make it again."""
        if await self.pointers.tags.read(push.repo, tag) is None:
            del push.etags[tag]

    def _names_of(self, push: ManifestPush, lease: Lease) -> list[Call]:
        repo, digest, value = push.repo, push.digest, push.value
        calls: list[Call] = [
            partial(self.pointers.tags.write, repo, tag, digest, value, push.condition, push.etags, lease.due)
            for tag in push.tags
        ]
        if push.facts.subject is not None:
            calls.append(partial(self.pointers.write_referrer, repo, push.facts, digest, value))
        return calls
