"""One download of a blob into the cache, for all who wait for it.

It runs at the pace of the store, in a task of the process: the client that asked first may leave. Once nobody waits for
it any more, it ends. Others read behind it what is on the disk already. Its bytes are hashed later, if ever
(`zotpy.cache.verifying`).
"""

import os
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from copy import copy
from functools import partial
from typing import TypeVar

import trio

from zotpy.cache.shelf import CachedFile, Shelf
from zotpy.core.pieces import Buffer
from zotpy.core.ranges import Span
from zotpy.core.units import MIB

T = TypeVar("T")
Source = Callable[[Span], AbstractAsyncContextManager[AsyncIterator[bytes]]]
"""Reads bytes of the blob from the store."""
BATCH_BYTES = MIB
"""One hand-over to a thread writes about this many bytes."""
BATCH_PIECES = 256
"""Fewer than the system takes with one call."""
DISK = trio.CapacityLimiter(4)
"""Threads that wait for the disk. Those that hash are others."""


class Filling:
    """How far a download is."""

    def __init__(self, shelf: Shelf, file: CachedFile) -> None:
        """Begin with nothing. The room for `file` is counted as used."""
        self.file = file
        self.filled_bytes = 0
        """How many bytes, from the first on, readers can have."""
        self.has_ended = False
        self.disk_error: OSError | None = None
        """Why the disk takes no more: the rest can be read from the store."""
        self.scope = trio.CancelScope()
        self._error: Exception | None = None
        self._shelf = shelf
        self._part = shelf.part(file.data_id)
        self._grown = trio.Event()

    async def reach(self, at: int) -> int:
        """Wait until the byte at `at` is here, or the download has ended without it. Return how many bytes are here.

        Raises what the store raised.
        """
        while self.filled_bytes <= at and not self.has_ended:
            await self._grown.wait()
        if self.filled_bytes <= at and self._error is not None:
            error = copy(self._error)  # each reader raises its own: a traceback holds the frames of one task
            error.__cause__ = self._error.__cause__
            raise error
        return self.filled_bytes

    async def run(self, source: Source, evicted: list[CachedFile]) -> None:
        """Download all. What goes wrong is for the readers."""
        try:
            with self.scope:
                await self._fill(source, evicted)
        except OSError as error:
            self.disk_error = error
        except Exception as error:  # noqa: BLE001 - each reader raises it
            self._error = error
        finally:
            self.has_ended = True
            self._grown.set()
            if not self.file.is_listed:
                self._shelf.give_back(self.file.size_bytes)
                with trio.CancelScope(shield=True):
                    await on_disk(self._drop_part)

    async def _fill(self, source: Source, evicted: list[CachedFile]) -> None:
        with trio.CancelScope(shield=True):  # the files in `evicted` are on no shelf any more
            await on_disk(partial(self._begin, evicted))
        batch: list[Buffer] = []
        batch_bytes = 0
        async with source(Span(0, self.file.size_bytes)) as chunks:
            async for chunk in chunks:
                batch.append(chunk)
                batch_bytes += len(chunk)
                if batch_bytes >= BATCH_BYTES or len(batch) == BATCH_PIECES:
                    await self._write(batch)
                    batch_bytes = 0
            await self._write(batch)
        assert self.file.descriptor is not None  # noqa: S101 - for the type checker
        await on_disk(partial(self._shelf.keep, self._part, self.file.descriptor, self.file))
        self._shelf.list(self.file)

    def _begin(self, evicted: list[CachedFile]) -> None:
        for file in evicted:
            self._shelf.delete(file)
        self.file.descriptor = self._shelf.begin(self._part)

    async def _write(self, batch: list[Buffer]) -> None:
        if not batch:
            return
        assert self.file.descriptor is not None  # noqa: S101 - for the type checker
        self.filled_bytes += await on_disk(partial(_write, self.file.descriptor, batch, self.filled_bytes))
        batch.clear()
        self._grown.set()
        self._grown = trio.Event()

    def _drop_part(self) -> None:
        try:
            self._shelf.drop(self._part)
        except OSError as error:
            self.disk_error = self.disk_error or error


async def on_disk(run: Callable[[], T]) -> T:
    """Run what waits for the disk in a thread."""
    return await trio.to_thread.run_sync(run, limiter=DISK)


def _write(descriptor: int, batch: list[Buffer], at: int) -> int:
    """Write the pieces of a batch. Return their length."""
    begin = at
    written = os.pwritev(descriptor, batch, at)
    for piece in batch:
        done = min(written, len(piece))
        written -= done
        at += done
        while done < len(piece):  # the disk is nearly full
            done += (count := os.pwrite(descriptor, memoryview(piece)[done:], at))
            at += count
    return at - begin
