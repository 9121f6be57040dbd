"""Reading a large blob as several ranges at once, ahead of the client and in order.

One connection to S3 gives some 90 MB/s, however fast the client is. So the ranges after the one that is being sent are
already on their way, each on a connection of its own, as far as memory for pulls is free (`zotpy/memory/readers.py`).
Without memory, one range at a time is passed on piece by piece, and nothing is kept.

If a range fails, the error comes only when its turn comes: the bytes before it are still sent. The sending task is
never cancelled in the middle of it, which the ASGI server would not survive.
"""

from collections import deque
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import trio

from zotpy.concurrency import plain_errors
from zotpy.core.ranges import Span
from zotpy.core.units import MIB
from zotpy.memory.accounts import Account
from zotpy.memory.readers import Readers, Turn
from zotpy.store.interface import Store

RANGE_BYTES = 8 * MIB
AHEAD = 3
"""At most so many ranges are on their way besides the one that is being sent."""
WHOLE_BYTES = 2 * RANGE_BYTES
"""Up to this length a blob is read with one call: more calls would not pay."""


@dataclass(eq=False, slots=True)
class _Fetch:
    """One range on its way. `reserved_bytes` of the budget are not given back yet."""

    span: Span
    chunks: "trio.MemoryReceiveChannel[bytes]"
    reserved_bytes: int
    error: Exception | None = None
    """Why no more chunks come, if not all came."""
    is_complete: bool = False
    """All of it is here."""
    was_here: bool = False
    """It was complete before its turn came."""


@asynccontextmanager
async def read_span(
    store: Store, readers: Readers, key: str, span: Span, turn: Turn | None = None
) -> AsyncIterator[AsyncIterator[bytes]]:
    """Stream bytes of an object. If the stream cannot give all of them, it raises `StoreError`.

    If it is the first `turn` of its answer, it raises `TooManyRequests` after a long wait.
    """
    account = readers.account()
    try:
        with plain_errors():
            async with trio.open_nursery() as nursery:
                yield _Ahead(store, readers, account, key, span, turn or Turn(), nursery)
                nursery.cancel_scope.cancel()
    finally:
        readers.close(account)


class _Ahead:
    """The iterator. It starts further ranges whenever it moves on to the next one."""

    def __init__(
        self,
        store: Store,
        readers: Readers,
        account: Account,
        key: str,
        span: Span,
        turn: Turn,
        nursery: trio.Nursery,
    ) -> None:
        self._store = store
        self._readers = readers
        self._account = account
        self._key = key
        self._turn = turn
        self._nursery = nursery
        self._ranges = _split(span)
        self._next = next(self._ranges, None)
        self._fetches: deque[_Fetch] = deque()
        self._handed_out = 0
        self._ahead = AHEAD
        """How many ranges may be on their way besides the one being sent."""

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        self._give_back()
        while True:
            await self._top_up()
            if not self._fetches:
                raise StopAsyncIteration
            try:
                chunk = await self._fetches[0].chunks.receive()
            except trio.EndOfChannel:
                done = self._fetches.popleft()
                self._readers.release(self._account, done.reserved_bytes)
                if done.error is not None:
                    raise done.error from None
                self._adapt(done)
                continue
            if self._fetches[0].reserved_bytes:
                self._fetches[0].reserved_bytes -= len(chunk)
                self._handed_out = len(chunk)
            return chunk

    def _adapt(self, done: _Fetch) -> None:
        """Decide how many ranges may be on their way from now on. The turn of the next range has come.

        The client is slower than one connection to the store if the last range was complete before its turn, and all
        that were asked for have come since. More of them would only hold memory. That the next one is complete says
        nothing: ranges that were asked for at once come at once. For a faster client, one more is asked for each time.
        """
        if not self._fetches:
            return
        self._fetches[0].was_here = self._fetches[0].is_complete
        is_slow = done.was_here and self._fetches[-1].is_complete
        self._ahead = 1 if is_slow else min(AHEAD, self._ahead + 1)

    def _give_back(self) -> None:
        """Give back the piece that was handed out last: a caller that asks for the next one has sent it."""
        self._readers.release(self._account, self._handed_out)
        self._handed_out = 0

    async def _top_up(self) -> None:
        while self._next is not None and len(self._fetches) <= self._ahead:
            reserved_bytes = self._next.length
            if not self._fetches:
                reserved_bytes = await self._readers.begin(
                    self._account, self._next.length, is_first=self._turn.is_first
                )
                self._turn.is_first = False
            elif not self._readers.reserve_ahead(self._account, self._next.length):
                return
            run = self._run if reserved_bytes else self._run_at_the_clients_pace
            send, receive = trio.open_memory_channel[bytes](float("inf") if reserved_bytes else 0)
            self._fetches.append(_Fetch(self._next, receive, reserved_bytes))
            self._nursery.start_soon(run, self._fetches[-1], send)
            self._next = next(self._ranges, None)

    async def _run(self, fetch: _Fetch, send: "trio.MemorySendChannel[bytes]", *, waits: bool = False) -> None:
        """Receive a range. With memory reserved, nothing here waits for the client or takes a turn for each piece."""
        span = fetch.span
        async with send:
            try:
                async with self._store.open(self._key, span.start, span.end) as chunks:
                    async for chunk in chunks:
                        await send.send(chunk) if waits else send.send_nowait(chunk)
                fetch.is_complete = True
            except Exception as error:  # noqa: BLE001 - it is raised when its turn comes
                fetch.error = error

    async def _run_at_the_clients_pace(self, fetch: _Fetch, send: "trio.MemorySendChannel[bytes]") -> None:
        try:
            await self._run(fetch, send, waits=True)
        finally:
            self._readers.leave_place()


def _split(span: Span) -> Iterator[Span]:
    range_bytes = RANGE_BYTES if span.length > WHOLE_BYTES else WHOLE_BYTES
    for start in range(span.start, span.end, range_bytes):
        yield Span(start, min(start + range_bytes, span.end))
