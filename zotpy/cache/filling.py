"""One download of a blob into the cache, for all who wait for it.

It runs in a task of the process: the client that asked first may leave. Once nobody waits for it any more, it ends. Its
bytes are hashed later, if ever (`zotpy.cache.verifying`).

The read that began it *follows*: it takes the bytes from memory (`zotpy.cache.unwritten_bytes`), and the disk gets them
past the page cache, without a copy. For that the download waits for it, up to `PATIENCE_S` for each piece. If that is
not enough, or others read as well, or memory is short, the bytes go through the page cache at the pace of the store.
Then all read them behind it, in the file. Some bytes also go through the page cache if the disk is slower than the
store.
"""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from copy import copy
from functools import partial

import trio

from zotpy.bell import Bell
from zotpy.cache.direct import BLOCK_BYTES
from zotpy.cache.disk import on_disk
from zotpy.cache.part_file import PartFile
from zotpy.cache.shelf import CachedFile, Shelf
from zotpy.cache.unwritten_bytes import Window
from zotpy.core.ranges import Span
from zotpy.core.units import MIB
from zotpy.memory.readers import Readers

Source = Callable[[Span], AbstractAsyncContextManager[AsyncIterator[bytes]]]
"""Reads bytes of the blob from the store."""
BATCH_BYTES = MIB
"""One hand-over to a thread writes at least this many bytes, but for the last."""
MOST_BATCH_BYTES = 8 * MIB
WINDOW_BYTES = 16 * MIB
"""How much one download keeps for the read that follows, and for a disk that is late."""
FOLLOWED_SHARE = 4
"""While a read follows, a hand-over has at least one part in so many of the window: nobody waits for the file."""
LATE_BYTES = 12 * MIB
"""If the disk has so much less than has come, the page cache takes what is next."""
PATIENCE_S = 0.25
"""How long a full window waits for the read that follows to take a piece."""


class Filling:
    """How far a download is."""

    def __init__(self, shelf: Shelf, file: CachedFile, readers: Readers) -> None:
        """Begin with nothing. The room for `file` is counted as used. Memory is that of pulls."""
        self.file = file
        self.window = Window(readers)
        self.has_ended = False
        self.disk_error: OSError | None = None
        """Why the disk takes no more: the rest can be read from the store."""
        self.scope = trio.CancelScope()
        self._error: Exception | None = None
        self._shelf = shelf
        self._part = PartFile(shelf, file)
        self._is_received = False
        self._is_shared = False
        """What is written is read behind the download: it is to be in the page cache."""
        self._has_follower = True
        self._grown = Bell()
        """Readers can have more."""
        self._moved = Bell()
        """There is more to write, or more room in the window."""

    @property
    def filled_bytes(self) -> int:
        """How many bytes, from the first on, are in the file."""
        return self.window.written_bytes

    @property
    def is_received(self) -> bool:
        """All bytes have come from the store."""
        return self.window.end >= self.file.size_bytes

    async def reach(self, at: int) -> int:
        """Wait until the byte at `at` is in the file, or the download has ended without it. Return how many are.

        Raises what the store raised.
        """
        while self.filled_bytes <= at and not self.has_ended:
            await self._grown.rung()
        if self.filled_bytes <= at:
            self._raise_error()
        return self.filled_bytes

    def lend(self, at: int, size_bytes: int) -> None:
        """Return nothing: who does not follow reads the file."""
        del at, size_bytes

    async def reach_in_memory(self, at: int) -> int:
        """Wait as `reach` does, but not for the disk: for the read that follows, and needs no bytes before `at`."""
        self.window.pass_to(at)
        self._moved.ring()
        while not self.window.has(at) and self.filled_bytes <= at and not self.has_ended:
            await self._grown.rung()
        if self.window.has(at):
            return self.window.end
        return await self.reach(at)

    def stop_following(self) -> None:
        """Keep no bytes in memory that the disk has: from now on all read the file."""
        self._is_shared = True
        self.window.stop_following()
        self._moved.ring()

    def leave(self) -> None:
        """Take note that the read that followed is done."""
        self._has_follower = False
        self.window.pass_to(self.file.size_bytes)
        self.window.stop_following()
        self._moved.ring()
        self._close_window()

    def _raise_error(self) -> None:
        if self._error is not None:
            error = copy(self._error)  # each reader raises its own: a traceback holds the frames of one task
            error.__cause__ = self._error.__cause__
            raise error

    async def run(self, source: Source, evicted: list[CachedFile]) -> None:
        """Download all. What goes wrong is for the readers."""
        try:
            with self.scope:
                await self._keep_error(partial(self._fill, source, evicted), self.scope)
        finally:
            self.has_ended = True
            self._grown.ring()
            self._close_window()
            with trio.CancelScope(shield=True):
                if not self.file.is_listed:
                    self._shelf.give_back(self.file.size_bytes)
                await on_disk(self._end)

    def _close_window(self) -> None:
        """Give the memory back once nobody needs it: the download has ended, and the read that follows, too."""
        if self.has_ended and not self._has_follower:
            self.window.close()

    async def _fill(self, source: Source, evicted: list[CachedFile]) -> None:
        with trio.CancelScope(shield=True):  # the files in `evicted` are on no shelf any more
            await on_disk(partial(self._part.begin, evicted))
        if not self._part.has_direct_writes:
            self.stop_following()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._keep_error, self._write_all, nursery.cancel_scope)
            await self._keep_error(partial(self._receive_all, source), nursery.cancel_scope)
        if self._error is None and self.disk_error is None:
            await on_disk(self._part.keep)
            self._shelf.list(self.file)

    async def _keep_error(self, run: Callable[[], Awaitable[None]], scope: trio.CancelScope) -> None:
        """Run a part of the download. If it fails, everything else in the scope ends."""
        try:
            await run()
        except OSError as error:
            self.disk_error = error
            scope.cancel()
        except Exception as error:  # noqa: BLE001 - each reader raises it
            self._error = error
            scope.cancel()

    async def _receive_all(self, source: Source) -> None:
        async with source(Span(0, self.file.size_bytes)) as chunks:
            async for chunk in chunks:
                await self._leave_room(len(chunk))
                self.window.append(chunk)
                if not self.window.is_followed:
                    self._is_shared = True
                self._moved.ring()
                if not self._is_shared:
                    self._grown.ring()
        self._is_received = True
        self._moved.ring()

    async def _leave_room(self, size_bytes: int) -> None:
        """Wait until the window has room, as long as somebody follows, or else until the disk is not behind."""
        window = self.window
        while window.is_followed and window.held_bytes and window.held_bytes + size_bytes > WINDOW_BYTES:
            with trio.move_on_after(PATIENCE_S) as scope:
                await self._moved.rung()
            if scope.cancelled_caught and window.unwritten_bytes < LATE_BYTES:
                self.stop_following()
        while not window.is_followed and window.unwritten_bytes >= BATCH_BYTES:
            await self._moved.rung()

    async def _write_all(self) -> None:
        while True:
            while self.window.unwritten_bytes < self._least_batch_bytes and not self._is_received:
                await self._moved.rung()
            if not self.window.unwritten_bytes:
                return
            await self._write_some()

    @property
    def _least_batch_bytes(self) -> int:
        return WINDOW_BYTES // FOLLOWED_SHARE if self.window.is_followed else BATCH_BYTES

    async def _write_some(self) -> None:
        """Write a batch, in whole blocks except for the last bytes."""
        window, most_bytes = self.window, MOST_BATCH_BYTES
        if not self._is_received or window.unwritten_bytes > MOST_BATCH_BYTES:
            most_bytes = min(window.unwritten_bytes, MOST_BATCH_BYTES) // BLOCK_BYTES * BLOCK_BYTES
        batch = list(window.unwritten(most_bytes))
        goes_past = self._part.has_direct_writes and not self._is_shared and window.unwritten_bytes < LATE_BYTES
        window.note_written(await on_disk(partial(self._part.write, batch, self.filled_bytes, past_cache=goes_past)))
        self._grown.ring()
        self._moved.ring()

    def _end(self) -> None:
        try:
            self._part.end()
        except OSError as error:
            self.disk_error = self.disk_error or error
