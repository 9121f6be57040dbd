"""What the registry needs of a store: twelve operations, each one S3 call.

Contract, for every store (`tests/store/` runs it on each):

- *Consistency.* A read or a listing that begins after a write returned sees that write.
- *Atomic.* A reader sees the whole of one write or nothing of it, never a mixture.
- *Time.* Every `datetime` is the store's own clock, aware, in UTC, to the second or better.
- *Cancellation.* Any call may be cancelled; a write that was cancelled may or may not have happened.
- *Errors.* Only those of `StoreError`; a missing key is `KeyMissing` on a read but `find`, and no error on a delete.
- *Memory.* `get` holds the whole object: it is for objects with a known small bound. `open` streams.
"""

from collections.abc import AsyncIterator, Coroutine, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol, TypeVar

from zotpy.core.pieces import Pieces
from zotpy.core.quick import quickly_made

T = TypeVar("T")

Body = bytes | bytearray | Pieces
"""What is written. It must not change until the call has returned."""


class StoreError(Exception):
    """The store did not do what was asked."""


class KeyMissing(StoreError):
    """No object has this key (S3 NoSuchKey), or the multipart does not exist (NoSuchUpload)."""


class ConditionFailed(StoreError):
    """`if_none_match` or `if_match` did not hold (S3 PreconditionFailed), and nothing was written."""


class ContentRejected(StoreError):
    """The store received other bytes than were sent (S3 BadDigest, InvalidPart), and nothing was written."""


class StoreUnavailable(StoreError):
    """The store did not answer, or asked to slow down, until the retries or the deadline ran out."""


class StoreRefused(StoreError):
    """The store refuses: wrong keys, no such bucket, a malformed request. Retrying does not help."""


class StoreFull(StoreRefused):
    """The store has no space left, or its quota is used up: only its operator can help."""

    def __init__(self, message: str, told: str = "") -> None:
        """`told` is what clients may read of the error, because `message` may name buckets and hosts."""
        super().__init__(message)
        self.told = told


@dataclass(frozen=True, slots=True)
class Features:
    """What a probe at the start saw the store do; `False` means: do not rely on it."""

    conditional_create: bool
    """`put(if_none_match=True)` is honoured (S3 PutObject, `If-None-Match: *`)."""
    conditional_replace: bool
    """`put(if_match=...)` is honoured (S3 PutObject, `If-Match`)."""
    conditional_delete: bool
    """`delete(if_match=...)` is honoured (S3 DeleteObject, `If-Match`)."""
    bulk_delete: bool = True
    """`delete_many` is one call (S3 DeleteObjects); otherwise it makes one for each key."""
    takes_crcs: bool = True
    """Bodies are sent with a CRC-32C; otherwise with an MD5, and their CRC is not needed."""

    @property
    def all_conditions(self) -> bool:
        """Whether every write and delete can depend on what was seen before."""
        return self.conditional_create and self.conditional_replace and self.conditional_delete


@quickly_made
@dataclass(frozen=True, slots=True)
class Stored:
    """A write that happened."""

    etag: str
    """The object's ETag as the store wrote it, quotes included."""
    store_time: datetime
    """The store's clock when it answered."""
    verified: bool = True
    """The answer proves that the object holds exactly the bytes that were sent. Otherwise read it back."""


@quickly_made
@dataclass(frozen=True, slots=True)
class Fetched:
    """One whole object, or its beginning."""

    body: bytes
    etag: str
    last_modified: datetime
    store_time: datetime
    """The store's clock when it answered: `store_time - last_modified` is the object's age."""
    total_bytes: int | None = None
    """Length of the object, if `body` is only its beginning."""


@dataclass(frozen=True, slots=True)
class Listed:
    """One object of a listing."""

    key: str
    size_bytes: int
    etag: str
    last_modified: datetime


@dataclass(frozen=True, slots=True)
class Listing:
    """One page of a listing, in the store's order; within one directory that is the order of the bytes of names."""

    objects: Sequence[Listed]
    truncated: bool
    """More keys follow: list again with `start_after` the last key of this page, which then has keys or directories."""
    store_time: datetime
    directories: Sequence[str] = ()
    """With `directories=True`: the keys cut after the first `/` that follows the prefix, each once."""


@dataclass(frozen=True, slots=True)
class Part:
    """One part of a multipart, as the store acknowledged it."""

    number: int
    """1 to 10,000."""
    etag: str
    crc32c: str
    """Base64 of the CRC-32C of the part's bytes, as sent with the part."""


@dataclass(frozen=True, slots=True)
class ListedMultipart:
    """A multipart that was begun and neither completed nor aborted."""

    key: str
    multipart_id: str
    initiated: datetime


@dataclass(frozen=True, slots=True)
class MultipartMarker:
    """Where a page of multiparts ends, in the store's own words. Some stores do not order multiparts by key."""

    key: str
    multipart_id: str


@dataclass(frozen=True, slots=True)
class MultipartListing:
    """One page of multiparts under way."""

    multiparts: Sequence[ListedMultipart]
    end: MultipartMarker | None
    """More multiparts follow: list again `after` this. `None`: this is the last page."""


def require(key: str, found: Fetched | None) -> Fetched:
    """Return what was found. Raises `KeyMissing`."""
    if found is None:
        raise KeyMissing(key)
    return found


Running = Coroutine[Any, Any, T]
"""What calling an `async def` returns."""


class Store(Protocol):
    """One bucket below one prefix. Keys never begin with `/`, and no key is the directory of another."""

    @property
    def features(self) -> Features:
        """What the store was seen to do."""
        ...

    async def get(self, key: str, *, most_bytes: int | None = None) -> Fetched:
        """Read a small object whole (S3 GetObject). Raises `KeyMissing`.

        With `most_bytes`, 1 or more, only the beginning of a longer object is read (S3 GetObject, `Range`).
        """
        ...

    async def find(self, key: str, *, most_bytes: int | None = None) -> Fetched | None:
        """Read as `get` does; `None`: the object does not exist.

        It is for objects that are often missing. An error would pass through a dozen functions, and cost as much as
        the call.
        """
        ...

    def open(self, key: str, start: int, end: int) -> AbstractAsyncContextManager[AsyncIterator[bytes]]:
        """Stream the bytes `start` to `end`, without `end` (S3 GetObject, `Range`).

        0 <= start < end <= size. The iterator ends cleanly only after exactly `end - start` bytes. Anything that goes
        wrong before that raises `StoreError`. Raises `KeyMissing` on entry.
        """
        ...

    async def put(self, key: str, body: Body, *, if_none_match: bool = False, if_match: str | None = None) -> Stored:
        """Write an object whole (S3 PutObject), with a CRC that the store checks.

        `if_none_match`: only if the key does not exist. `if_match`: only if its ETag is this one. If the condition
        fails, it raises `ConditionFailed`. Use a condition only if `features` allow it.
        """
        ...

    async def delete(self, key: str, *, if_match: str | None = None) -> None:
        """Delete an object (S3 DeleteObject). An absent object is no error. `if_match` as for `put`."""
        ...

    async def delete_many(self, keys: Sequence[str]) -> None:
        """Delete up to 1,000 objects in one call (S3 DeleteObjects), or one by one; absent ones are no error."""
        ...

    async def list(
        self, prefix: str, *, start_after: str = "", limit: int = 1000, directories: bool = False
    ) -> Listing:
        """List objects whose keys begin with `prefix`, 1 to 1,000 a page (S3 ListObjectsV2, `start-after`).

        With `directories`, keys with a further `/` are folded into `Listing.directories` (`delimiter=/`).
        """
        ...

    async def create_multipart(self, key: str) -> str:
        """Begin a multipart and return its id (S3 CreateMultipartUpload)."""
        ...

    async def put_part(self, key: str, multipart_id: str, number: int, body: Body) -> Part:
        """Send one part (S3 UploadPart). If it is sent again under the same number, the later one counts.

        Raises `KeyMissing` if the multipart does not exist any more.
        """
        ...

    async def complete_multipart(self, key: str, multipart_id: str, parts: Sequence[Part]) -> Stored:
        """Make the object out of exactly these parts, in this order (S3 CompleteMultipartUpload).

        Raises `ContentRejected` if a part is not the one named, and `KeyMissing` if the multipart does not exist any
        more. Some stores answer a second completion, with other parts, as if it had succeeded: look at
        `Stored.verified`.
        """
        ...

    async def abort_multipart(self, key: str, multipart_id: str) -> None:
        """Drop a multipart and its parts (S3 AbortMultipartUpload). An absent one is no error."""
        ...

    async def list_multiparts(
        self, prefix: str, *, after: MultipartMarker | None = None, limit: int = 1000
    ) -> MultipartListing:
        """List multiparts under way below `prefix` (S3 ListMultipartUploads, `key-marker` and `upload-id-marker`).

        `after` is the end of another page. Some stores list more than `limit` on a page.
        """
        ...

    async def presign_get(self, key: str, *, expires_s: int, filename: str | None = None) -> str:
        """Return an URL that reads the object without credentials for `expires_s` seconds (1 to 604,800)."""
        ...
