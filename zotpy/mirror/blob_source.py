"""The bytes of a blob at its upstreams. If the one that sends them breaks off, they continue at the byte reached."""

from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack
from typing import Self

from zotpy.core.digests import Digest
from zotpy.core.units import MIB
from zotpy.mirror.copying import Copy
from zotpy.mirror.events import MirrorEvents
from zotpy.mirror.rules import Origin
from zotpy.mirror.upstreams import Upstream, Upstreams
from zotpy.upstream.answers import BlobStream
from zotpy.upstream.errors import UpstreamBroken, UpstreamUnavailable

MOST_BREAKS = 3
"""How often a blob may break off, in addition to the repetitions of each upstream's client."""
PROGRESS_BYTES = 8 * MIB
"""After this many bytes, earlier breaks no longer count."""


class BlobSource:
    """The body of an upload. Its bytes are also offered to the readers behind the copy."""

    def __init__(
        self, upstreams: Upstreams, origins: Sequence[Origin], digest: Digest, copy: Copy, events: MirrorEvents
    ) -> None:
        """Ask nobody yet. The bytes begin where the copy does."""
        self._upstreams = upstreams
        self._origins = origins
        self._digest = digest
        self._copy = copy
        self._events = events
        self._open = AsyncExitStack()
        self._pieces: AsyncIterator[bytes] | None = None
        self._position = self._broke_at = copy.first
        self._breaks = 0

    async def open(self) -> BlobStream:
        """Open the blob at the byte reached. Raises `UpstreamError`."""
        await self.close()
        stream = await self._upstreams.first(self._origins, f"blobs/{self._digest}", self._ask)
        self._pieces = stream.pieces()
        return stream

    async def go_on_with_copy(self) -> None:
        """Open the blob where the copy begins now, which has moved on. Raises `UpstreamError`."""
        self._position = self._broke_at = self._copy.first
        self._check_length(await self.open())

    async def close(self) -> None:
        """Close what is open."""
        stack, self._open = self._open, AsyncExitStack()
        await stack.aclose()

    def __aiter__(self) -> Self:
        """Return itself."""
        return self

    async def __anext__(self) -> bytes:
        """Return the next bytes. Raises `UpstreamError`."""
        while True:
            assert self._pieces is not None  # noqa: S101 - it is open
            try:
                piece = await anext(self._pieces)
            except StopAsyncIteration:
                await self.close()  # its place is free for another blob while the store takes in this one
                raise
            except UpstreamUnavailable:
                self._count_break()
                self._check_length(await self.open())
                continue
            self._position += len(piece)
            self._events.on_mirror_bytes(len(piece))
            await self._copy.offer(piece)
            return piece

    def _check_length(self, stream: BlobStream) -> None:
        """Raise `UpstreamBroken` if the blob has another length than when it was opened first."""
        if stream.length not in {None, self._copy.size_bytes}:
            msg = f"another upstream has another length of {self._digest}"
            raise UpstreamBroken(msg) from None

    def _count_break(self) -> None:
        """Raise the error at hand if the blob broke off too often."""
        if self._position - self._broke_at >= PROGRESS_BYTES:
            self._breaks = 0
        self._breaks, self._broke_at = self._breaks + 1, self._position
        if self._breaks > MOST_BREAKS:
            raise  # noqa: PLE0704 - it is being handled

    async def _ask(self, upstream: Upstream, name: str) -> BlobStream:
        return await self._open.enter_async_context(upstream.blobs.blob(name, self._digest, self._position))
