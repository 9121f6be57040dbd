"""Records: entries and leases in the store, and what it takes to rely on one.

A record is one *entry* (a predictable key: one GET answers a read) and one or more *leases* (keys never used twice).
The collector deletes a record only by deleting exactly the leases that it listed, and only if the newest of them was
older than the grace. Some requests *rely* on a record: the checks of a manifest, a mount, a HEAD that tells a client
not to push. Such a request needs a lease young enough to outlive what it is about to do:

- If the entry's lease is younger than half the grace, the request relies on it.
- If it is older, the request writes a new lease, then the entry, and then relies on it.
- If no entry exists, the request lists the leases. If it finds one, it treats it like an older one. If not, the record
  does not exist. (A HEAD does not list them: mostly the blob does not exist. See `Records.rely`.)

The entry of a small blob can be its own lease (`zotpy.bucket.own_leases`). To renew it, the request writes it again.

With a promise of the bucket (`zotpy.bucket.promise`), reads and HEADs may be answered from memory for a few seconds.
What writes anything always reads the record first.

All ages are the store's own time, from one answer of the store: no replica's clock decides anything. What is written
says by when it had to be written (`zotpy.bucket.reliance`). A late entry and a late lease count as missing.

A DELETE writes a tombstone in the entry's place and leaves the leases to the collector. If it deleted leases, it could
delete the one that a push at the same moment has just written, and that push's entry would have no lease. Entries are
replaced on the condition that they are still the ones that were read, if the store has conditions. So a renewal cannot
bring back what was deleted after it read the entry, and a DELETE cannot bury what it has not seen.
"""

from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import partial
from typing import TypeGuard

import trio

from zotpy.bucket.entries import ATTEMPTS, Entries, Seen, overtaken
from zotpy.bucket.leases import Leases
from zotpy.bucket.long_reads import Read, beginnings
from zotpy.bucket.own_leases import write_own
from zotpy.bucket.promised_entries import PromisedEntries
from zotpy.bucket.reliance import Reliance, has_passed, in_time, local_end_s
from zotpy.core import keys
from zotpy.core.digests import Digest
from zotpy.core.errors import TooLate
from zotpy.core.keys import Kind
from zotpy.core.names import RepositoryName
from zotpy.core.record_values import BlobValue, ManifestValue, Value
from zotpy.settings import GcSettings
from zotpy.store.interface import Store

SIBLING_LIMIT = 16
"""How many repositories are searched for a small blob, for a mount without `from`."""


@dataclass(frozen=True, slots=True)
class Records:
    """Reads, renews, writes and deletes the records of all repositories."""

    store: Store
    times: GcSettings
    promised: PromisedEntries = field(default_factory=PromisedEntries)
    has_own_leases: bool = False
    """The entries of small blobs are written as their own leases. All releases that use the bucket must know them."""
    _renewals: trio.CapacityLimiter = field(default_factory=lambda: trio.CapacityLimiter(4))
    """Reads long records. Each is held in memory as a whole."""

    @property
    def entries(self) -> Entries:
        """The entries alone."""
        return Entries(self.store, self.times)

    @property
    def leases(self) -> Leases:
        """The leases alone."""
        return Leases(self.store)

    def is_own_lease(self, value: Value) -> TypeGuard[BlobValue]:
        """Whether the entry of such a record is its own lease when it is written."""
        is_allowed = self.has_own_leases and self.store.features.all_conditions
        return is_allowed and isinstance(value, BlobValue) and value.data_id is None

    async def read(self, repo: RepositoryName, kind: Kind, digest: Digest, read: Read | None = None) -> Value | None:
        """Return the value for answering a read, or `None`: one GET if the entry exists, or none if it is promised."""
        if (remembered := self.promised.find((repo, kind, digest))) is not None:
            return remembered
        return (await self.look(repo, kind, digest, read)).value

    async def rely(
        self,
        repo: RepositoryName,
        kind: Kind,
        digest: Digest,
        reliance: Reliance,
        *,
        by_entry_alone: bool = False,
        seen: Seen | None = None,
    ) -> Value | None:
        """Return the value after making sure that its lease outlives the deadline, or `None`; `reliance` notes when.

        A long value may be cut: for most requests it only matters that it exists.

        `by_entry_alone`: a record without an entry counts as missing, so that one call is enough to find that out. It
        has no effect if the collector cannot delete an entry on a condition: it might then delete an entry that was
        written just now.

        `seen` is the record if it was read already, at the store's time in it.
        """
        entry_alone = by_entry_alone and self.store.features.conditional_delete
        for _ in range(ATTEMPTS):
            if seen is None:
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
                reliance.note(renewed)
                return seen.value
            seen = None
        raise overtaken(digest)

    async def _renew(
        self, repo: RepositoryName, kind: Kind, digest: Digest, seen: Seen, value: Value
    ) -> datetime | None:
        """Write a new lease, then the entry, and return the lease's time by the store's clock.

        `None`: the record has changed since it was seen, or it was long ago.
        """
        if seen.etag is not None and self.is_own_lease(value):
            stored = await self.entries.replace_by_own(repo, digest, seen, value)
            return None if stored is None else stored.store_time
        reliance = Reliance(self.times.deadline_s, seen.time)
        try:
            lease = await self.leases.write(repo, kind, digest, value, reliance)
            return None if await self.entries.replace(repo, kind, digest, seen, value, lease) is None else lease.time
        except TooLate:
            return None

    async def _renew_long(self, repo: RepositoryName, kind: Kind, digest: Digest) -> datetime | None:
        """Read a long record whole, and renew it."""
        async with self._renewals:
            seen = await self.look(repo, kind, digest)
            return None if seen.value is None else await self._renew(repo, kind, digest, seen, seen.value)

    async def read_blob(
        self, repo: RepositoryName, digest: Digest, *, by_entry_alone: bool = False
    ) -> BlobValue | None:
        """Return a blob's value, or `None`. `by_entry_alone`: a record without an entry counts as missing."""
        if (remembered := self.promised.find((repo, "blobs", digest))) is not None:
            return _blob(remembered)
        return _blob((await self.look(repo, "blobs", digest, by_entry_alone=by_entry_alone)).value)

    def promised_blob(self, repo: RepositoryName, digest: Digest) -> BlobValue | None:
        """Return a blob from memory whose lease outlives the deadline; `None`: ask the store.

        For a HEAD. What writes something that relies on a blob uses `rely`: it then sees a DELETE that is under way.
        """
        return _blob(self.promised.rely((repo, "blobs", digest)))

    async def rely_on_blob(
        self, repo: RepositoryName, digest: Digest, reliance: Reliance, *, by_entry_alone: bool = False
    ) -> BlobValue | None:
        """Return a blob's value as `rely` does, or `None`."""
        return _blob(await self.rely(repo, "blobs", digest, reliance, by_entry_alone=by_entry_alone))

    async def stat_blob(self, repo: RepositoryName, digest: Digest) -> BlobValue | None:
        """Return a blob's value after making sure that its lease outlives the deadline, or `None`, for a HEAD.

        Most blobs are missing, or have a young lease. The one call that says so ends by itself. So it has no time limit
        of ours, which costs as much as the handler. Raises as `zotpy.bucket.reliance.in_time`.
        """
        entry_alone, end_s = self.store.features.conditional_delete, local_end_s(self.times.deadline_s)
        first = await self.look(repo, "blobs", digest, beginnings(self.store), by_entry_alone=entry_alone)
        unused = [] if has_passed(end_s) else [first]
        if first.value is None or (first.is_young and unused):
            return _blob(first.value)

        async def rely(reliance: Reliance) -> Value | None:
            seen = unused.pop() if unused else None
            return await self.rely(repo, "blobs", digest, reliance, by_entry_alone=True, seen=seen)

        return _blob(await in_time(self.times.deadline_s, rely))

    async def read_manifest(
        self, repo: RepositoryName, digest: Digest, read: Read | None = None
    ) -> ManifestValue | None:
        """Return a manifest's value, or `None`; `read` may cut it."""
        value = await self.read(repo, "manifests", digest, read)
        return value if isinstance(value, ManifestValue) else None

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
        """Read the entry, never from memory; or the newest lease, if the entry is late or missing (see `rely`).

        `read` may cut either.
        """
        read = read or self.store.find
        began_s = self.promised.begin()
        seen, is_entry_late = await self.entries.look_and_date(repo, kind, digest, read)
        self.promised.keep((repo, kind, digest), seen, began_s)
        if not is_entry_late and (by_entry_alone or seen.etag is not None):
            return seen
        found = await self.leases.read_newest(repo, kind, digest, read)
        return replace(seen, value=found.value, time=found.time, is_cut=found.is_cut) if found is not None else seen

    async def write(self, repo: RepositoryName, kind: Kind, digest: Digest, value: Value, reliance: Reliance) -> None:
        """Make the record exist, or renew it, whatever existed: a new lease, then the entry. Raises `TooLate`.

        If its entry is its own lease, one call is mostly enough. Raises `TryAgain` if others overtake it each time.
        """
        if self.is_own_lease(value):
            await write_own(self.entries, repo, digest, value)
            return
        lease = await self.leases.write(repo, kind, digest, value, reliance)
        await self.entries.write(repo, kind, digest, value, lease)

    async def delete(self, repo: RepositoryName, kind: Kind, digest: Digest) -> bool:
        """Delete the record as it is now, and wait until no replica promises it; `False` if it does not exist."""
        return await self.promised.promise.kept_by(partial(self._delete, repo, kind, digest))

    async def _delete(self, repo: RepositoryName, kind: Kind, digest: Digest) -> bool:
        for attempt in range(ATTEMPTS):
            seen = await self.look(repo, kind, digest)
            is_gone = seen.value is None and not seen.is_lost
            if not is_gone and not await self.entries.bury(repo, kind, digest, seen):
                continue
            if not is_gone or seen.is_tombstone:
                await self.promised.promise.run_out()
            return not is_gone or attempt > 0  # by another request, or by this one, whose answer was lost
        raise overtaken(digest)

    def forget(self, repo: RepositoryName, kind: Kind, digest: Digest) -> None:
        """Read the record from the store the next time, because its bytes are damaged in memory or there."""
        self.promised.forget((repo, kind, digest))


def _blob(value: Value | None) -> BlobValue | None:
    return value if isinstance(value, BlobValue) else None
