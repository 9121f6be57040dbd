"""Reading and deleting blobs (OCI distribution spec, end-2 and end-10)."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from functools import partial

from zotpy.bucket.records import Records
from zotpy.cache.byte_cache import ByteCache, Wanted
from zotpy.core import keys
from zotpy.core.digests import Digest
from zotpy.core.errors import BlobUnknown
from zotpy.core.names import RepositoryName
from zotpy.core.ranges import Span
from zotpy.core.record_values import BlobValue
from zotpy.memory.readers import Readers, Turn
from zotpy.registry.damage import CheckedReads, Damage, is_whole
from zotpy.registry.reading import read_span
from zotpy.settings import Settings
from zotpy.store.interface import Store

READS = 2
"""If the bytes in a record do not have its digest, it is read once more."""


@dataclass(frozen=True, slots=True)
class Blobs:
    """All requests that read or delete blobs."""

    store: Store
    records: Records
    settings: Settings
    readers: Readers
    damage: Damage
    cache: ByteCache | None = None

    async def stat(self, repo: RepositoryName, digest: Digest) -> BlobValue:
        """Find a blob on which the client may then rely (HEAD). Raises `BlobUnknown`.

        Clients ask this before they push a blob, which mostly does not exist yet. That takes one call, so a blob whose
        entry is lost counts as missing, too. When it is pushed again, it gets its entry.
        """
        remembered = self.records.promised_blob(repo, digest)
        if remembered is not None and is_whole(remembered, digest):
            return remembered
        return await self._whole(repo, digest, partial(self.records.stat_blob, repo, digest))

    async def find(self, repo: RepositoryName, digest: Digest, *, by_entry_alone: bool = False) -> BlobValue:
        """Find a blob for reading it (GET). Raises `BlobUnknown`.

        `by_entry_alone`: one call says that it is missing, although a lease may exist, for which the caller then looks.
        """
        read = partial(self.records.read_blob, repo, digest, by_entry_alone=by_entry_alone)
        return await self._whole(repo, digest, read)

    async def _whole(
        self, repo: RepositoryName, digest: Digest, read: Callable[[], Awaitable[BlobValue | None]]
    ) -> BlobValue:
        """Read a record, again if the bytes in it are damaged: perhaps that happened on their way from the store."""
        for _ in range(READS):
            value = await read()
            if value is None:
                raise _unknown(digest)
            if is_whole(value, digest):
                return value
            self.records.forget(repo, "blobs", digest)
        raise self.damage.of_record(repo, digest)

    def open(
        self, value: BlobValue, span: Span, turn: Turn | None = None
    ) -> AbstractAsyncContextManager[AsyncIterator[bytes]]:
        """Stream bytes of a blob. The stream ends cleanly only after all of `span`."""
        if value.data_id is None:
            return open_inline(value.content, span)
        if span.length == 0:
            return open_inline(b"", span)
        return read_span(self.store, self.readers, keys.data(value.data_id), span, turn)

    @asynccontextmanager
    async def serve(
        self, repo: RepositoryName, digest: Digest, value: BlobValue, span: Span, turn: Turn | None = None
    ) -> AsyncIterator[AsyncIterator[bytes]]:
        """Stream as `open` does. If the store has lost the bytes, the first of them raises `BlobUnknown`.

        `turn` is the same for all reads of one answer.
        """
        async with self._open_cached(digest, value, span, turn) as chunks:
            yield CheckedReads(chunks, self.damage, repo, digest, value)

    def _open_cached(
        self, digest: Digest, value: BlobValue, span: Span, turn: Turn | None
    ) -> AbstractAsyncContextManager[AsyncIterator[bytes]]:
        """Stream as `open` does, by way of the cache if there is one."""
        if self.cache is None or value.data_id is None or span.length == 0:
            return self.open(value, span, turn)
        turn = turn or Turn()
        wanted = Wanted(value.data_id, value.size_bytes, digest)
        return self.cache.open(wanted, span, turn, partial(self.open, value, turn=turn), partial(self.open, value))

    async def redirect(self, value: BlobValue) -> str | None:
        """Return a URL at which the store itself serves a blob, or `None`: serve it here.

        A small blob is in its record, which the store cannot serve. Raises `StoreError`.
        """
        expires_s = self.settings.storage.redirect_expiry_s
        if expires_s is None or value.data_id is None:
            return None
        return await self.store.presign_get(keys.data(value.data_id), expires_s=expires_s)

    async def delete(self, repo: RepositoryName, digest: Digest) -> None:
        """Delete a blob's record. The collector deletes its data. Raises `BlobUnknown`."""
        if not await self.records.delete(repo, "blobs", digest):
            raise _unknown(digest)


@asynccontextmanager
async def open_inline(content: bytes, span: Span) -> AsyncIterator[AsyncIterator[bytes]]:
    """Stream bytes of content in memory."""

    async def chunks() -> AsyncIterator[bytes]:
        if piece := content[span.start : span.end]:
            yield piece

    yield chunks()


def _unknown(digest: Digest) -> BlobUnknown:
    return BlobUnknown(f"{digest} is not in this repository", detail={"digest": str(digest)})
