"""The state of one upload between two requests, and what a request may do in it.

::

    request  | token fresh (offset 0)                    | token with bytes
    ---------+-------------------------------------------+---------------------------------------
    PATCH    | from byte 0, no state read; the state is   | state read; the chunk must begin where it ends
             | then created, and only one of its own      |
             | making replaced                            |
    PUT      | the whole blob is in the body              | state read; body (maybe empty) is the last chunk
    GET      | state read; none: 0 bytes                  | state read; none: unknown
    DELETE   | a tombstone takes the state's place        | the same, and its multipart is aborted

A request writes a state on the condition that it is still the one that it read (if the store has conditions).
So if two chunks race for the same place, one wins, and the other learns where the upload now ends. A long chunk
writes the state several times, each time as if the chunk had ended there.

A first chunk may be all of a blob. It is not in the state, but *kept* in the object that would be the blob's data
(`zotpy.registry.pushing.kept`). Releases that do not know this read such a state as that of a cancelled upload.

If it is longer than a part, its tail is stored twice: in the state, in case another chunk follows, and as the last
part, sent while those before it are under way. A PUT without a body then has nothing to send.
"""

import base64
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Self

from zotpy.core import keys
from zotpy.core.framing import FramingError, framed, unframe
from zotpy.core.hashing import Hasher, new_hasher, resume_hasher
from zotpy.core.parts import PartPlan, equal_parts
from zotpy.core.pieces import Pieces
from zotpy.core.quick import quickly_made


@dataclass(frozen=True, slots=True)
class SentPart:
    """A part that the store acknowledged."""

    number: int
    etag: str
    crc32c: str


@dataclass(frozen=True, slots=True)
class BegunMultipart:
    """The multipart of an upload: the data object that it is to become, and the store's own id."""

    data_id: str
    multipart_id: str

    @property
    def key(self) -> str:
        """The key of the data object."""
        return keys.data(self.data_id)


@dataclass(frozen=True, slots=True)
class KeptData:
    """A data object that no lease names yet, with all the bytes that an upload has."""

    data_id: str
    time: datetime
    """The store's time when the object had been written."""


@quickly_made
@dataclass(frozen=True, slots=True)
class UploadState:
    """Where an upload stands. `offset` counts all safe bytes: those in `parts`, then those in `tail`; or all `kept`."""

    algorithm: str
    plan: PartPlan
    offset: int = 0
    multipart: BegunMultipart | None = None
    """`None`: no part was sent yet."""
    parts: tuple[SentPart, ...] = ()
    hash_state: bytes | None = None
    tail: Pieces = field(default_factory=Pieces, repr=False)
    cancelled: bool = False
    kept: KeptData | None = None
    """If it is given, the upload has no parts and no tail."""
    tail_part: SentPart | None = None
    """The tail, sent as the part after `parts`. A chunk that follows sends that part again, longer."""

    def closed(self) -> "UploadState":
        """Return the state without its tail if that is the last part: no chunk may follow."""
        if self.tail_part is None:
            return self
        return replace(self, parts=(*self.parts, self.tail_part), tail=Pieces(), tail_part=None)

    def after(
        self,
        offset: int,
        parts: tuple[SentPart, ...],
        hash_state: bytes | None,
        tail: Pieces,
        tail_part: SentPart | None = None,
    ) -> "UploadState":
        """Return the state of the same upload with other bytes. `dataclasses.replace` takes ten times as long."""
        return UploadState(
            self.algorithm,
            self.plan,
            offset,
            self.multipart,
            parts,
            hash_state,
            tail,
            self.cancelled,
            self.kept,
            tail_part,
        )

    @property
    def sent_bytes(self) -> int:
        """Bytes that are in parts."""
        return 0 if self.kept is not None else self.offset - len(self.tail)

    def check_room(self, size_bytes: int) -> None:
        """Raise `BlobTooLarge` if this many more bytes do not fit into the remaining parts."""
        self.plan.check_room(len(self.parts), self.offset - self.sent_bytes + size_bytes)

    def hasher(self) -> Hasher | None:
        """Continue hashing where the last request stopped; `None` if only reading back can tell the digest."""
        if self.offset == 0:
            return new_hasher(self.algorithm)
        return resume_hasher(self.algorithm, self.hash_state)

    def tombstone(self) -> "UploadState":
        """Return what replaces the state of a cancelled upload, so that a chunk under way cannot bring it back."""
        return UploadState(self.algorithm, self.plan, cancelled=True)

    def encode(self) -> bytes | Pieces:
        """Write the state's object."""
        header = {
            "v": 1,
            "algorithm": self.algorithm,
            "partSize": self.plan.first_bytes,
            "growth": [self.plan.equal_count, self.plan.largest_bytes],
            "offset": self.offset,
            "data": None if self.multipart is None else self.multipart.data_id,
            "multipart": None if self.multipart is None else self.multipart.multipart_id,
            "parts": [_listed(part) for part in self.parts],
            "hash": None if self.hash_state is None else base64.b64encode(self.hash_state).decode(),
            "cancelled": self.cancelled or self.kept is not None,
        }
        if self.kept is not None:
            header["kept"] = [self.kept.data_id, self.kept.time.timestamp()]
        if self.tail_part is not None:
            header["tailPart"] = _listed(self.tail_part)
        return framed(header, self.tail)

    @classmethod
    def decode(cls, value: bytes) -> Self:
        """Read the state's object. Raises `FramingError`."""
        header, tail = unframe(value)
        try:
            kept = _kept(header.get("kept"))
            return cls(
                algorithm=str(header["algorithm"]),
                plan=_plan(int(header["partSize"]), header.get("growth")),
                offset=int(header["offset"]),
                multipart=_multipart(header["data"], header["multipart"]),
                parts=tuple(map(_part, header["parts"])),
                hash_state=None if header["hash"] is None else base64.b64decode(header["hash"]),
                tail=Pieces(tail),
                cancelled=bool(header["cancelled"]) and kept is None,
                kept=kept,
                tail_part=None if (tail_part := header.get("tailPart")) is None else _part(tail_part),
            )
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            msg = "the state of an upload is damaged"
            raise FramingError(msg) from error


def _listed(part: SentPart) -> list[object]:
    return [part.number, part.etag, part.crc32c]


def _part(value: object) -> SentPart:
    """Read a part. Raises `TypeError`, `ValueError`."""
    if not isinstance(value, list):
        raise TypeError(value)
    number, etag, crc = value
    return SentPart(int(number), str(etag), str(crc))


def _multipart(data_id: object, multipart_id: object) -> BegunMultipart | None:
    return None if data_id is None or multipart_id is None else BegunMultipart(str(data_id), str(multipart_id))


def _kept(value: object) -> KeptData | None:
    """Read where the bytes are kept. Raises `TypeError`, `ValueError`, `OverflowError`."""
    if value is None:
        return None
    if not isinstance(value, list):
        raise TypeError(value)
    data_id, seconds = value
    return KeptData(str(data_id), datetime.fromtimestamp(float(seconds), UTC))


def _plan(first_bytes: int, growth: object) -> PartPlan:
    """Read the plan. Uploads begun before parts could grow have equal ones. Raises `TypeError`, `ValueError`."""
    if growth is None:
        return equal_parts(first_bytes)
    if not isinstance(growth, list):
        raise TypeError(growth)
    equal_count, largest_bytes = map(int, growth)
    if min(first_bytes, equal_count, largest_bytes) < 1:
        raise ValueError(growth)
    return PartPlan(first_bytes, largest_bytes, equal_count)
