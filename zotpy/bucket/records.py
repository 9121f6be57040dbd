"""Records: entries and leases in the store, and what it takes to rely on one.

A record is one *entry* (a predictable key: one GET answers a read) and one or more *leases* (keys never used twice).
The collector deletes a record only by deleting exactly the leases it listed, and only where the newest of them was
older than the grace period. So whoever wants to *rely* on a record (the checks of a manifest, a mount, a HEAD
that tells a client not to push) needs a lease young enough to outlive what it is about to do:

- the entry's lease is younger than half the grace period: rely on it;
- it is older: write a new lease, then the entry, then rely on it;
- there is no entry: list the leases; with one, do as for an older one; with none, there is no record. (A HEAD does not
  list them: mostly there is no such blob. See `Records.rely`.)

All ages are the store's own time, from one answer of the store: no replica's clock decides anything. What is written
says until when it was to be written (`zotpy.bucket.reliance`). A late entry is as none, a late lease is none.

A DELETE writes a tombstone in the entry's place and leaves the leases to the collector. Were it to delete the leases,
it could take the one that a push at the same moment has just written, and that push's entry would stand without one.
Entries are replaced on the condition that they are still the ones that were read, where the store has conditions: a
renewal cannot bring back what was deleted after it looked, and a DELETE cannot bury what it has not seen.
"""

from dataclasses import dataclass, field, replace
from datetime import datetime

import trio

from zotpy.bucket.long_reads import Read, beginnings
from zotpy.bucket.reliance import Reliance, require
from zotpy.bucket.sweeps import list_all
from zotpy.bucket.times import Times
from zotpy.core import keys
from zotpy.core.digests import Digest
from zotpy.core.errors import TooLate, TryAgain
from zotpy.core.keys import Kind
from zotpy.core.names import Reference, RepositoryName
from zotpy.core.record_values import (
    BlobValue,
    Lease,
    ManifestValue,
    Value,
    decode_entry,
    decode_value,
    is_late,
    lost_entry,
    new_tombstone,
)
from zotpy.store.interface import Body, ConditionFailed, KeyMissing, Listed, Store, Stored

SIBLING_LIMIT = 16
"""How many repositories are asked for a small blob that a client wants mounted from anywhere."""
ATTEMPTS = 16
"""How often a write of an entry may be overtaken before the client is told to try again."""


@dataclass(frozen=True, slots=True)
class Seen:
    """A record as it was read, and the entry that a later write may replace."""

    value: Value | None
    """`None`: there is no such record."""
    etag: str | None = None
    """Of the entry, which may be a tombstone; `None`: there is no entry."""
    epoch: str = ""
    """Which deletion the entry came after."""
    is_young: bool = False
    """The lease is younger than half the grace period."""
    time: datetime | None = None
    """The store's, when it was read; `None`: there was nothing to read."""
    is_lost: bool = False
    """There is a record, and no blob: its data is gone."""
    is_cut: bool = False
    """Only the beginning of the value was read."""

    @property
    def is_tombstone(self) -> bool:
        """The record was deleted, and what tells it is still there."""
        return self.value is None and self.etag is not None

    def continues(self, earlier: "Seen") -> bool:
        """Whether the record is there, and was not deleted since it was seen earlier, however often it was written."""
        return self.value is not None and self.epoch == earlier.epoch


@dataclass(frozen=True, slots=True)
class Records:
    """Reads, renews, writes and deletes the records of all repositories."""

    store: Store
    times: Times
    _renewals: trio.CapacityLimiter = field(default_factory=lambda: trio.CapacityLimiter(4))
    """Of long records: each is held in memory as a whole."""

    async def read(self, repo: RepositoryName, kind: Kind, digest: Digest, read: Read | None = None) -> Value | None:
        """Return the value for answering a read, or `None`: one GET, where the entry is there."""
        return (await self.look(repo, kind, digest, read)).value

    async def rely(
        self, repo: RepositoryName, kind: Kind, digest: Digest, reliance: Reliance, *, by_entry_alone: bool = False
    ) -> Value | None:
        """Return the value after making sure that its lease outlives the deadline, or `None`; `reliance` notes when.

        A long value may be cut: of most, only that it is there is of use.

        `by_entry_alone`: a record whose entry is lost is none, and to find out that there is none takes one call. It
        has no effect where the collector cannot delete an entry on a condition, and may so take one written just now.
        """
        entry_alone = by_entry_alone and self.store.features.conditional_delete
        for _ in range(ATTEMPTS):
            seen = await self.look(repo, kind, digest, beginnings(self.store), by_entry_alone=entry_alone)
            if seen.value is None or seen.is_young:
                if seen.value is not None and seen.time is not None:
                    reliance.note(seen.time)
                return seen.value
            if seen.is_cut:
                renewed = await self._renew_long(repo, kind, digest)
            else:
                renewed = await self._renew(repo, kind, digest, seen, seen.value)
            if renewed is not None:
                reliance.note(renewed.time)
                return seen.value
        raise overtaken(digest)

    async def _renew(self, repo: RepositoryName, kind: Kind, digest: Digest, seen: Seen, value: Value) -> Lease | None:
        """Write a new lease, then the entry; `None`: the record has changed since it was seen, or it was long ago."""
        reliance = Reliance(self.times.deadline_s, seen.time)
        try:
            lease = await self.write_lease(repo, kind, digest, value, reliance)
            return None if await self.replace(repo, kind, digest, seen, value, lease) is None else lease
        except TooLate:
            return None

    async def _renew_long(self, repo: RepositoryName, kind: Kind, digest: Digest) -> Lease | None:
        """Read a long record whole, and renew it."""
        async with self._renewals:
            seen = await self.look(repo, kind, digest)
            return None if seen.value is None else await self._renew(repo, kind, digest, seen, seen.value)

    async def read_blob(self, repo: RepositoryName, digest: Digest) -> BlobValue | None:
        """Return a blob's value, or `None`."""
        return _blob(await self.read(repo, "blobs", digest))

    async def rely_on_blob(
        self, repo: RepositoryName, digest: Digest, reliance: Reliance, *, by_entry_alone: bool = False
    ) -> BlobValue | None:
        """Return a blob's value as `rely` does, or `None`."""
        return _blob(await self.rely(repo, "blobs", digest, reliance, by_entry_alone=by_entry_alone))

    async def read_manifest(
        self, repo: RepositoryName, digest: Digest, read: Read | None = None
    ) -> ManifestValue | None:
        """Return a manifest's value, or `None`; `read` may cut it."""
        value = await self.read(repo, "manifests", digest, read)
        return value if isinstance(value, ManifestValue) else None

    async def read_entry(self, repo: RepositoryName, digest: Digest) -> BlobValue | None:
        """Return what a blob's entry says, without looking further: one GET."""
        try:
            fetched = await self.store.get(keys.entry(repo, "blobs", digest))
        except KeyMissing:
            return None
        return _blob(decode_entry("blobs", fetched.body).value)

    async def siblings(self, repo: RepositoryName) -> list[RepositoryName]:
        """Return a few other repositories with the same parent, by one listing."""
        prefix = keys.siblings(repo)
        listing = await self.store.list(prefix, limit=SIBLING_LIMIT, directories=True)
        names = [keys.repository_below(keys.ENTRIES, directory) for directory in listing.directories]
        return [name for name in names if name is not None and name != repo]

    async def look(
        self,
        repo: RepositoryName,
        kind: Kind,
        digest: Digest,
        read: Read | None = None,
        *,
        by_entry_alone: bool = False,
    ) -> Seen:
        """Read the entry; or the newest lease, if the entry is a late one, or if there is none (see `rely`).

        `read` may cut either.
        """
        read = read or self.store.get
        seen, is_entry_late = await self._look_at_entry(repo, kind, digest, read)
        if not is_entry_late and (by_entry_alone or seen.etag is not None):
            return seen
        found = await self._from_leases(repo, kind, digest, read)
        return replace(seen, value=found.value, time=found.time, is_cut=found.is_cut) if found is not None else seen

    async def look_at_entry(self, repo: RepositoryName, kind: Kind, digest: Digest, read: Read | None = None) -> Seen:
        """Read the entry alone: one GET. A late one is told as a tombstone is."""
        return (await self._look_at_entry(repo, kind, digest, read or self.store.get))[0]

    async def _look_at_entry(self, repo: RepositoryName, kind: Kind, digest: Digest, read: Read) -> tuple[Seen, bool]:
        """Read the entry alone, and whether it was written too late."""
        try:
            fetched = await read(keys.entry(repo, kind, digest))
        except KeyMissing:
            return Seen(None), False
        is_cut = fetched.total_bytes is not None
        entry = decode_entry(kind, fetched.body)
        if is_late(fetched.last_modified, entry.until):
            return Seen(None, fetched.etag, entry.epoch, time=fetched.store_time), True
        if entry.is_lost:
            return Seen(None, fetched.etag, entry.epoch, time=fetched.store_time, is_lost=True), False
        young = entry.lease is not None and self._is_young(entry.lease, fetched.store_time)
        return Seen(entry.value, fetched.etag, entry.epoch, young, fetched.store_time, is_cut=is_cut), False

    async def write(self, repo: RepositoryName, kind: Kind, digest: Digest, value: Value, reliance: Reliance) -> None:
        """Make the record exist, or renew it, whatever was there: a new lease, then the entry. Raises `TooLate`."""
        lease = await self.write_lease(repo, kind, digest, value, reliance)
        await self.write_entry(repo, kind, digest, value, lease)

    async def write_lease(
        self, repo: RepositoryName, kind: Kind, digest: Digest, value: Value, reliance: Reliance
    ) -> Lease:
        """Write the authority; the record exists from here on, unless its entry is a tombstone. Raises `TooLate`.

        All that follows must be written within a deadline of it, or of what `reliance` noted before.
        """
        data_id = value.data_id if isinstance(value, BlobValue) else None
        due = reliance.due
        lease_id = keys.new_lease_id(None if due is None else due.until)
        key = keys.lease(repo, kind, digest, lease_id, data_id)
        stored = await self.store.put(key, value.encode())
        reliance.require(stored.store_time)  # one that came too late is the collector's: another may have read it
        reliance.note(stored.store_time)
        return Lease(lease_id, stored.store_time, reliance.due)

    async def write_entry(self, repo: RepositoryName, kind: Kind, digest: Digest, value: Value, lease: Lease) -> None:
        """Write what answers a read with one GET. Raises `TooLate`."""
        _require(lease, await self.store.put(keys.entry(repo, kind, digest), value.encode(lease)))

    async def replace(
        self, repo: RepositoryName, kind: Kind, digest: Digest, seen: Seen, value: Value, lease: Lease
    ) -> Seen | None:
        """Write the entry if it is still as it was seen; `None`: it is not, or was not there and now is.

        Raises `TooLate`.
        """
        stored = await self._swap(keys.entry(repo, kind, digest), seen, value.encode(lease, seen.epoch))
        if stored is None:
            return None
        _require(lease, stored)
        return Seen(value, stored.etag, seen.epoch, is_young=True, time=stored.store_time)

    async def mark_lost(self, repo: RepositoryName, digest: Digest, seen: Seen, value: BlobValue) -> bool:
        """Say in the entry, if it is still as it was seen, that the blob's data is gone: so a push is not spared."""
        key = keys.entry(repo, "blobs", digest)
        return await self._swap(key, seen, lost_entry(value, seen.epoch)) is not None

    async def bury(self, repo: RepositoryName, kind: Kind, digest: Digest, seen: Seen) -> bool:
        """Write a tombstone if the entry is still as it was seen; `False`: it is not."""
        return await self._swap(keys.entry(repo, kind, digest), seen, new_tombstone()) is not None

    async def delete(self, repo: RepositoryName, kind: Kind, digest: Digest) -> bool:
        """Delete the record as it is now; `False` where there is none."""
        for attempt in range(ATTEMPTS):
            seen = await self.look(repo, kind, digest)
            if seen.value is None and not seen.is_lost:
                return attempt > 0  # by another request, or by this one, whose answer was lost
            if await self.bury(repo, kind, digest, seen):
                return True
        raise overtaken(digest)

    async def list_leases(self, repo: RepositoryName, kind: Kind, digest: Digest) -> list[Listed]:
        """List all leases of one record, newest last; late ones are none."""
        leases = [
            lease
            for lease in await list_all(self.store, keys.leases(repo, kind, digest))
            if not is_late(lease.last_modified, keys.lease_until(lease.key))
        ]
        return sorted(leases, key=lambda lease: (lease.last_modified, lease.key))

    async def _swap(self, key: str, seen: Seen, body: Body) -> Stored | None:
        """Replace one entry on the condition that it is the one seen; see by a read, where the store has none."""
        features = self.store.features
        if not (features.conditional_create if seen.etag is None else features.conditional_replace):
            if await self._etag(key) != seen.etag:
                return None
            return await self.store.put(key, body)
        try:
            return await self.store.put(key, body, if_none_match=seen.etag is None, if_match=seen.etag)
        except (ConditionFailed, KeyMissing):
            return None

    async def _etag(self, key: str) -> str | None:
        try:
            return (await self.store.get(key)).etag
        except KeyMissing:
            return None

    def _is_young(self, lease: Lease, now: datetime) -> bool:
        return (now - lease.time).total_seconds() < self.times.grace_s / 2

    async def _from_leases(self, repo: RepositoryName, kind: Kind, digest: Digest, read: Read) -> Seen | None:
        """Return the value of the newest lease that can still be read, and the store's time of that."""
        for lease in reversed(await self.list_leases(repo, kind, digest)):
            try:
                fetched = await read(lease.key)
            except KeyMissing:
                continue  # deleted since the listing
            value = decode_value(kind, fetched.body)
            return Seen(value, time=fetched.store_time, is_cut=fetched.total_bytes is not None)
        return None


def _require(lease: Lease, stored: Stored) -> None:
    if lease.due is not None:
        require(lease.due, stored.store_time)


def _blob(value: Value | None) -> BlobValue | None:
    return value if isinstance(value, BlobValue) else None


def overtaken(reference: Reference) -> TryAgain:
    """Return the error of a request that other requests were faster than, again and again."""
    return TryAgain(f"other requests keep changing {reference}: try again")
