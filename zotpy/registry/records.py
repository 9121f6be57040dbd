"""Records: entries and leases in the store, and what it takes to rely on one.

A record is one *entry* (a predictable key: one GET answers a read) and one or more *leases* (keys never used twice).
The collector deletes a record only by deleting exactly the leases it listed, and only where the newest of them was
older than the grace period. So whoever wants to *rely* on a record (the checks of a manifest, a mount, a HEAD
that tells a client not to push) needs a lease young enough to outlive what it is about to do:

- the entry's lease is younger than half the grace period: rely on it;
- it is older: write a new lease, then the entry, then rely on it;
- there is no entry: list the leases; with one, do as for an older one; with none, there is no record.

All ages are the store's own time, from one answer of the store: no replica's clock decides anything.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from zotpy.core import keys
from zotpy.core.digests import Digest
from zotpy.core.keys import Kind
from zotpy.core.names import RepositoryName
from zotpy.core.records import BlobValue, Lease, ManifestValue, Value, decode_value
from zotpy.registry.settings import RegistrySettings
from zotpy.store.interface import KeyMissing, Listed, Store
from zotpy.store.sweeps import delete_all, list_all

SIBLING_LIMIT = 16
"""How many repositories are asked for a small blob that a client wants mounted from anywhere."""


@dataclass(frozen=True, slots=True)
class Records:
    """Reads, renews and writes the records of all repositories."""

    store: Store
    settings: RegistrySettings

    async def read(self, repo: RepositoryName, kind: Kind, digest: Digest) -> Value | None:
        """Return the value for answering a read, or `None`: one GET, where the entry is there."""
        return await self._find(repo, kind, digest, rely=False)

    async def rely(self, repo: RepositoryName, kind: Kind, digest: Digest) -> Value | None:
        """Return the value after making sure that its lease outlives the deadline, or `None`."""
        return await self._find(repo, kind, digest, rely=True)

    async def read_blob(self, repo: RepositoryName, digest: Digest, *, rely: bool = False) -> BlobValue | None:
        """Return a blob's value, or `None`."""
        value = await self._find(repo, "blobs", digest, rely=rely)
        return value if isinstance(value, BlobValue) else None

    async def read_manifest(self, repo: RepositoryName, digest: Digest) -> ManifestValue | None:
        """Return a manifest's value, or `None`."""
        value = await self._find(repo, "manifests", digest, rely=False)
        return value if isinstance(value, ManifestValue) else None

    async def read_entry(self, repo: RepositoryName, digest: Digest) -> BlobValue | None:
        """Return what a blob's entry says, without looking further: one GET."""
        try:
            fetched = await self.store.get(keys.entry(repo, "blobs", digest))
        except KeyMissing:
            return None
        return BlobValue.decode(fetched.body)[0]

    async def siblings(self, repo: RepositoryName) -> list[RepositoryName]:
        """Return a few other repositories with the same parent, by one listing."""
        prefix = keys.siblings(repo)
        listing = await self.store.list(prefix, limit=SIBLING_LIMIT, directories=True)
        names = [keys.sibling_of(directory) for directory in listing.directories]
        return [name for name in names if name is not None and name != repo]

    async def write(self, repo: RepositoryName, kind: Kind, digest: Digest, value: Value) -> None:
        """Make the record exist, or renew it: a new lease, then the entry."""
        lease = await self.write_lease(repo, kind, digest, value)
        await self.write_entry(repo, kind, digest, value, lease)

    async def write_lease(self, repo: RepositoryName, kind: Kind, digest: Digest, value: Value) -> Lease:
        """Write the authority; the record exists from here on."""
        lease_id = keys.new_id()
        stored = await self.store.put(keys.leases(repo, kind, digest) + lease_id, value.encode())
        return Lease(lease_id, stored.store_time)

    async def write_entry(self, repo: RepositoryName, kind: Kind, digest: Digest, value: Value, lease: Lease) -> None:
        """Write what answers a read with one GET."""
        await self.store.put(keys.entry(repo, kind, digest), value.encode(lease))

    async def list_leases(self, repo: RepositoryName, kind: Kind, digest: Digest) -> list[Listed]:
        """List all leases of one record, newest last."""
        leases = await list_all(self.store, keys.leases(repo, kind, digest))
        return sorted(leases, key=lambda lease: (lease.last_modified, lease.key))

    async def delete(self, repo: RepositoryName, kind: Kind, digest: Digest) -> bool:
        """Delete the entry, then exactly the leases that are listed now; `False` where there was no lease."""
        leases = await self.list_leases(repo, kind, digest)
        if not leases:
            return False
        await self.delete_listed(repo, kind, digest, leases)
        return True

    async def delete_listed(self, repo: RepositoryName, kind: Kind, digest: Digest, leases: Sequence[Listed]) -> None:
        """Delete the entry, then these leases and no others."""
        await self.store.delete(keys.entry(repo, kind, digest))
        await delete_all(self.store, [lease.key for lease in leases])

    async def _find(self, repo: RepositoryName, kind: Kind, digest: Digest, *, rely: bool) -> Value | None:
        try:
            fetched = await self.store.get(keys.entry(repo, kind, digest))
        except KeyMissing:
            value = await self._from_leases(repo, kind, digest)
        else:
            value, lease = decode_value(kind, fetched.body)
            if not rely or (lease is not None and self._is_young(lease, fetched.store_time)):
                return value
        if rely and value is not None:
            await self.write(repo, kind, digest, value)
        return value

    def _is_young(self, lease: Lease, now: datetime) -> bool:
        return (now - lease.time).total_seconds() < self.settings.grace_s / 2

    async def _from_leases(self, repo: RepositoryName, kind: Kind, digest: Digest) -> Value | None:
        """Return the value of the newest lease that can still be read."""
        for lease in reversed(await self.list_leases(repo, kind, digest)):
            try:
                fetched = await self.store.get(lease.key)
            except KeyMissing:
                continue  # deleted since the listing
            return decode_value(kind, fetched.body)[0]
        return None
