"""A cache over a store that counts what it sends, and that a test can stop."""

from __future__ import annotations

import os
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import trio
import trio.testing

from zotpy.cache.byte_cache import ByteCache, Wanted
from zotpy.cache.disk import DISK
from zotpy.cache.memory_shelf import MemoryShelf
from zotpy.cache.shelf import Shelf
from zotpy.cache.verifying import HASHING
from zotpy.core.digests import Digest
from zotpy.core.ranges import Span
from zotpy.core.units import MIB
from zotpy.memory.budget import MemoryBudget
from zotpy.memory.readers import Readers, Turn
from zotpy.store.interface import StoreUnavailable

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

CONTENT = os.urandom(3 * MIB + 17)
LIMIT_BYTES = 2 * len(CONTENT) + 100
CHUNK_BYTES = 256 * 1024


@dataclass(eq=False, slots=True)
class Origin:
    """Sends one blob in chunks, and counts its bytes. A test says where it waits or fails."""

    content: bytes = CONTENT
    sent_bytes: int = 0
    opened: int = 0
    stops_at: int | None = None
    """Before this byte it waits for `go`."""
    fails_at: int | None = None
    go: trio.Event = field(default_factory=trio.Event)

    @asynccontextmanager
    async def open(self, span: Span) -> AsyncIterator[AsyncIterator[bytes]]:
        """Read a span."""
        self.opened += 1
        yield self._chunks(span)

    async def _chunks(self, span: Span) -> AsyncIterator[bytes]:
        for at in range(span.start, span.end, CHUNK_BYTES):
            if self.stops_at is not None and at >= self.stops_at:
                await self.go.wait()
            if self.fails_at is not None and at >= self.fails_at:
                msg = "cut"
                raise StoreUnavailable(msg)
            chunk = self.content[at : min(at + CHUNK_BYTES, span.end)]
            self.sent_bytes += len(chunk)
            await trio.lowlevel.checkpoint()
            yield chunk


@dataclass(slots=True)
class Events:
    """Notes what happened to the cache."""

    outcomes: list[str] = field(default_factory=list)
    evictions: int = 0
    failures: int = 0

    def on_cache_read(self, outcome: str) -> None:
        """Note a read."""
        self.outcomes.append(outcome)

    def on_cache_bytes(self, size_bytes: int) -> None:
        """Bytes are counted by the origin."""

    def on_cache_evictions(self, count: int) -> None:
        """Note deleted files."""
        self.evictions += count

    def on_cache_failure(self) -> None:
        """Note a failure."""
        self.failures += 1


class Bench:
    """A cache and its downloads."""

    def __init__(self, root: Path | None, nursery: trio.Nursery, limit_bytes: int = LIMIT_BYTES) -> None:
        """Open the cache in `root`, or in memory."""
        self.events = Events()
        self.budget = MemoryBudget(64 * MIB, 9 * MIB)
        self.shelf = MemoryShelf(limit_bytes) if root is None else Shelf.open(root, limit_bytes)
        self.cache = ByteCache(self.shelf, Readers(self.budget, 4), self.events)
        self.files = self.shelf.directory
        nursery.start_soon(self.cache.keep_filling)

    def names(self) -> set[str]:
        """Name the files in the directory."""
        return {path.name for path in self.files.iterdir()} - {"lock"}

    @asynccontextmanager
    async def reading(
        self,
        origin: Origin,
        span: Span | None = None,
        data_id: str = "a1",
        digest: Digest | None = None,
        turn: Turn | None = None,
    ) -> AsyncIterator[AsyncIterator[bytes]]:
        """Begin a read of the origin's blob."""
        wanted = Wanted(data_id, len(origin.content), digest or Digest.of(origin.content))
        span = span or Span(0, len(origin.content))
        async with self.cache.open(wanted, span, turn or Turn(), origin.open, origin.open) as chunks:
            yield chunks

    async def read(
        self, origin: Origin, span: Span | None = None, data_id: str = "a1", digest: Digest | None = None
    ) -> bytes:
        """Read all of a span."""
        async with self.reading(origin, span, data_id, digest) as chunks:
            return b"".join([bytes(chunk) async for chunk in chunks])


@asynccontextmanager
async def bench(root: Path | None, limit_bytes: int = LIMIT_BYTES) -> AsyncIterator[Bench]:
    """Run a cache. At the end it holds no memory."""
    async with trio.open_nursery() as nursery:
        made = Bench(root, nursery, limit_bytes)
        await trio.testing.wait_all_tasks_blocked()
        yield made
        await settled()
        assert made.budget.used_bytes == 0
        nursery.cancel_scope.cancel()
    made.shelf.close()


async def settled() -> None:
    """Wait until the disk and all tasks have done what they can."""
    await trio.testing.wait_all_tasks_blocked()
    while DISK.borrowed_tokens or HASHING.borrowed_tokens:
        await trio.to_thread.run_sync(os.sched_yield)
        await trio.testing.wait_all_tasks_blocked()
