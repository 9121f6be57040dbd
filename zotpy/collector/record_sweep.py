"""Records: what nothing needs in one repository, and leases that were superseded.

The leases are listed first, then entries, then manifests are read. What a manifest needs that was not there to be
read then, because its push came later, that push has relied on: so its lease was younger than half the grace, and is
not old enough to go.

A record goes by deleting its entry, then exactly the leases that were listed: one that was written meanwhile survives
and keeps the record, and the entry is rebuilt from it. An entry that was written since the leases were listed stays,
or reads would have to look for that lease from then on. Of a record whose entry is a tombstone the leases go first:
without the tombstone they would bring it back.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from zotpy.collector.collection import Collection
from zotpy.collector.references import References, read_references
from zotpy.core import keys
from zotpy.core.digests import Digest
from zotpy.core.keys import Kind
from zotpy.core.names import RepositoryName
from zotpy.core.record_values import TOMBSTONE_BYTES, is_late
from zotpy.bucket.pointers import Names
from zotpy.bucket.tags import Tags
from zotpy.store.interface import KeyMissing, Listed, Store
from zotpy.bucket.sweeps import list_all

Name = tuple[Kind, Digest]


@dataclass(slots=True)
class Record:
    """One record of a repository, as it was listed."""

    leases: list[Listed] = field(default_factory=list)
    entry: Listed | None = None
    late: list[Listed] = field(default_factory=list)
    """Leases that came too late to count."""

    @property
    def is_tombstone(self) -> bool:
        """Whether the record was deleted: no other entry has this length."""
        return self.entry is not None and self.entry.size_bytes == TOMBSTONE_BYTES

    @property
    def exists(self) -> bool:
        """Whether there is a lease, and no tombstone."""
        return bool(self.leases) and not self.is_tombstone

    def newest(self) -> Listed | None:
        """Return the newest lease."""
        return max(self.leases, key=lambda lease: (lease.last_modified, lease.key), default=None)

    def data_ids(self) -> set[str]:
        """Return the ids of the data that the leases keep."""
        return {data_id for lease in self.leases if (data_id := keys.data_of(lease.key)) is not None}

    def superseded(self) -> list[Listed]:
        """Return all leases but the newest of each data object."""
        newest: dict[str | None, Listed] = {}
        for lease in sorted(self.leases, key=lambda lease: (lease.last_modified, lease.key)):
            newest[keys.data_of(lease.key)] = lease
        return [lease for lease in self.leases if lease not in newest.values()]


Records = Mapping[Name, Record]


def existing_manifests(records: Records) -> Mapping[Digest, Record]:
    """Return the manifests of a repository, of all its records."""
    return {digest: record for (kind, digest), record in records.items() if kind == "manifests" and record.exists}


async def list_records(store: Store, repo: RepositoryName) -> Records:
    """List the records of a repository: the leases, then the entries."""
    records: defaultdict[Name, Record] = defaultdict(Record)
    for lease in await list_all(store, keys.all_of(keys.LEASES, repo)):
        record = records[keys.record_of(lease.key)]
        is_none = is_late(lease.last_modified, keys.lease_until(lease.key))
        (record.late if is_none else record.leases).append(lease)
    for entry in await list_all(store, keys.all_of(keys.ENTRIES, repo)):
        records[keys.record_of(entry.key)].entry = entry
    return records


@dataclass(frozen=True, slots=True)
class RecordSweep:
    """The records' part of one collection, for one repository."""

    collection: Collection
    repo: RepositoryName

    async def run(self, records: Records, gone: frozenset[Digest], known: References) -> Records:
        """Delete what may go, and return what is left.

        `gone` are manifests that need nothing any more, `known` is what others were read to name just now.
        """
        summary = self.collection.summary
        summary.leases += sum(len(record.leases) for record in records.values())
        needed = await self._needed(records, gone, known)
        left: dict[Name, Record] = {}
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

    async def _needed(self, records: Records, gone: frozenset[Digest], known: References) -> frozenset[Digest]:
        """Return what the manifests need; they are read only where a blob is old enough to go."""
        blobs = [record for (kind, _), record in records.items() if kind == "blobs" and record.exists]
        if not any(map(self._is_past_grace, blobs)):
            return frozenset()
        manifests = existing_manifests(records)
        unread = [(digest, record.leases) for digest, record in manifests.items() if digest not in gone | known.keys()]
        named = [known[digest] for digest in manifests if digest in known.keys() - gone]
        return (await read_references(self.collection, self.repo, unread)).union(*named)

    def _is_past_grace(self, record: Record) -> bool:
        """Whether the newest lease and the entry are: a younger entry came with a lease that the listing missed."""
        written = [listed for listed in (record.newest(), record.entry) if listed is not None]
        return all(map(self.collection.is_past_grace, written))

    async def _delete(self, record: Record) -> bool:
        """Delete a record that nothing needs; `False` where its entry was written again since it was listed.

        It may be a tombstone by now, and the lease of a renewal before that must not bring the record back.
        """
        if record.entry is not None and not await self.collection.delete_seen(record.entry):
            return False
        self.collection.summary.records_deleted += 1
        await self._delete_leases(record.leases)
        return True

    async def _finish_deletion(self, name: Name, record: Record) -> bool:
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
        marked = await Names(store, tags).marked_tags(self.repo, digest)
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

    async def _delete_superseded(self, record: Record) -> None:
        await self._delete_leases([lease for lease in record.superseded() if self.collection.is_past_grace(lease)])

    async def _delete_leases(self, leases: Sequence[Listed]) -> None:
        """Delete exactly these."""
        self.collection.summary.leases_deleted += await self.collection.delete([lease.key for lease in leases])
