"""Records: what makes a blob or a manifest exist in a repository, as written in entries, leases and tags.

A lease and an entry hold the same value. The entry also says after which lease it was written, and the store's time of
that lease. So one GET gives both the content and whether a request may rely on it. The entry of a small blob may be its
*own lease* (`zotpy.bucket.own_leases`): then its age is the time at which the store wrote it.

An entry may be a tombstone instead: the record was deleted, whatever leases exist. Each tombstone begins an *epoch*,
and every later entry of the record names it. So a request that reads an entry twice knows whether the record was
deleted in between. Each writing of an entry differs from every other (`nonce`), so its ETag tells whether it was
written in between. A push writes the very same value before its tags and after them, and a DELETE must notice that.

An entry that takes the place of a tombstone says so (`revives`). If it is late, it counts as that tombstone.
"""

import secrets
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Self

from zotpy.core.framing import FramingError, frame, framed, unframe
from zotpy.core.keys import Kind
from zotpy.core.pieces import Pieces
from zotpy.core.quick import quickly_made

INLINE_LIMIT_BYTES = 64 * 1024
"""A blob up to this length is in its entry; a longer one is in a data object of its own."""
OWN = "own"
"""What an entry that is its own lease says in the place of one."""


@quickly_made
@dataclass(frozen=True, slots=True)
class Due:
    """When a write must happen that relies on something that was read; by the store's clock."""

    by: datetime
    """A later write is not acknowledged."""
    until: datetime
    """A write that the store dates later counts as not made. What is written contains this time."""


@quickly_made
@dataclass(frozen=True, slots=True)
class Lease:
    """One lease of a record: its id, and the store's time at which it was written."""

    lease_id: str
    time: datetime
    due: Due | None = None
    """By when the entry must be written; `None`: at any time."""


@quickly_made
@dataclass(frozen=True, slots=True)
class BlobValue:
    """What a blob's record says: the bytes themselves, or the id of the data object that holds them."""

    size_bytes: int
    data_id: str | None = None
    content: bytes = b""

    def encode(self, lease: Lease | None = None, epoch: str = "", *, revives: bool = False) -> bytes:
        """Write the value of a lease or, with `lease`, that of the entry."""
        header: dict[str, Any] = {"v": 1, "size": self.size_bytes}
        if self.data_id is not None:
            header["data"] = self.data_id
        return frame(header | _entry_header(lease, epoch, revives=revives), self.content)

    def encode_own(self, epoch: str) -> bytes:
        """Write an entry that is its own lease. It holds the blob's bytes."""
        header = {"v": 1, "size": self.size_bytes, "lease": OWN, "nonce": secrets.token_hex(4)}
        return frame(header | _epoch_field(epoch), self.content)

    @classmethod
    def read(cls, header: dict[str, Any], body: bytes) -> Self:
        """Read either, unframed. Raises `FramingError`."""
        data_id, size = header.get("data"), header.get("size")
        if not isinstance(size, int) or (data_id is None and len(body) != size):
            msg = "a blob's record is not as long as it says"
            raise FramingError(msg)
        return cls(size, data_id, body)


@dataclass(frozen=True, slots=True)
class ManifestValue:
    """What a manifest's record says: its bytes, exactly as pushed, and their media type."""

    media_type: str
    content: bytes
    is_mirrored: bool = False
    """It came from an upstream, and what it names may not have come yet."""

    @property
    def size_bytes(self) -> int:
        """Length of the manifest."""
        return len(self.content)

    def encode(self, lease: Lease | None = None, epoch: str = "", *, revives: bool = False) -> bytes | Pieces:
        """Write the value of a lease or, with `lease`, that of the entry."""
        header: dict[str, Any] = {"v": 1, "type": self.media_type} | mirrored_field(self)
        return framed(header | _entry_header(lease, epoch, revives=revives), self.content)

    @classmethod
    def read(cls, header: dict[str, Any], body: bytes) -> Self:
        """Read either, unframed. Raises `FramingError`."""
        media_type = header.get("type")
        if not isinstance(media_type, str):
            msg = "a manifest's record has no media type"
            raise FramingError(msg)
        return cls(media_type, body, header.get("mirrored") is True)


Value = BlobValue | ManifestValue


@quickly_made
@dataclass(frozen=True, slots=True)
class Entry:
    """What an entry says."""

    value: Value | None
    """`None`: a tombstone."""
    lease: Lease | None = None
    epoch: str = ""
    """After which deletion the entry was written; empty: after none."""
    until: datetime | None = None
    """By when it had to be written; `None`: at any time."""
    is_lost: bool = False
    """The blob's data was found to be missing. The blob counts as not existing until it is pushed again."""
    revives: bool = False
    """It took the place of a tombstone. If it is late, it counts as that tombstone."""
    is_own_lease: bool = False
    """It protects itself, from the time at which the store wrote it."""

    def as_of(self, written: datetime) -> "Entry | None":
        """Return what counts of an entry that the store dates so; `None`: nothing, as it is late."""
        entry = self.unless_refused(written)
        return None if is_late(written, entry.until) else entry

    def unless_refused(self, written: datetime) -> "Entry":
        """Return the entry, or a tombstone in place of a late one that took a tombstone's place."""
        return Entry(None, epoch=self.epoch) if self.revives and is_late(written, self.until) else self

    def leased_at(self, written: datetime) -> datetime | None:
        """Return the time of the lease that protects an entry that the store dates so; `None`: it names none."""
        if self.is_own_lease:
            return written
        return None if self.lease is None else self.lease.time


def decode_value(kind: Kind, value: bytes) -> Value:
    """Read the value of a lease of this kind. Raises `FramingError`."""
    return _read(kind, *unframe(value))


def decode_entry(kind: Kind, value: bytes) -> Entry:
    """Read an entry of this kind. Raises `FramingError`."""
    header, body = unframe(value)
    epoch = str(header.get("epoch", ""))
    if header.get("deleted") is True:
        return Entry(None, epoch=epoch)
    return Entry(
        _read(kind, header, body),
        _read_lease(header),
        epoch,
        read_time(header.get("until")),
        header.get("lost") is True,
        header.get("revives") is True,
        header.get("lease") == OWN,
    )


def lost_entry(value: BlobValue, epoch: str) -> bytes:
    """Write the entry of a blob whose data is missing.

    It keeps what it says about the data, in case that comes back.
    """
    header = {"v": 1, "size": value.size_bytes, "data": value.data_id, "lost": True, "nonce": secrets.token_hex(4)}
    return frame(header | _epoch_field(epoch), b"")


def new_tombstone() -> bytes:
    """Write an entry that says that the record was deleted, and begins an epoch. It is shorter than any other entry."""
    return frame({"v": 1, "deleted": True, "epoch": secrets.token_hex(8)})


TOMBSTONE_BYTES = len(new_tombstone())
"""In a listing, an entry of any other length is not a tombstone."""


def _read(kind: Kind, header: dict[str, Any], body: bytes) -> Value:
    return BlobValue.read(header, body) if kind == "blobs" else ManifestValue.read(header, body)


def mirrored_field(value: ManifestValue) -> dict[str, Any]:
    """Return the field of a header that says that a mirror brought the manifest."""
    return {"mirrored": True} if value.is_mirrored else {}


def _epoch_field(epoch: str) -> dict[str, Any]:
    return {"epoch": epoch} if epoch else {}


def _entry_header(lease: Lease | None, epoch: str, *, revives: bool) -> dict[str, Any]:
    header = _epoch_field(epoch)
    if revives:
        header["revives"] = True
    if lease is not None:
        header["lease"] = {"id": lease.lease_id, "time": lease.time.timestamp()}
        header["nonce"] = secrets.token_hex(4)
        if lease.due is not None:
            header["until"] = lease.due.until.timestamp()
    return header


def _read_lease(header: dict[str, Any]) -> Lease | None:
    lease = header.get("lease")
    if not isinstance(lease, dict):
        return None
    time = read_time(lease.get("time"))
    return None if time is None or "id" not in lease else Lease(str(lease["id"]), time)


def read_time(seconds: Any) -> datetime | None:
    """Read a time in Unix seconds; `None` if it is not one."""
    try:
        return None if seconds is None else datetime.fromtimestamp(float(seconds), UTC)
    except (TypeError, ValueError, OverflowError, OSError):
        return None


def is_late(written: datetime, until: datetime | None) -> bool:
    """Say whether something was written later than it may be. If so, nothing relies on it."""
    return until is not None and written > until
