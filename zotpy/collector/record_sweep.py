"""RecordListing: what nothing needs in one repository, and leases that were superseded.

The leases are listed first, then entries, then manifests are read. What a manifest needs that was not there to be
read then, because its push came later, that push has relied on: so its lease was younger than half the grace, and is
not old enough to go.

A record goes by deleting its entry, then exactly the leases that were listed: one that was written meanwhile survives
and keeps the record, and the entry is rebuilt from it. An entry that was written since the leases were listed stays,
or reads would have to look for that lease from then on. Of a record whose entry is a tombstone the leases go first:
without the tombstone they would bring it back.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from zotpy.bucket.pointers import Pointers
from zotpy.bucket.record_listing import ListedRecord, Name, RecordListing, existing_manifests
from zotpy.bucket.tags import Tags
from zotpy.collector.collection import Collection
from zotpy.collector.references import References, read_references
from zotpy.core.digests import Digest
from zotpy.core.names import RepositoryName
from zotpy.store.interface import KeyMissing, Listed


@dataclass(frozen=True, slots=True)
class RecordSweep:
    """The records' part of one collection, for one repository."""

    collection: Collection
    repo: RepositoryName

    async def run(self, records: RecordListing, gone: frozenset[Digest], known: References) -> RecordListing:
        """Delete what may go, and return what is left.

        `gone` are manifests that need nothing any more, `known` is what others were read to name just now.
        """
        summary = self.collection.summary
        summary.leases += sum(len(record.leases) for record in records.values())
        needed = await self._needed(records, gone, known)
        left: dict[Name, ListedRecord] = {}
        for name, record in records.items():
            await self._delete_leases([lease for lease in record.late if self.collection.is_past_grace(lease)])
            if record.is_tombstone or not record.leases:
                if await self._finish_deletion(name, record):
                    continue
            elif name[0] == "blobs" and self._is_past_grace(record) and name[1] not in needed:
                if await self._delete(record):
                    continue
            else:
                await self._delete_superseded(record)
            left[name] = record
        return left

    async def _needed(self, records: RecordListing, gone: frozenset[Digest], known: References) -> frozenset[Digest]:
        """Return what the manifests need; they are read only where a blob is old enough to go."""
        blobs = [record for (kind, _), record in records.items() if kind == "blobs" and record.exists]
        if not any(map(self._is_past_grace, blobs)):
            return frozenset()
        manifests = existing_manifests(records)
        unread = [(digest, record.leases) for digest, record in manifests.items() if digest not in gone | known.keys()]
        named = [known[digest] for digest in manifests if digest in known.keys() - gone]
        return (await read_references(self.collection, self.repo, unread)).union(*named)

    def _is_past_grace(self, record: ListedRecord) -> bool:
        """Whether the newest lease and the entry are: a younger entry came with a lease that the listing missed."""
        written = [listed for listed in (record.newest(), record.entry) if listed is not None]
        return all(map(self.collection.is_past_grace, written))

    async def _delete(self, record: ListedRecord) -> bool:
        """Delete a record that nothing needs; `False` where its entry was written again since it was listed.

        It may be a tombstone by now, and the lease of a renewal before that must not bring the record back.
        """
        if record.entry is not None and not await self.collection.delete_seen(record.entry):
            return False
        self.collection.summary.records_deleted += 1
        await self._delete_leases(record.leases)
        return True

    async def _finish_deletion(self, name: Name, record: ListedRecord) -> bool:
        """Delete what a DELETE has left: tags, leases, then the tombstone; or an entry that has no lease."""
        entry = record.entry
        if entry is None or not self._is_past_grace(record):
            return False
        if name[0] == "manifests" and record.is_tombstone and not await self._delete_tags(name[1], entry):
            return False
        await self._delete_leases(record.leases)
        gone = await self.collection.delete_seen(entry)
        self.collection.summary.records_deleted += gone
        return bool(gone)

    async def _delete_tags(self, digest: Digest, tombstone: Listed) -> bool:
        """Delete tags that name a deleted manifest, as its DELETE broke off; `False` where it was pushed again.

        A push writes its tags after it has replaced the tombstone. So those that were read before the tombstone was
        seen to be still there are older.
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
