"""Ranges of blobs that are being copied, read at the upstream itself because the copy is far behind."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Self

import trio

from zotpy.core.digests import Digest
from zotpy.core.ranges import Span
from zotpy.mirror.events import MirrorEvents
from zotpy.mirror.rules import Origin
from zotpy.mirror.upstreams import Upstream, Upstreams
from zotpy.upstream.answers import BlobStream
from zotpy.upstream.errors import UpstreamBroken

MOST_AT_ONCE = 8
"""How many such ranges a replica reads at once. Others wait for their copies."""


@dataclass(frozen=True, slots=True)
class Ranges:
    """Reads of ranges, which are passed on and not kept."""

    upstreams: Upstreams
    events: MirrorEvents
    _places: trio.CapacityLimiter = field(default_factory=lambda: trio.CapacityLimiter(MOST_AT_ONCE))

    @asynccontextmanager
    async def open(
        self, origins: tuple[Origin, ...], digest: Digest, size_bytes: int, span: Span, /, *, waits: bool = False
    ) -> AsyncIterator[AsyncIterator[bytes]]:
        """Read a span of a blob of this length. Raises `UpstreamError`, and `trio.WouldBlock` if too many are read.

        Nobody waits for a place unless told to: its holder may read slowly, and meanwhile the copy may bring the bytes.
        """
        async with AsyncExitStack() as stack:
            holder = object()
            if waits:
                await self._places.acquire_on_behalf_of(holder)
            else:
                self._places.acquire_on_behalf_of_nowait(holder)
            stack.callback(self._places.release_on_behalf_of, holder)

            async def ask(upstream: Upstream, name: str) -> BlobStream:
                opened = upstream.ranges.blob(name, digest, span.start, span.end, waits=waits)
                return await stack.enter_async_context(opened)

            stream = await self.upstreams.first(origins, f"blobs/{digest}", ask, is_needed=False)
            if stream.length not in {None, size_bytes}:
                msg = f"another upstream has another length of {digest}"
                raise UpstreamBroken(msg)
            yield _Counted(stream.pieces(), self.events)


class _Counted:
    """An iterator that its reader may leave anywhere."""

    def __init__(self, pieces: AsyncIterator[bytes], events: MirrorEvents) -> None:
        self._pieces = pieces
        self._events = events

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        piece = await anext(self._pieces)
        self._events.on_mirror_bytes(len(piece))
        return piece
