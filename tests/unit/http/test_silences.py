"""Waits for answers end when they are due, each by itself, and without a cancel scope of its own."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest
import trio
import trio.testing

from zotpy.http.client.time_limits import AttemptTime
from zotpy.http.client.transport_errors import ReadTimeout
from zotpy.http.silences import Silences, Wait

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from trio.testing import MockClock


@asynccontextmanager
async def silent() -> AsyncIterator[tuple[trio.socket.SocketType, trio.socket.SocketType]]:
    """Yield the two ends of a connection over which nothing comes yet."""
    ours, theirs = trio.socket.socketpair()
    with ours, theirs:
        yield ours, theirs


class Waits:
    """Waits of one service, and how each has ended."""

    def __init__(self, nursery: trio.Nursery) -> None:
        self.silences = Silences()
        self.ended: dict[float, tuple[float, bool]] = {}
        """By when it was due: when it ended, and whether it was late."""
        self._nursery = nursery

    async def begin(self, opened: trio.socket.SocketType, due: float) -> None:
        """Begin one that may last until `due`."""
        self._nursery.start_soon(self._run, opened, due)
        await trio.testing.wait_all_tasks_blocked()

    async def _run(self, opened: trio.socket.SocketType, due: float) -> None:
        wait = Wait()
        wait.due = due
        try:
            await self.silences.until_readable(opened, wait)
        except trio.ClosedResourceError:
            assert wait.is_late
        self.ended[due] = trio.current_time(), wait.is_late


async def test_each_wait_ends_when_it_is_due(nursery: trio.Nursery, autojump_clock: MockClock) -> None:
    """Also one that is due before those that began earlier; and the others go on."""
    del autojump_clock
    waits = Waits(nursery)
    async with silent() as (first, _), silent() as (second, _), silent() as (third, _):
        await waits.begin(first, 20.0)
        await waits.begin(second, 5.0)
        await waits.begin(third, 30.0)
        await trio.sleep(50)
    assert waits.ended == {5.0: (5.0, True), 20.0: (20.0, True), 30.0: (30.0, True)}


async def test_bytes_that_come_in_time_end_the_wait(nursery: trio.Nursery, autojump_clock: MockClock) -> None:
    """The look that was due for it ends nothing, and the next wait is watched again."""
    del autojump_clock
    waits = Waits(nursery)
    async with silent() as (ours, theirs), silent() as (other, _):
        await waits.begin(ours, 20.0)
        await theirs.send(b"x")
        await trio.testing.wait_all_tasks_blocked()
        assert waits.ended == {20.0: (0.0, False)}
        await trio.sleep(60)
        await waits.begin(other, 70.0)
        await trio.sleep(60)
    assert waits.ended[70.0] == (70.0, True)


async def test_waits_that_end_in_time_leave_no_task(autojump_clock: MockClock) -> None:
    """The task that looks at them ends, at the latest when the first was due."""
    del autojump_clock
    silences, wait = Silences(), Wait()
    before = trio.lowlevel.current_statistics().tasks_living
    async with silent() as (ours, theirs):
        for _ in range(100):
            wait.due = trio.current_time() + 20.0
            await theirs.send(b"x")
            await silences.until_readable(ours, wait)
            await ours.recv(1)
            assert trio.lowlevel.current_statistics().tasks_living <= before + 1
        await trio.sleep(60)
    assert trio.lowlevel.current_statistics().tasks_living == before


async def test_a_wait_that_is_given_up_is_forgotten(autojump_clock: MockClock) -> None:
    """Its socket may serve others."""
    del autojump_clock
    silences, wait = Silences(), Wait()
    wait.due = 20.0
    async with silent() as (ours, theirs):
        with trio.move_on_after(1):
            await silences.until_readable(ours, wait)
        with trio.fail_after(60):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(ours.recv, 1)
                await trio.sleep(30)
                await theirs.send(b"x")
    assert not wait.is_late


@pytest.mark.parametrize("due", [0.0, -1.0])
async def test_a_wait_that_is_due_already_ends(due: float, nursery: trio.Nursery, autojump_clock: MockClock) -> None:
    """The call's deadline may have passed meanwhile."""
    del autojump_clock
    waits = Waits(nursery)
    async with silent() as (ours, _):
        await waits.begin(ours, due)
        await trio.sleep(1)
    assert waits.ended == {due: (0.0, True)}


async def test_a_service_that_always_has_more_bytes_does_not_outlast_the_call(autojump_clock: MockClock) -> None:
    """Each wait ends at once, and yet the deadline of the call is noticed."""
    del autojump_clock
    time = AttemptTime(Silences(), 20.0, trio.current_time(), trio.current_time() + 30.0)

    async def wait_again(opened: trio.socket.SocketType) -> None:
        for _ in range(1000):
            await time.until_readable(opened)

    async with silent() as (ours, theirs):
        await theirs.send(b"more")
        await time.until_readable(ours)
        await trio.sleep(40)
        with pytest.raises(ReadTimeout):
            await wait_again(ours)
    assert time.is_over
