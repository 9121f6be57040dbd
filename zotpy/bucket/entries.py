"""Entries: the objects with the predictable keys. One GET of an entry answers a read.

An entry is replaced on the condition that it is still the one that was read, if the store has conditions. So of two
requests that change a record, one comes wholly before the other. If the store has none, the entry is read again before
it is written.
"""

from dataclasses import dataclass
from datetime import datetime

from zotpy.bucket.long_reads import Read
from zotpy.bucket.reliance import require
from zotpy.core import keys
from zotpy.core.digests import Digest
from zotpy.core.errors import TryAgain
from zotpy.core.keys import Kind
from zotpy.core.names import Reference, RepositoryName
from zotpy.core.quick import quickly_made
from zotpy.core.record_values import BlobValue, Lease, Value, decode_entry, lost_entry, new_tombstone
from zotpy.settings import GcSettings
from zotpy.store.interface import Body, ConditionFailed, Fetched, KeyMissing, Store, Stored

ATTEMPTS = 16
"""If other requests overtake the write of an entry so often, the client is told to try again."""


@quickly_made
@dataclass(frozen=True, slots=True)
class Seen:
    """A record as it was read, and the entry that a later write may replace."""

    value: Value | None
    """`None`: the record does not exist."""
    etag: str | None = None
    """The ETag of the entry, which may be a tombstone; `None`: no entry exists."""
    epoch: str = ""
    """After which deletion the entry was written."""
    young_for_s: float = 0.0
    """How much longer the lease is younger than half the grace, in seconds; not above 0: it is older."""
    time: datetime | None = None
    """The store's time when it was read; `None`: nothing could be read."""
    is_lost: bool = False
    """The record exists, but its data is missing, so the blob does not."""
    is_cut: bool = False
    """Only the beginning of the value was read."""
    is_tombstone: bool = False
    """The record was deleted, and its tombstone still exists, or a late entry that took its place."""

    @property
    def is_young(self) -> bool:
        """Whether the lease is younger than half the grace."""
        return self.young_for_s > 0

    def continues(self, earlier: "Seen") -> bool:
        """Whether the record exists, and was not deleted since it was seen earlier, however often it was written."""
        return self.value is not None and self.epoch == earlier.epoch


@quickly_made
@dataclass(frozen=True, slots=True)
class Entries:
    """Reads, writes and replaces the entries of all repositories."""

    store: Store
    times: GcSettings

    async def look(self, repo: RepositoryName, kind: Kind, digest: Digest, read: Read | None = None) -> Seen:
        """Read the entry alone: one GET. A late one counts as missing."""
        return (await self.look_and_date(repo, kind, digest, read or self.store.find))[0]

    async def look_and_date(self, repo: RepositoryName, kind: Kind, digest: Digest, read: Read) -> tuple[Seen, bool]:
        """Read the entry alone, and whether it was written too late to say anything."""
        if (fetched := await read(keys.entry(repo, kind, digest))) is None:
            return Seen(None), False
        return self.seen_in(kind, fetched)

    def seen_in(self, kind: Kind, fetched: Fetched) -> tuple[Seen, bool]:
        """Return what an entry says, and whether it was written too late to say anything. Raises `FramingError`."""
        is_cut = fetched.total_bytes is not None
        written = decode_entry(kind, fetched.body)
        entry = written.as_of(fetched.last_modified)
        if entry is None:
            return Seen(None, fetched.etag, written.epoch, time=fetched.store_time), True
        if entry.value is None:
            return Seen(None, fetched.etag, entry.epoch, time=fetched.store_time, is_tombstone=True), False
        if entry.is_lost:
            return Seen(None, fetched.etag, entry.epoch, time=fetched.store_time, is_lost=True), False
        leased_at = entry.leased_at(fetched.last_modified)
        young_for_s = 0.0 if leased_at is None else self._young_for_s(leased_at, fetched.store_time)
        return Seen(entry.value, fetched.etag, entry.epoch, young_for_s, fetched.store_time, is_cut=is_cut), False

    async def read_blob(self, repo: RepositoryName, digest: Digest) -> BlobValue | None:
        """Return what a blob's entry says, without looking further: one GET."""
        if (fetched := await self.store.find(keys.entry(repo, "blobs", digest))) is None:
            return None
        value = decode_entry("blobs", fetched.body).value
        return value if isinstance(value, BlobValue) else None

    async def write(self, repo: RepositoryName, kind: Kind, digest: Digest, value: Value, lease: Lease) -> None:
        """Write the entry that answers a read with one GET. Raises `TooLate`."""
        _require(lease, await self.store.put(keys.entry(repo, kind, digest), value.encode(lease)))

    async def replace(
        self, repo: RepositoryName, kind: Kind, digest: Digest, seen: Seen, value: Value, lease: Lease
    ) -> Seen | None:
        """Write the entry if it is still as it was seen; `None`: it is not, or did not exist and now does.

        An entry that takes the place of a tombstone says so. If it is late, and a collector has seen the tombstone,
        what the record refers to may be gone. Raises `TooLate`.
        """
        body = value.encode(lease, seen.epoch, revives=seen.is_tombstone)
        stored = await self._swap(keys.entry(repo, kind, digest), seen, body)
        if stored is None:
            return None
        _require(lease, stored)
        young_for_s = self._young_for_s(lease.time, stored.store_time)
        return Seen(value, stored.etag, seen.epoch, young_for_s, stored.store_time)

    async def replace_by_own(self, repo: RepositoryName, digest: Digest, seen: Seen, value: BlobValue) -> Stored | None:
        """Write an entry that is its own lease, if the entry is still as it was seen; `None`: it is not."""
        return await self._swap(keys.entry(repo, "blobs", digest), seen, value.encode_own(seen.epoch))

    async def mark_lost(self, repo: RepositoryName, digest: Digest, seen: Seen, value: BlobValue) -> bool:
        """Say in the entry, if it is still the one seen, that the blob's data is missing: clients push it again."""
        key = keys.entry(repo, "blobs", digest)
        return await self._swap(key, seen, lost_entry(value, seen.epoch)) is not None

    async def bury(self, repo: RepositoryName, kind: Kind, digest: Digest, seen: Seen) -> bool:
        """Write a tombstone if the entry is still as it was seen; `False`: it is not."""
        return await self._swap(keys.entry(repo, kind, digest), seen, new_tombstone()) is not None

    async def _swap(self, key: str, seen: Seen, body: Body) -> Stored | None:
        """Replace one entry on the condition that it is the one seen. If the store has no conditions, read it first."""
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
        found = await self.store.find(key)
        return None if found is None else found.etag

    def _young_for_s(self, leased_at: datetime, now: datetime) -> float:
        return self.times.grace_s / 2 - (now - leased_at).total_seconds()


def overtaken(reference: Reference) -> TryAgain:
    """Return the error of a request that other requests overtook again and again."""
    return TryAgain(f"other requests keep changing {reference}: try again")


def _require(lease: Lease, stored: Stored) -> None:
    if lease.due is not None:
        require(lease.due, stored.store_time)
