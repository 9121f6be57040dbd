"""Records that nothing needs in one repository, and superseded leases.

The sweep lists the leases first, then the entries, and then reads the manifests. A manifest that did not exist yet was
pushed later, and its push relied on what it needs. So the leases of that were younger than half the grace, and are not
old enough to be deleted.

To delete a record, the sweep deletes its entry, then exactly the leases that it listed. A lease that was written
meanwhile survives and keeps the record, and the entry is rebuilt from it. An entry that was written since the leases
were listed stays: otherwise each read would have to look for that lease from then on. If the entry is a tombstone, the
leases are deleted first: without the tombstone they would bring the record back.

The entry of a small blob may be its own lease. A listing does not tell which one is. So each entry of a blob that has
no leases is kept as if it were one.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from zotpy.bucket.pointers import Pointers
from zotpy.bucket.record_listing import ListedRecord, Name, RecordListing, existing_manifests
from zotpy.bucket.tags import Tags
from zotpy.collector.collection import Collection
from zotpy.collector.references import References, read_references
from zotpy.concurrency import taking_turns
from zotpy.core.digests import Digest
from zotpy.core.framing import FramingError
from zotpy.core.names import RepositoryName
from zotpy.core.record_values import decode_entry
from zotpy.store.interface import KeyMissing, Listed


@dataclass(frozen=True, slots=True)
class RecordSweep:
    """The records' part of one collection, for one repository."""

    collection: Collection
    repo: RepositoryName

    async def run(self, records: RecordListing, gone: frozenset[Digest], known: References) -> RecordListing:
        """Delete what may be deleted, and return what is left.

        `gone` are manifests that need nothing any more. `known` is what other manifests name, as just read.
        """
        summary = self.collection.summary
        summary.leases += sum(len(record.leases) for record in records.values())
        needed = await self._needed(records, gone, known)
        left: dict[Name, ListedRecord] = {}
        async for name, record in taking_turns(records.items()):
            await self._delete_leases([lease for lease in record.late if self.collection.is_past_grace(lease)])
            is_deleted = record.is_tombstone or (name[0] == "manifests" and await self._is_refused(record))
            if is_deleted or not record.exists_as(name[0]):
                if await self._finish_deletion(name, record, is_deleted=is_deleted):
                    continue
            elif name[0] == "blobs" and self._is_past_grace(record) and name[1] not in needed:
                if await self._delete(record):
                    continue
            else:
                await self._delete_superseded(record)
            left[name] = record
        return left

    async def _needed(self, records: RecordListing, gone: frozenset[Digest], known: References) -> frozenset[Digest]:
        """Return what the manifests need. They are read only if a blob is old enough to be deleted."""
        async for (kind, _), record in taking_turns(records.items()):
            if kind == "blobs" and record.exists_as(kind) and self._is_past_grace(record):
                break
        else:
            return frozenset()
        manifests = existing_manifests(records)
        unread = [(digest, record.leases) for digest, record in manifests.items() if digest not in gone | known.keys()]
        named = [known[digest] for digest in manifests if digest in known.keys() - gone]
        return (await read_references(self.collection, self.repo, unread)).union(*named)

    def _is_past_grace(self, record: ListedRecord) -> bool:
        """Whether newest lease and entry are both old: a younger entry came with a lease that the listing missed."""
        written = [listed for listed in (record.newest(), record.entry) if listed is not None]
        return all(map(self.collection.is_past_grace, written))

    async def _delete(self, record: ListedRecord) -> bool:
        """Delete a record that nothing needs; `False` if its entry was written again since it was listed.

        It may be a tombstone by now, and the lease of an earlier renewal must not bring the record back.
        """
        if await self._needs_condition(record):
            return False
        if record.entry is not None and not await self.collection.delete_seen(record.entry):
            return False
        self.collection.summary.records_deleted += 1
        await self._delete_leases(record.leases)
        return True

    async def _needs_condition(self, record: ListedRecord) -> bool:
        """Whether only a condition tells that nobody has renewed the entry, and the store has none any more.

        Replicas that have seen the store honour conditions may have written an entry that is its own lease.
        """
        store, entry = self.collection.store, record.entry
        if store.features.conditional_delete or entry is None or record.data_ids():
            return False
        found = await store.find(entry.key)
        try:
            return found is not None and decode_entry("blobs", found.body).is_own_lease
        except FramingError:  # damaged: nobody can rely on it
            return False

    async def _is_refused(self, record: ListedRecord) -> bool:
        """Whether the entry of an old manifest took a tombstone's place too late: it counts as that tombstone.

        One GET, but only if the entry was written so long after one of the leases that it may be late. It comes before
        any lease is deleted: after that nothing shows whether the entry is late.
        """
        entry, deadline_s = record.entry, self.collection.settings.gc.deadline_s
        may_go = self._is_past_grace(record) or any(map(self.collection.is_past_grace, record.superseded()))
        if entry is None or not record.leases or not may_go:
            return False
        oldest = min(lease.last_modified for lease in record.leases)
        if (entry.last_modified - oldest).total_seconds() <= deadline_s / 2:
            return False
        try:
            fetched = await self.collection.store.get(entry.key)
            counts = decode_entry("manifests", fetched.body).unless_refused(fetched.last_modified)
        except (KeyMissing, FramingError):  # deleted meanwhile, or damaged, which `fsck` reports
            return False
        return fetched.etag == entry.etag and counts.value is None

    async def _finish_deletion(self, name: Name, record: ListedRecord, *, is_deleted: bool) -> bool:
        """Delete what a DELETE has left: tags, leases, then the tombstone; or a manifest's entry without a lease."""
        entry = record.entry
        if entry is None or not self._is_past_grace(record):
            return False
        if name[0] == "manifests" and is_deleted and not await self._delete_tags(name[1], entry):
            return False
        await self._delete_leases(record.leases)
        gone = await self.collection.delete_seen(entry)
        self.collection.summary.records_deleted += gone
        return bool(gone)

    async def _delete_tags(self, digest: Digest, tombstone: Listed) -> bool:
        """Delete tags that name a deleted manifest, because its DELETE broke off; `False` if it was pushed again.

        A push writes its tags after it has replaced the tombstone. So tags that were read before the tombstone was seen
        to be still in place are older.
        """
        store = self.collection.store
        tags = Tags(store)
        marked = await Pointers(store, tags).marked_tags(self.repo, digest)
        etags = {tag: await tags.etag_of(self.repo, tag, digest) for tag in marked}
        left = {tag: etag for tag, etag in etags.items() if etag is not None}
        if left and await self._etag(tombstone) != tombstone.etag:
            return False
        for tag, etag in left.items():
            self.collection.summary.tags_deleted += 1
            if not self.collection.settings.dry_run:
                await tags.delete_if_same(self.repo, tag, digest, etag)
        return True

    async def _etag(self, listed: Listed) -> str | None:
        """Return the ETag that an object has now."""
        try:
            return (await self.collection.store.get(listed.key)).etag
        except KeyMissing:
            return None

    async def _delete_superseded(self, record: ListedRecord) -> None:
        await self._delete_leases([lease for lease in record.superseded() if self.collection.is_past_grace(lease)])

    async def _delete_leases(self, leases: Sequence[Listed]) -> None:
        """Delete exactly these."""
        self.collection.summary.leases_deleted += await self.collection.delete([lease.key for lease in leases])
