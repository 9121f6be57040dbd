"""How many large requests go out at once."""

from __future__ import annotations

from typing import TYPE_CHECKING

import trio

from zotpy.s3.pacing import HALVE_EVERY_S, Pacer

if TYPE_CHECKING:
    from trio.testing import MockClock


async def test_slow_down_halves_once_however_many_complain(autojump_clock: MockClock) -> None:
    """Complaints that come together count once, and never is the limit below one."""
    del autojump_clock
    pacer = Pacer(16)
    pacer.slowed_down()
    pacer.slowed_down()
    assert pacer.limit == 8
    for _ in range(10):
        await trio.sleep(HALVE_EVERY_S)
        pacer.slowed_down()
    assert pacer.limit == 1


async def test_successes_raise_the_limit_to_where_it_began(autojump_clock: MockClock) -> None:
    """After as many successes as it takes, all of the connections are used again, and no more than those."""
    del autojump_clock
    pacer = Pacer(4)
    await trio.sleep(HALVE_EVERY_S)
    pacer.slowed_down()
    assert pacer.limit == 2
    for _ in range(50):
        pacer.succeeded()
    assert pacer.limit == 4


async def test_no_more_than_the_limit_run_at_once() -> None:
    """A request beyond the limit waits for a slot."""
    pacer = Pacer(2)
    running = 0
    most = 0

    async def take() -> None:
        nonlocal running, most
        async with pacer.slot():
            running += 1
            most = max(most, running)
            await trio.testing.wait_all_tasks_blocked()
            running -= 1

    async with trio.open_nursery() as nursery:
        for _ in range(7):
            nursery.start_soon(take)
    assert most == 2
