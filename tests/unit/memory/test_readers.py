"""Many pulls at once: memory and connections are shared so that clients that never read hold up nobody."""

from __future__ import annotations

import pytest
import trio
import trio.testing

from tests.unit.registry.test_reading import CONTENT, KEY, RangedStore, stored
from zotpy.core.errors import TooManyRequests
from zotpy.core.ranges import Span
from zotpy.memory.budget import MemoryBudget
from zotpy.memory.readers import Readers, Reservation
from zotpy.registry.reading import RANGE_BYTES, WHOLE_BYTES, read_span

WHOLE = Span(0, len(CONTENT))
PLACES = 3


class Scene:
    """A store and its readers, all of whose memory may be taken."""

    def __init__(self, store: RangedStore) -> None:
        self.store = store
        self.budget = MemoryBudget(16 * RANGE_BYTES, RANGE_BYTES)
        self.readers = Readers(self.budget, PLACES)
        self.pushes = self.budget.account()

    async def take_memory(self) -> None:
        """Let pushes hold all of the memory that is shared out."""
        await self.pushes.acquire(self.budget.largest_part_bytes)

    async def stall(self, *, task_status: trio.TaskStatus[None]) -> None:
        """Begin a pull, read one piece of it, and never another."""
        async with read_span(self.store, self.readers, KEY, WHOLE) as chunks:
            await anext(chunks)
            task_status.started()
            await trio.sleep_forever()

    async def pull(self, span: Span = WHOLE) -> None:
        """Pull to the end, and compare."""
        async with read_span(self.store, self.readers, KEY, span) as chunks:
            assert b"".join([chunk async for chunk in chunks]) == CONTENT[span.start : span.end]

    def is_as_new(self) -> bool:
        """Whether nothing is held."""
        return (self.store.open_now, self.readers.reserved_bytes, self.readers.waiting) == (0, 0, 0)


async def scene() -> Scene:
    """Return a scene with the content stored."""
    return Scene(await stored())


async def test_with_memory_a_client_that_never_reads_holds_no_connection() -> None:
    """Ranges are received at the store's pace, so that all connections are free again."""
    found = await scene()
    async with trio.open_nursery() as stalled:
        for _ in range(4):
            await stalled.start(found.stall)
        await trio.testing.wait_all_tasks_blocked()
        assert found.store.open_now == 0
        assert found.readers.reserved_bytes > 0
        await found.pull()
        stalled.cancel_scope.cancel()
    assert found.is_as_new()


async def test_a_blob_that_is_read_with_one_call_is_kept_whole() -> None:
    """Up to 16 MiB, too, a slow client holds memory rather than a connection."""
    found = await scene()
    async with read_span(found.store, found.readers, KEY, Span(0, WHOLE_BYTES)) as chunks:
        await anext(chunks)
        await trio.testing.wait_all_tasks_blocked()
        assert found.store.opened == [0]
        assert found.store.open_now == 0
        assert found.readers.reserved_bytes == WHOLE_BYTES
    assert found.is_as_new()


async def test_without_memory_no_more_connections_are_held_than_there_are_places() -> None:
    """Of many clients that never read only a few reach the store. The others go on when these have left."""
    found = await scene()
    await found.take_memory()
    async with trio.open_nursery() as nursery, trio.open_nursery() as stalled:
        for _ in range(PLACES):
            await stalled.start(found.stall)
        for _ in range(5):
            nursery.start_soon(found.pull)
        await trio.testing.wait_all_tasks_blocked()
        assert found.store.open_now == PLACES
        assert found.readers.waiting == 5
        stalled.cancel_scope.cancel()
    assert found.store.most_open <= PLACES
    assert found.is_as_new()


async def test_a_pull_that_waits_takes_memory_that_comes_free() -> None:
    """While clients that never read hold all places, others go on as soon as pushes leave memory."""
    found = await scene()
    await found.take_memory()
    async with trio.open_nursery() as stalled:
        for _ in range(PLACES):
            await stalled.start(found.stall)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(found.pull)
            await trio.testing.wait_all_tasks_blocked()
            assert found.readers.waiting == 1
            found.pushes.release(2 * RANGE_BYTES)
        assert found.store.open_now == PLACES
        stalled.cancel_scope.cancel()
    assert found.is_as_new()


async def test_pulls_leave_memory_to_pushes() -> None:
    """However many clients do not read, a quarter of the memory is free, and pushes go before pulls."""
    found = await scene()
    push = found.budget.account()
    async with trio.open_nursery() as nursery, trio.open_nursery() as stalled:
        while found.store.open_now == 0:  # until one gets no memory any more
            await stalled.start(found.stall)
            await trio.testing.wait_all_tasks_blocked()
        free = found.budget.largest_part_bytes - found.readers.reserved_bytes
        assert found.budget.largest_part_bytes // 4 <= free <= found.budget.largest_part_bytes // 2
        await found.pushes.acquire(free)
        nursery.start_soon(push.acquire, 2 * RANGE_BYTES)
        await trio.testing.wait_all_tasks_blocked()
        assert found.budget.waiting == 1
        await found.pull(Span(0, 10))  # at the client's pace
        assert push.held_bytes == 0
        stalled.cancel_scope.cancel()
    assert push.held_bytes == 2 * RANGE_BYTES
    assert found.is_as_new()


@pytest.mark.parametrize("granted", [False, True])
async def test_a_pull_that_is_given_up_while_it_waits_leaves_nothing(granted: bool) -> None:  # noqa: FBT001
    """A client that leaves while it waits, or at the moment when its turn comes, holds nothing."""
    found = await scene()
    await found.take_memory()
    async with trio.open_nursery() as stalled:
        for _ in range(PLACES):
            await stalled.start(found.stall)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(found.pull)
            await trio.testing.wait_all_tasks_blocked()
            nursery.cancel_scope.cancel()
            if granted:
                found.pushes.release(2 * RANGE_BYTES)
        assert found.readers.waiting == 0
        assert found.readers.reserved_bytes == 0
        stalled.cancel_scope.cancel()
    assert found.is_as_new()
    found.pushes.close()
    assert found.budget.used_bytes == 0


async def test_a_pull_that_fails_gives_its_place_back() -> None:
    """Where the store breaks off a pull without memory, the next one takes its place."""
    found = Scene(await stored(breaks_at=0))
    await found.take_memory()
    for _ in range(PLACES + 1):
        with pytest.raises(Exception, match="gone"):
            await found.pull()
    assert found.is_as_new()


async def patient(longest_wait_s: float) -> Scene:
    """Return a scene whose pulls wait this long before they begin."""
    found = await scene()
    found.budget.longest_wait_s = longest_wait_s
    return found


async def test_a_pull_that_cannot_begin_is_told_to_try_again(autojump_clock: trio.abc.Clock) -> None:
    """It waits for memory or a place for a limited time, and says meanwhile that others must hurry."""
    del autojump_clock
    found = await patient(45.0)
    await found.take_memory()
    async with trio.open_nursery() as stalled:
        for _ in range(PLACES):
            await stalled.start(found.stall)
        assert found.readers.contested_bytes == 0
        async with trio.open_nursery() as nursery:
            nursery.start_soon(refused, found)
            await trio.testing.wait_all_tasks_blocked()
            assert found.readers.contested_bytes == found.budget.usual_bytes // 8
        assert (found.readers.waiting, found.readers.contested_bytes) == (0, 0)
        stalled.cancel_scope.cancel()
    assert found.is_as_new()


async def refused(found: Scene) -> None:
    """Begin a pull that is turned away."""
    with pytest.raises(TooManyRequests):
        await found.pull()


async def test_a_pull_that_has_begun_waits_as_long_as_it_takes(autojump_clock: trio.abc.Clock) -> None:
    """Its client was told that all will come: only those who hold what it waits for are hurried."""
    del autojump_clock
    found = await patient(45.0)
    await found.take_memory()
    account, waited = found.readers.account(), trio.Event()
    for _ in range(PLACES):
        assert await found.readers.begin(account, RANGE_BYTES) == 0

    async def go_on() -> None:
        await found.readers.begin(account, RANGE_BYTES)
        waited.set()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(go_on)
        await trio.sleep(1000.0)
        assert (found.readers.waiting, waited.is_set()) == (1, False)
        found.readers.leave_place()


async def test_what_needs_memory_takes_no_place_and_holds_up_none(autojump_clock: trio.abc.Clock) -> None:
    """A long manifest waits for memory, while pulls behind it go on without."""
    del autojump_clock
    found = await patient(45.0)
    await found.take_memory()
    reservation = found.readers.reservation()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(hold_in_vain, reservation)
        await trio.testing.wait_all_tasks_blocked()
        await found.pull()
        assert found.readers.waiting == 1
    found.pushes.close()
    await reservation.hold(100 * RANGE_BYTES)
    assert found.readers.reserved_bytes == found.readers.limit_bytes
    reservation.close()
    assert found.is_as_new()


async def hold_in_vain(reservation: Reservation) -> None:
    """Wait for memory until told to try again."""
    with pytest.raises(TooManyRequests):
        await reservation.hold(RANGE_BYTES)
