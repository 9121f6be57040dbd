"""Reading ahead: ranges come at once and are given in order, within memory that nobody else waits for."""

from __future__ import annotations

import os
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest
import trio
import trio.testing

from zotpy.core.ranges import Span
from zotpy.core.units import MIB
from zotpy.memory.budget import MemoryBudget
from zotpy.memory.readers import Readers
from zotpy.registry import reading
from zotpy.registry.reading import AHEAD, RANGE_BYTES, WHOLE_BYTES, read_span
from zotpy.store.interface import StoreUnavailable
from zotpy.store.memory_store import MemoryStore

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

KEY = "data/large"
ROOM = MemoryBudget(16 * RANGE_BYTES, RANGE_BYTES)
READERS = Readers(ROOM, places=1)
CONTENT = os.urandom(5 * RANGE_BYTES + 333)


class RangedStore(MemoryStore):
    """Counts the ranges that are open at once, and breaks one where told to."""

    def __init__(self, breaks_at: int | None = None) -> None:
        """Break the range that begins at `breaks_at`, in its middle."""
        super().__init__()
        self.open_now = 0
        self.most_open = 0
        self.opened: list[int] = []
        self.goes_on: trio.Event | None = None
        """Ranges give nothing before."""
        self._breaks_at = breaks_at

    @asynccontextmanager
    async def open(self, key: str, start: int, end: int) -> AsyncIterator[AsyncIterator[bytes]]:
        """Stream a range, and count it."""
        self.opened.append(start)
        self.open_now += 1
        self.most_open = max(self.most_open, self.open_now)
        try:
            if self.goes_on is not None:
                await self.goes_on.wait()
            async with super().open(key, start, end) as chunks:
                yield _Breaking(chunks) if start == self._breaks_at else chunks
        finally:
            self.open_now -= 1


class _Breaking:
    """One chunk, then the store breaks off."""

    def __init__(self, chunks: AsyncIterator[bytes]) -> None:
        self._chunks = chunks
        self._given = 0

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        self._given += 1
        if self._given > 1:
            msg = "gone"
            raise StoreUnavailable(msg)
        return await anext(self._chunks)


async def stored(breaks_at: int | None = None) -> RangedStore:
    """Return a store that holds the content."""
    store = RangedStore(breaks_at)
    await store.put(KEY, CONTENT)
    return store


@pytest.mark.parametrize(
    ("start", "end"),
    [(0, len(CONTENT)), (7, len(CONTENT)), (1, WHOLE_BYTES + 2), (0, 1), (RANGE_BYTES, RANGE_BYTES * 3)],
)
async def test_the_bytes_come_in_order_whatever_the_span(start: int, end: int) -> None:
    """Any span comes bit for bit, and all memory is given back."""
    store = await stored()
    async with read_span(store, READERS, KEY, Span(start, end)) as chunks:
        assert b"".join([chunk async for chunk in chunks]) == CONTENT[start:end]
    assert ROOM.used_bytes == 0
    assert store.open_now == 0


async def test_up_to_two_ranges_are_one_call() -> None:
    """A blob that is not much longer than a range is read with one call."""
    store = await stored()
    async with read_span(store, READERS, KEY, Span(0, WHOLE_BYTES)) as chunks:
        _ = [chunk async for chunk in chunks]
    assert store.opened == [0]


async def test_ranges_are_fetched_ahead_of_a_client_that_waits() -> None:
    """While the client has taken one piece, the ranges after it are read already, and no more than a few."""
    store = await stored()
    async with read_span(store, READERS, KEY, Span(0, len(CONTENT))) as chunks:
        await anext(chunks)
        await trio.testing.wait_all_tasks_blocked()
        assert len(store.opened) == AHEAD + 1
        assert ROOM.used_bytes <= (AHEAD + 1) * RANGE_BYTES
    assert ROOM.used_bytes == 0
    assert store.open_now == 0


async def test_a_client_that_is_slower_than_the_store_has_one_range_ahead() -> None:
    """Where the next range is complete before its turn, further ones would only hold memory."""
    store = await stored()
    held: list[float] = []
    async with read_span(store, READERS, KEY, Span(0, len(CONTENT))) as chunks:
        received = 0
        while received < len(CONTENT):
            await trio.testing.wait_all_tasks_blocked()  # the store has sent all that it was asked for
            received += len(await anext(chunks))
            if received > 3 * RANGE_BYTES:  # those that were begun when nobody knew the client
                held.append(ROOM.used_bytes / RANGE_BYTES)
    assert len(store.opened) == 6
    assert 1 < max(held) <= 2


async def test_a_client_that_becomes_faster_than_the_store_has_one_more_range_ahead(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Each time that the next range is not complete at its turn: memory grows only as far as it has to."""
    monkeypatch.setattr(reading, "RANGE_BYTES", MIB)
    store, received = await stored(), 0

    async def take_all(chunks: AsyncIterator[bytes]) -> None:
        nonlocal received
        async for chunk in chunks:
            received += len(chunk)

    async with read_span(store, READERS, KEY, Span(0, len(CONTENT))) as chunks, trio.open_nursery() as nursery:
        while received < 10 * MIB:
            await trio.testing.wait_all_tasks_blocked()
            received += len(await anext(chunks))
        store.goes_on = trio.Event()  # from now on the store is slow
        nursery.start_soon(take_all, chunks)
        await trio.testing.wait_all_tasks_blocked()
        assert store.open_now == 3, "the one that is waited for, and two ahead"
        store.goes_on.set()
    assert received == len(CONTENT)


async def test_ranges_that_come_at_once_do_not_make_a_fast_client_look_slow(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ranges that were asked for at once are complete at once. The ranges after them are asked for at once, too."""
    monkeypatch.setattr(reading, "RANGE_BYTES", MIB)
    store = await stored()
    store.goes_on = trio.Event()

    async def take_all(chunks: AsyncIterator[bytes]) -> None:
        async for _ in chunks:
            pass

    async with read_span(store, READERS, KEY, Span(0, len(CONTENT))) as chunks, trio.open_nursery() as nursery:
        nursery.start_soon(take_all, chunks)
        for _ in range(3):
            await trio.testing.wait_all_tasks_blocked()
            assert store.open_now == AHEAD + 1
            was_asked, store.goes_on = store.goes_on, trio.Event()
            was_asked.set()
        await trio.testing.wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()


async def test_everybody_else_has_a_turn_before_each_piece() -> None:
    """A client that reads as fast as bytes are there does not hold up the others, though nothing is waited for."""
    store = await stored()
    turns = given = 0

    async def others() -> None:
        nonlocal turns
        while True:
            await trio.lowlevel.checkpoint()
            turns += 1

    async with read_span(store, READERS, KEY, Span(0, RANGE_BYTES)) as chunks, trio.open_nursery() as nursery:
        await anext(chunks)
        await trio.testing.wait_all_tasks_blocked()  # all that follows is there
        nursery.start_soon(others)
        async for _ in chunks:
            given += 1
            assert turns >= given - 2  # the first one only begins the task
        nursery.cancel_scope.cancel()
    assert given > 10


async def test_without_room_one_range_at_a_time_is_passed_on() -> None:
    """Where the budget is spent nothing is reserved, and the bytes come all the same."""
    budget = MemoryBudget(2 * RANGE_BYTES, RANGE_BYTES)
    account = budget.account()
    await account.acquire(RANGE_BYTES - 1)
    store = await stored()
    async with read_span(store, Readers(budget, places=1), KEY, Span(0, len(CONTENT))) as chunks:
        assert b"".join([chunk async for chunk in chunks]) == CONTENT
    assert store.most_open == 1
    assert budget.used_bytes == RANGE_BYTES - 1
    account.close()


async def test_a_range_that_breaks_is_an_error_never_a_short_end() -> None:
    """If a later range cannot be read, the stream raises, and gives back what it held."""
    store = await stored(breaks_at=2 * RANGE_BYTES)
    received = 0
    with pytest.raises(StoreUnavailable):  # noqa: PT012 - what comes before the break is the point
        async with read_span(store, READERS, KEY, Span(0, len(CONTENT))) as chunks:
            async for chunk in chunks:
                received += len(chunk)
    assert received < len(CONTENT)
    assert ROOM.used_bytes == 0
    assert store.open_now == 0
