"""Deleting a manifest with everything that leads to it (OCI distribution spec, end-9): by its names, never by a scan.

A DELETE reads the entry, then the tags that name the manifest. It puts a tombstone in the place of the entry, if that
is still the one that it read. Then it deletes the tags, if they are still those that it read. A push replaces the entry
after it has written its tags. So if the tombstone could be written, no push ended between the two readings. The DELETE
has read the tags of every earlier push, and the tags of every later push are others than those that it deletes. If some
tags must not be deleted, it looks for them among those that it has read, each time that it reads them. A DELETE that
finds a tombstone deletes the tags that another one has left.

A store without conditional requests cannot guarantee this. There a DELETE checks at its end whether the manifest was
pushed again since it began, and restores what that push may have lost.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial

from zotpy.bucket.entries import ATTEMPTS, Seen, overtaken
from zotpy.bucket.long_reads import Room, whole
from zotpy.bucket.pointers import Pointers
from zotpy.bucket.records import Records
from zotpy.bucket.reliance import Reliance
from zotpy.concurrency import gather
from zotpy.core import keys
from zotpy.core.digests import Digest
from zotpy.core.errors import ManifestUnknown, RegistryError
from zotpy.core.manifest_facts import ManifestFacts, parse_manifest
from zotpy.core.names import Reference, RepositoryName, Tag
from zotpy.core.record_values import Lease, ManifestValue
from zotpy.memory.parsing import read_apart
from zotpy.store.interface import Listed, Store

Judge = Callable[[Collection[Tag]], object]
"""Called with the tags that name a manifest before it is buried. It raises an error if they must stay."""


def every_tag(_: Collection[Tag]) -> None:
    """Let all tags be deleted."""


@dataclass(frozen=True, slots=True)
class ManifestToDelete:
    """What a DELETE read of a manifest: it deletes just that."""

    entry: Seen
    value: ManifestValue
    facts: ManifestFacts
    tags: Mapping[Tag, str] = field(default_factory=dict)
    """The tags that name it, each with its ETag."""
    referrer_etag: str | None = None
    leases: Sequence[Listed] = ()
    """If the store has no conditions: the leases that existed before anything else was read."""


@dataclass(frozen=True, slots=True)
class Deletions:
    """Deletes manifests."""

    store: Store
    records: Records
    pointers: Pointers

    async def delete(
        self, repo: RepositoryName, digest: Digest, room: Room | None = None, judge: Judge = every_tag
    ) -> None:
        """Delete a manifest with its tags and its referrer entry, and wait until no replica promises it.

        Raises `ManifestUnknown`, and what `judge` raises.
        """
        await self.records.promised.promise.kept_by(partial(self._delete, repo, digest, room, judge))

    async def _delete(self, repo: RepositoryName, digest: Digest, room: Room | None, judge: Judge) -> None:
        to_delete: ManifestToDelete | None = None
        for _ in range(ATTEMPTS):
            there, is_buried = await self._look(repo, digest, room)
            if there is None and to_delete is None:
                if is_buried:
                    await self._finish_other(repo, digest, judge)
                raise unknown(digest)
            if there is not None:  # each time anew: a push may have overtaken us to add a tag
                judge(there.tags.keys())
            if there is None or await self.bury(repo, digest, there):
                break  # by us, or meanwhile: by another request, or by this one, whose answer was lost
            to_delete = there
        else:
            raise overtaken(digest)
        if (done := there or to_delete) is not None:
            promise = self.records.promised.promise
            wait = [promise.run_out] if promise.wait_s > 0 else []
            await gather(partial(self.delete_names, repo, digest, done), *wait)

    async def _finish_other(self, repo: RepositoryName, digest: Digest, judge: Judge) -> None:
        """Delete the tags that another DELETE has left, if it broke off behind its tombstone, and wait as it does.

        It may still be under way, or be this one, whose answer was lost. Tags that must stay are left to the collector,
        and so is the referrer. The entry is read after the tags: over a tombstone a push writes the entry first. So if
        the tombstone is still there, no tag that was read is of a push that has ended, and a push that has not ended
        writes its tags again.
        """
        promise = self.records.promised.promise
        tags: Mapping[Tag, str] = {}
        if self.store.features.all_conditions:
            tags = await self._tags_of(repo, digest)
        if tags and (await self.records.entries.look(repo, "manifests", digest)).is_tombstone:
            with suppress(RegistryError):
                judge(tags.keys())
                await self._delete_tags(repo, digest, tags)
        await promise.run_out()

    async def look(self, repo: RepositoryName, digest: Digest, room: Room | None = None) -> ManifestToDelete | None:
        """Read the entry, then all names; `None` if the manifest does not exist."""
        return (await self._look(repo, digest, room))[0]

    async def _look(
        self, repo: RepositoryName, digest: Digest, room: Room | None
    ) -> tuple[ManifestToDelete | None, bool]:
        """Do the same, and say whether a tombstone stands for the manifest."""
        leases = () if self.store.features.all_conditions else await self.records.leases.find(repo, "manifests", digest)
        entry = await self.records.look(repo, "manifests", digest, whole(self.store, room))
        if not isinstance(entry.value, ManifestValue):
            return None, entry.is_tombstone
        value = entry.value
        facts = await read_apart(value.size_bytes, partial(parse_manifest, value.content, value.media_type))
        tags = await self._tags_of(repo, digest)
        referrer = None if facts.subject is None else await self.pointers.referrer_etag(repo, facts.subject, digest)
        return ManifestToDelete(entry, entry.value, facts, tags, referrer, leases), False

    async def _tags_of(self, repo: RepositoryName, digest: Digest) -> Mapping[Tag, str]:
        """Return the tags that name a manifest, each with its ETag."""
        marked = await self.pointers.marked_tags(repo, digest)
        etags = await gather(*[partial(self.pointers.tags.etag_of, repo, tag, digest) for tag in marked], limit=16)
        return {tag: etag for tag, etag in zip(marked, etags, strict=True) if etag is not None}

    async def bury(self, repo: RepositoryName, digest: Digest, to_delete: ManifestToDelete) -> bool:
        """Make the manifest stop existing, if its entry is still the one that was read."""
        return await self.records.entries.bury(repo, "manifests", digest, to_delete.entry)

    async def delete_names(self, repo: RepositoryName, digest: Digest, to_delete: ManifestToDelete) -> None:
        """Delete what led to a manifest whose entry is now a tombstone."""
        await self._delete_tags(repo, digest, to_delete.tags)
        if to_delete.facts.subject is not None and to_delete.referrer_etag is not None:
            key = keys.referrer(repo, to_delete.facts.subject, digest)
            await self.pointers.delete_if_same(key, to_delete.referrer_etag)
        if not self.store.features.all_conditions:
            await self._restore(repo, digest, to_delete)

    async def _delete_tags(self, repo: RepositoryName, digest: Digest, tags: Mapping[Tag, str]) -> None:
        delete = self.pointers.tags.delete_if_same
        await gather(*[partial(delete, repo, tag, digest, etag) for tag, etag in tags.items()], limit=16)

    async def _restore(self, repo: RepositoryName, digest: Digest, to_delete: ManifestToDelete) -> None:
        """Restore what a push of the same manifest in between may have lost."""
        before = {lease.key for lease in to_delete.leases}
        leases = await self.records.leases.find(repo, "manifests", digest)
        new = [lease for lease in leases if lease.key not in before]
        if not new:
            return
        time = new[-1].last_modified
        due = Reliance(self.records.times.deadline_s, time).due
        lease = Lease(new[-1].key.rpartition("/")[2].partition("-")[0], time, due)
        await gather(
            partial(self.records.entries.write, repo, "manifests", digest, to_delete.value, lease),
            partial(self.pointers.write_referrer, repo, to_delete.facts, digest, to_delete.value),
            *[partial(self._put_back, repo, tag, digest, to_delete.value) for tag in to_delete.tags],
        )

    async def _put_back(self, repo: RepositoryName, tag: Tag, digest: Digest, value: ManifestValue) -> None:
        """Write a tag again that may have been pushed between our reading and its deletion."""
        if await self.pointers.tags.read(repo, tag) is None:
            await self.pointers.tags.write(repo, tag, digest, value)


def unknown(reference: Reference) -> ManifestUnknown:
    """Return the error for a manifest or a tag that does not exist."""
    return ManifestUnknown(f"{reference} is not in this repository", detail={"reference": str(reference)})
