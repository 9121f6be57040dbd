"""A store in memory: the contract of `Store`, word for word, for fast tests and simulations."""

import base64
import hashlib
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import count

import crc32c
import trio

from zotpy.store.interface import (
    Body,
    ConditionFailed,
    ContentRejected,
    Features,
    Fetched,
    KeyMissing,
    Listed,
    ListedMultipart,
    Listing,
    MultipartListing,
    MultipartMarker,
    Part,
    Stored,
    StoreRefused,
    require,
)

CHUNK_BYTES = 256 * 1024
_checkpoint = trio.lowlevel.checkpoint


def _real_time() -> datetime:
    return datetime.now(UTC)


@dataclass(slots=True)
class _Object:
    body: bytes
    etag: str
    last_modified: datetime


@dataclass(slots=True)
class _Multipart:
    key: str
    initiated: datetime
    parts: dict[int, tuple[bytes, str]] = field(default_factory=dict)


class MemoryStore:
    """Every operation is a checkpoint, the effect, and a checkpoint. Other tasks run between these, never within."""

    def __init__(self, now: Callable[[], datetime] = _real_time, features: Features | None = None) -> None:
        """Make an empty store whose clock is `now` (aware, UTC). Without a feature it ignores that condition."""
        self.now = now
        self._features = features or Features(
            conditional_create=True, conditional_replace=True, conditional_delete=True
        )
        self.objects: dict[str, _Object] = {}
        self.multiparts: dict[str, _Multipart] = {}
        self._ids = count(1)

    @property
    def features(self) -> Features:
        """What this store was told to do."""
        return self._features

    async def get(self, key: str, *, most_bytes: int | None = None) -> Fetched:
        """Read an object, or its beginning."""
        return require(key, await self.find(key, most_bytes=most_bytes))

    async def find(self, key: str, *, most_bytes: int | None = None) -> Fetched | None:
        """Read an object that may be missing, or its beginning."""
        await _checkpoint()
        if (found := self.objects.get(key)) is None:
            return None
        body, total = found.body[:most_bytes], len(found.body)
        result = Fetched(body, found.etag, found.last_modified, self.now(), total if len(body) < total else None)
        await _checkpoint()
        return result

    @asynccontextmanager
    async def open(self, key: str, start: int, end: int) -> AsyncIterator[AsyncIterator[bytes]]:
        """Stream a range."""
        await _checkpoint()
        body = self._find(key).body[start:end]
        if len(body) < end - start:
            msg = f"{key} is shorter than {end} bytes"
            raise StoreRefused(msg)

        async def chunks() -> AsyncGenerator[bytes, None]:
            for at in range(0, len(body), CHUNK_BYTES):
                await _checkpoint()
                yield body[at : at + CHUNK_BYTES]

        async with aclosing(chunks()) as stream:
            yield stream

    async def put(self, key: str, body: Body, *, if_none_match: bool = False, if_match: str | None = None) -> Stored:
        """Write an object."""
        await _checkpoint()
        if if_none_match and self._features.conditional_create and key in self.objects:
            raise ConditionFailed(key)
        if if_match is not None and self._features.conditional_replace:
            self._require(key, if_match)
        stored = self._write(key, bytes(body))
        await _checkpoint()
        return stored

    async def delete(self, key: str, *, if_match: str | None = None) -> None:
        """Delete an object."""
        await _checkpoint()
        if if_match is not None and self._features.conditional_delete and key in self.objects:
            self._require(key, if_match)
        self.objects.pop(key, None)
        await _checkpoint()

    async def delete_many(self, keys: Sequence[str]) -> None:
        """Delete objects."""
        await _checkpoint()
        for key in keys:
            self.objects.pop(key, None)
        await _checkpoint()

    async def list(
        self, prefix: str, *, start_after: str = "", limit: int = 1000, directories: bool = False
    ) -> Listing:
        """List objects in the order of their keys' bytes."""
        await _checkpoint()
        objects: list[Listed] = []
        folded: dict[str, None] = {}
        truncated = False
        for key in sorted(k for k in self.objects if k.startswith(prefix) and k > start_after):
            name, slash, _ = key[len(prefix) :].partition("/")
            directory = f"{prefix}{name}/" if directories and slash else None
            if directory in folded:
                continue
            if len(objects) + len(folded) == limit:
                truncated = True
                break
            if directory is None:
                found = self.objects[key]
                objects.append(Listed(key, len(found.body), found.etag, found.last_modified))
            else:
                folded[directory] = None
        await _checkpoint()
        return Listing(objects, truncated, self.now(), tuple(folded))

    async def create_multipart(self, key: str) -> str:
        """Begin a multipart."""
        await _checkpoint()
        multipart_id = f"multipart-{next(self._ids)}"
        self.multiparts[multipart_id] = _Multipart(key, self.now())
        await _checkpoint()
        return multipart_id

    async def put_part(self, key: str, multipart_id: str, number: int, body: Body) -> Part:
        """Keep one part."""
        await _checkpoint()
        multipart = self._multipart(key, multipart_id)
        body = bytes(body)
        etag = f'"{hashlib.md5(body, usedforsecurity=False).hexdigest()}"'
        multipart.parts[number] = (body, etag)
        crc = base64.b64encode(crc32c.crc32c(body).to_bytes(4, "big")).decode()
        await _checkpoint()
        return Part(number, etag, crc)

    async def complete_multipart(self, key: str, multipart_id: str, parts: Sequence[Part]) -> Stored:
        """Join the parts."""
        await _checkpoint()
        multipart = self._multipart(key, multipart_id)
        numbers = [part.number for part in parts]
        if not parts or numbers != sorted(set(numbers)):
            msg = "the parts are out of order or missing"
            raise ContentRejected(msg)
        for part in parts:
            if multipart.parts.get(part.number, (b"", ""))[1] != part.etag:
                msg = f"part {part.number} does not have the named ETag"
                raise ContentRejected(msg)
        stored = self._write(key, b"".join(multipart.parts[number][0] for number in numbers))
        del self.multiparts[multipart_id]
        await _checkpoint()
        return stored

    async def abort_multipart(self, key: str, multipart_id: str) -> None:
        """Drop a multipart."""
        await _checkpoint()
        if multipart_id in self.multiparts and self.multiparts[multipart_id].key == key:
            del self.multiparts[multipart_id]
        await _checkpoint()

    async def list_multiparts(
        self, prefix: str, *, after: MultipartMarker | None = None, limit: int = 1000
    ) -> MultipartListing:
        """List multiparts under way."""
        await _checkpoint()
        found = [
            ListedMultipart(multipart.key, multipart_id, multipart.initiated)
            for multipart_id, multipart in self.multiparts.items()
            if multipart.key.startswith(prefix)
            and (after is None or (multipart.key, multipart_id) > (after.key, after.multipart_id))
        ]
        await _checkpoint()
        found.sort(key=lambda multipart: (multipart.key, multipart.multipart_id))
        page = found[:limit]
        return MultipartListing(
            page, MultipartMarker(page[-1].key, page[-1].multipart_id) if len(found) > limit else None
        )

    async def presign_get(self, key: str, *, expires_s: int, filename: str | None = None) -> str:
        """Name the object. Nothing outside this process can read it."""
        return f"memory:///{key}?expires={expires_s}&filename={filename or ''}"

    def _find(self, key: str) -> _Object:
        try:
            return self.objects[key]
        except KeyError:
            raise KeyMissing(key) from None

    def _require(self, key: str, etag: str) -> None:
        if key not in self.objects or self.objects[key].etag != etag:
            raise ConditionFailed(key)

    def _multipart(self, key: str, multipart_id: str) -> _Multipart:
        multipart = self.multiparts.get(multipart_id)
        if multipart is None or multipart.key != key:
            raise KeyMissing(multipart_id)
        return multipart

    def _write(self, key: str, body: bytes) -> Stored:
        etag = f'"{hashlib.md5(body, usedforsecurity=False).hexdigest()}"'
        now = self.now()
        self.objects[key] = _Object(body, etag, now)
        return Stored(etag, now)
