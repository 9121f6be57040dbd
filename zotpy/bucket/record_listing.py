"""The records of one repository as they are listed: leases and entries by their keys, without reading any."""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field

from zotpy.bucket.sweeps import list_all
from zotpy.concurrency import taking_turns
from zotpy.core import keys
from zotpy.core.digests import Digest
from zotpy.core.errors import DigestInvalid
from zotpy.core.keys import Kind
from zotpy.core.names import RepositoryName
from zotpy.core.record_values import TOMBSTONE_BYTES, is_late
from zotpy.store.interface import Listed, Store

Name = tuple[Kind, Digest]


@dataclass(slots=True)
class ListedRecord:
    """One record of a repository, as it was listed."""

    leases: list[Listed] = field(default_factory=list)
    entry: Listed | None = None
    late: list[Listed] = field(default_factory=list)
    """Leases that came too late to count."""

    @property
    def is_tombstone(self) -> bool:
        """Whether the record was deleted: no other entry has this length."""
        return self.entry is not None and self.entry.size_bytes == TOMBSTONE_BYTES

    def exists_as(self, kind: Kind) -> bool:
        """Whether a lease exists, or of a blob an entry that may be its own lease, and no tombstone."""
        is_kept = bool(self.leases) or (kind == "blobs" and self.entry is not None)
        return is_kept and not self.is_tombstone

    @property
    def size_bytes(self) -> int:
        """Length of the newest lease, or of the entry if no lease exists; 0 if neither exists."""
        listed = self.newest() or self.entry
        return 0 if listed is None else listed.size_bytes

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


RecordListing = Mapping[Name, ListedRecord]


def existing_manifests(records: RecordListing) -> Mapping[Digest, ListedRecord]:
    """Return the manifests of a repository, of all its records."""
    return {
        digest: record for (kind, digest), record in records.items() if kind == "manifests" and record.exists_as(kind)
    }


async def list_records(store: Store, repo: RepositoryName, foreign: list[str] | None = None) -> RecordListing:
    """List the records of a repository: the leases, then the entries.

    Keys that are not this registry's are added to `foreign`. Without `foreign` they raise `DigestInvalid`.
    """
    records: defaultdict[Name, ListedRecord] = defaultdict(ListedRecord)
    async for lease in taking_turns(await list_all(store, keys.all_of(keys.LEASES, repo))):
        if (name := _name(lease.key, foreign)) is not None:
            is_none = is_late(lease.last_modified, keys.lease_until(lease.key))
            (records[name].late if is_none else records[name].leases).append(lease)
    async for entry in taking_turns(await list_all(store, keys.all_of(keys.ENTRIES, repo))):
        if (name := _name(entry.key, foreign)) is not None:
            records[name].entry = entry
    return records


def _name(key: str, foreign: list[str] | None) -> Name | None:
    """Read which record a key belongs to; `None`: it is now among `foreign`."""
    try:
        return keys.record_of(key)
    except DigestInvalid:
        if foreign is None:
            raise
        foreign.append(key)
        return None
