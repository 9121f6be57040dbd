"""Records: each has a readable entry that holds what its digest says, and a lease that protects it.

If a record looks wrong after all were read, the check reads it again, alone and from the beginning, before it reports
it. A lease without an entry is a push under way, as long as the deadline. A repair follows the rules for a request that
relies on a record. Within a deadline it writes a new lease, and then the entry, if that is still the one that was read.
An entry that was rebuilt from an old lease alone would name the id of data that the collector has found unnamed.
"""

from contextlib import suppress
from dataclasses import dataclass, field

from zotpy.bucket.entries import Seen
from zotpy.bucket.record_listing import RecordListing
from zotpy.bucket.reliance import Reliance
from zotpy.concurrency import within_deadline
from zotpy.core import keys
from zotpy.core.digests import Digest
from zotpy.core.errors import TooLate
from zotpy.core.framing import FramingError
from zotpy.core.keys import Kind
from zotpy.core.names import RepositoryName
from zotpy.core.record_values import BlobValue, Entry, Value, decode_value
from zotpy.inspection.looking import Look, ReadEntry
from zotpy.store.interface import Fetched, KeyMissing, Listed

OTHER_DIGEST = "its bytes have another digest"


@dataclass(frozen=True, slots=True)
class RecordCheck:
    """The check of the records of one repository."""

    look: Look
    repo: RepositoryName
    listing: RecordListing
    doubtful: list[tuple[Kind, Digest]] = field(default_factory=list)
    lost: set[Digest] = field(default_factory=set)
    """Blobs whose entries say that their data is missing."""

    async def read(self, kind: Kind, digest: Digest) -> Value | None:
        """Read a record; `None` if it does not exist or is doubtful."""
        record = self.listing[kind, digest]
        if record.is_tombstone:
            return None
        found = await ReadEntry.of(self.look, self.repo, kind, digest)
        if found is not None and found.is_tombstone:
            return None  # deleted since the listing
        entry = None if found is None else found.entry
        value = None if entry is None else entry.value
        if entry is not None and entry.is_lost:
            self.lost.add(digest)
            return value
        if entry is None or value is None or not _is_right(digest, value) or not _is_leased(entry, record.leases):
            self.doubtful.append((kind, digest))
            return None
        return value

    async def read_again(self, kind: Kind, digest: Digest) -> Value | None:
        """Read a doubtful record again, report what is wrong, and repair it; `None` if nothing of it is right."""
        with within_deadline(self.look.settings.gc.deadline_s):
            found = await ReadEntry.of(self.look, self.repo, kind, digest)
            if found is not None and found.is_tombstone:
                return None
            leases = await self.look.records.leases.find(self.repo, kind, digest)
            entry = None if found is None else found.entry
            value = None if entry is None else entry.value
            if found is not None and entry is not None and value is not None and _is_right(digest, value):
                if not _is_leased(entry, leases) and await self._is_same(kind, digest, found):
                    await self._mend(kind, digest, found, _Kept(value, found.fetched), "no lease protects it")
                return value
            if found is None and not leases:
                return None  # collected since the listing
            kept = await self._from_leases(kind, digest, leases)
            if kept is None and found is not None and found.is_late:
                self.look.report.late += 1
                return None  # of a request that was not acknowledged
            if kept is None:
                self._tell(digest, f"{_damage(found)}, and no lease has it")
                return None
            if found is not None or not self.look.is_recent(kept.fetched):
                await self._mend(kind, digest, found, kept, f"{_damage(found)}; a lease has it")
            return kept.value

    async def _from_leases(self, kind: Kind, digest: Digest, leases: list[Listed]) -> "_Kept | None":
        """Return the newest value that is right."""
        for lease in reversed(leases):
            try:
                fetched = await self.look.store.get(lease.key)
                value = decode_value(kind, fetched.body)
            except (KeyMissing, FramingError):
                continue
            if _is_right(digest, value):
                return _Kept(value, fetched)
        return None

    async def _is_same(self, kind: Kind, digest: Digest, found: ReadEntry | None) -> bool:
        """Whether the entry still exists: the collector deletes leases after it."""
        again = await ReadEntry.of(self.look, self.repo, kind, digest)
        return found is not None and again is not None and again.fetched.etag == found.fetched.etag

    async def _mend(self, kind: Kind, digest: Digest, found: ReadEntry | None, kept: "_Kept", problem: str) -> None:
        mended = False
        if self.look.repair:
            epoch = found.entry.epoch if found is not None and found.entry is not None else ""
            seen = Seen(kept.value, None if found is None else found.fetched.etag, epoch)
            reliance = Reliance(self.look.settings.gc.deadline_s, kept.fetched.store_time)
            with suppress(TooLate):
                lease = await self.look.records.leases.write(self.repo, kind, digest, kept.value, reliance)
                written = await self.look.records.entries.replace(self.repo, kind, digest, seen, kept.value, lease)
                if written is None:
                    return  # pushed or deleted meanwhile
                mended = True
        self._tell(digest, problem, mended=mended)

    def _tell(self, digest: Digest, problem: str, *, mended: bool = False) -> None:
        self.look.tell(f"{self.repo} {digest}", problem, mended=mended)


@dataclass(frozen=True, slots=True)
class _Kept:
    """The right value, and what it was read from."""

    value: Value
    fetched: Fetched


def _damage(found: ReadEntry | None) -> str:
    """Say what is wrong with an entry that holds nothing right."""
    if found is None:
        return "its entry is lost"
    return f"its entry cannot be read ({found.damage})" if found.entry is None else OTHER_DIGEST


def _is_right(digest: Digest, value: Value) -> bool:
    """Whether a value holds the bytes that the digest says. For data objects, `data_check` checks that."""
    if isinstance(value, BlobValue) and value.data_id is not None:
        return value.size_bytes > 0
    return Digest.of(value.content, digest.algorithm) == digest


def _is_leased(entry: Entry, leases: list[Listed]) -> bool:
    """Whether the entry is its own lease, or a lease keeps the record, and the same data that the entry names."""
    data_id = entry.value.data_id if isinstance(entry.value, BlobValue) else None
    return entry.is_own_lease or any(_says_nothing(lease) or keys.data_of(lease.key) == data_id for lease in leases)


def _says_nothing(lease: Listed) -> bool:
    """Whether a lease was written before the keys of leases named their data."""
    return "-" not in lease.key.rpartition("/")[2]
