"""One copy of a blob from an upstream to the bucket, and the clients who read behind it.

It runs in a task of the process, so the client that asked first may leave. The bytes go through the pipeline of pushes:
they are hashed once and sent as parts, and the blob exists only if they have its digest. The last byte is handed to a
reader only once they are known to have it, so no client ends well with wrong bytes of the copy. No reader waits for
the store.

A reader takes bytes from a window of the last ones. The copy goes at the pace of its fastest reader, as long as that is
a good one. A reader behind the window has to wait, because parts of an unfinished multipart cannot be read. Such a
reader, and one that comes too late, waits for the end of the copy, and goes on in the bucket. One that wants bytes far
ahead of the copy reads them at the upstream (`copy_reading.py`).
"""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from typing import Protocol

import trio

from zotpy.core.errors import TryAgain
from zotpy.core.ranges import Span
from zotpy.core.record_values import BlobValue
from zotpy.core.units import MIB
from zotpy.mirror.copy_reading import CopyReads
from zotpy.mirror.flights import copy_of
from zotpy.mirror.window import Window

START_S = 5.0
"""How long readers may keep a copy waiting, beside the pace below."""
EXPECTED_S = 2.0
PACE_BYTES_PER_S = 4 * MIB
"""The copy waits for no reader that is slower than this."""
BEHIND_BYTES = 8 * MIB
"""How much stays in the window behind the slowest reader: what it was sent last may still be under way to it."""
Rest = Callable[[BlobValue, Span], AbstractAsyncContextManager[AsyncIterator[bytes]]]
"""Reads bytes of a blob that is in the bucket."""


class ReadUpstream(Protocol):
    """Reads bytes of a blob of some length at the upstream."""

    def __call__(
        self, size_bytes: int, span: Span, /, *, waits: bool = False
    ) -> AbstractAsyncContextManager[AsyncIterator[bytes]]:
        """Open it. Raises `UpstreamError`, and unless it `waits`, `trio.WouldBlock`: not now."""
        ...


class Copy:
    """How far a copy is. `begin`, `offer` and `end` are called by what copies, the rest by readers."""

    def __init__(self, window: Window, rest: Rest, ahead: ReadUpstream) -> None:
        """Begin with nothing."""
        self.window = window
        self.rest = rest
        self.ahead = ahead
        self.first = 0
        """Where it begins: another replica has copied the bytes before."""
        self.size_bytes: int | None = None
        """The length of the blob; `None`: the upstream has not said it."""
        self.begun = trio.Event()
        """The upstream has answered, or the copy has ended."""
        self.confirmed = trio.Event()
        """All bytes are known to be right, or the copy has ended."""
        self.ended = trio.Event()
        self.settled = trio.Event()
        """The copy has ended, or the blob is not kept."""
        self.is_kept = True
        """Whether the blob is to be in the bucket. If not, it is only passed on."""
        self.value: BlobValue | None = None
        """The blob in the bucket, once the copy has ended well."""
        self.error: Exception | None = None
        self.waiting = 0
        """How many requests wait for one of the events."""
        self._readers: set[CopyReads] = set()
        self.is_right = False
        """Whether all bytes were offered, and have the digest."""
        self._began = trio.current_time()
        self._expected_until = -1.0
        self._moved = trio.Event()
        self._grown = trio.Event()

    @property
    def readers(self) -> int:
        """How many read behind it now."""
        return len(self._readers)

    @property
    def missing_bytes(self) -> int:
        """How many bytes are still to come, as far as the upstream has said how many there are."""
        return max(0, (self.size_bytes or 0) - self.window.end)

    @property
    def is_left_alone(self) -> bool:
        """Whether nobody reads behind it, or is about to."""
        return not self._readers and not self.waiting and trio.current_time() > self._expected_until

    def keep_nothing(self) -> None:
        """Take note that the blob is only passed on: anew from its first byte, unless all bytes are known to be right.

        Readers go on at the byte that they have reached.
        """
        self.is_kept = False
        if not self.is_right:
            self.go_on_at(0)
        self.settled.set()

    def go_on_at(self, first: int) -> None:
        """Begin at this byte of the blob. Nothing was offered yet, but readers may wait."""
        self.first = first
        self.window.begin_at(first)
        self._wake()

    def begin(self, size_bytes: int | None) -> None:
        """Take note that the upstream has the blob. Its length, once said, stays as it is."""
        if self.size_bytes is None:
            self.size_bytes = size_bytes
        self.begun.set()

    async def offer(self, piece: bytes) -> None:
        """Hand the next bytes to those who read behind. It waits for a good reader, for a limited time."""
        while not self.window.has_room(len(piece)):
            with trio.move_on_at(self._began + START_S + (self.window.end - self.first) / PACE_BYTES_PER_S):
                await self._taken(self.window.first_end)
            self.window.drop_oldest()
        self.window.add(piece)
        self._forget_read()
        self._wake()

    def _forget_read(self) -> None:
        """Forget what all readers have, once the first bytes are gone: who comes later waits for the end anyway.

        Memory that is used again costs the system no new pages.
        """
        if self.window.start > self.first:
            places = [reads.at for reads in self._readers if not reads.is_ahead]
            while places and self.window.first_end < min(places) - BEHIND_BYTES:
                self.window.drop_oldest()

    def confirm(self) -> None:
        """Take note that all bytes were offered and have the digest: the last one may be handed out."""
        self.is_right = True
        self.confirmed.set()
        self._wake()
        self._close_window()

    def end(self, value: BlobValue | None, error: Exception | None) -> None:
        """Take note of how the copy has ended."""
        self.value, self.error = value, error
        self.begun.set()
        self.confirmed.set()
        self.ended.set()
        self.settled.set()
        self._wake()
        self._close_window()

    def _close_window(self) -> None:
        """Give the window's memory back if nobody reads from it any more, nor will.

        While the store takes the last parts in, a new reader begins in the window only if all of the blob is there.
        """
        is_of_use = not self.is_right or self.window.start == self.first
        if not self._readers and (self.ended.is_set() or not is_of_use):
            self.window.close()

    def raise_error(self) -> None:
        """Raise why the copy has ended without a blob."""
        if self.error is not None:
            raise copy_of(self.error)
        if self.ended.is_set() and self.value is None and (self.is_kept or not self.is_right):
            msg = "this replica is stopping: try again"
            raise TryAgain(msg)

    @asynccontextmanager
    async def open(self, span: Span) -> AsyncIterator[AsyncIterator[bytes]]:
        """Stream bytes of the blob. The stream ends cleanly only after all of `span`."""
        async with AsyncExitStack() as stack:
            reads = CopyReads(self, span, stack)
            self._readers.add(reads)
            self.moved()
            try:
                yield reads
            finally:
                self._readers.discard(reads)
                self.moved()
                self._close_window()

    def expect(self) -> None:
        """Wait for a reader to open for a moment: the request for the blob sends the head of its answer first."""
        self._expected_until = trio.current_time() + EXPECTED_S

    def moved(self) -> None:
        """Take note that a reader has taken bytes, or has left."""
        self._moved.set()

    async def grows(self) -> None:
        """Wait until more bytes are here, or the copy has ended."""
        await self._grown.wait()

    async def _taken(self, end: int) -> None:
        """Wait until a reader has the bytes before `end`; or one waits behind the window, or there is none."""
        while True:
            places = [reads.at for reads in self._readers if not reads.is_ahead]
            if places and (min(places) < self.window.start or max(places) >= end):
                return
            until = float("inf") if places else self._expected_until
            if until <= trio.current_time():
                return
            self._moved = trio.Event()
            with trio.move_on_at(until):
                await self._moved.wait()

    def limit(self) -> int:
        """Return which byte may not be handed out yet: the last one comes once all are known to be right."""
        end = self.window.end
        return end if self.is_right or self.size_bytes is None else min(end, self.size_bytes - 1)

    def _wake(self) -> None:
        self._grown.set()
        self._grown = trio.Event()
