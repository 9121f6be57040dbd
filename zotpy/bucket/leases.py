"""Leases: what makes a record exist.

The key of a lease is never used twice. The collector deletes only listed leases.
"""

from dataclasses import dataclass

from zotpy.bucket.entries import Seen
from zotpy.bucket.long_reads import Read
from zotpy.bucket.reliance import Reliance
from zotpy.bucket.sweeps import list_all
from zotpy.core import keys
from zotpy.core.digests import Digest
from zotpy.core.keys import Kind
from zotpy.core.names import RepositoryName
from zotpy.core.record_values import BlobValue, Lease, Value, decode_value, is_late
from zotpy.store.interface import Listed, Store


@dataclass(frozen=True, slots=True)
class Leases:
    """Writes, lists and reads the leases of all repositories."""

    store: Store

    async def write(self, repo: RepositoryName, kind: Kind, digest: Digest, value: Value, reliance: Reliance) -> Lease:
        """Write the authority. The record exists from here on, unless its entry is a tombstone. Raises `TooLate`.

        Everything that follows must be written within a deadline of it, or of what `reliance` noted before.
        """
        data_id = value.data_id if isinstance(value, BlobValue) else None
        due = reliance.due
        lease_id = keys.new_lease_id(None if due is None else due.until)
        key = keys.lease(repo, kind, digest, lease_id, data_id)
        stored = await self.store.put(key, value.encode())
        reliance.require(stored.store_time)  # the collector deletes a late one: another may have read it
        reliance.note(stored.store_time)
        return Lease(lease_id, stored.store_time, reliance.due)

    async def find(self, repo: RepositoryName, kind: Kind, digest: Digest) -> list[Listed]:
        """List all leases of one record, newest last, without late ones."""
        leases = [
            lease
            for lease in await list_all(self.store, keys.leases(repo, kind, digest))
            if not is_late(lease.last_modified, keys.lease_until(lease.key))
        ]
        return sorted(leases, key=lambda lease: (lease.last_modified, lease.key))

    async def read_newest(self, repo: RepositoryName, kind: Kind, digest: Digest, read: Read) -> Seen | None:
        """Return the value of the newest readable lease, and the store's time of it."""
        for lease in reversed(await self.find(repo, kind, digest)):
            if (fetched := await read(lease.key)) is None:
                continue  # deleted since the listing
            value = decode_value(kind, fetched.body)
            return Seen(value, time=fetched.store_time, is_cut=fetched.total_bytes is not None)
        return None
