"""Turns that clients take: how many at once, in which order, and what becomes of those who leave."""

from __future__ import annotations

import trio
from hypothesis import given
from hypothesis import strategies as st
from trio.testing import wait_all_tasks_blocked

from zotpy.auth.fair_turns import Turns

GUESSER, USER, OTHER = "192.0.2.1", "192.0.2.2", "192.0.2.3"


async def test_a_client_waits_for_no_more_than_one_turn_of_each_other(nursery: trio.Nursery) -> None:
    """However many requests one client has sent before. Its own keep their order."""
    turns, ended, go_on = Turns(1), list[str](), trio.Semaphore(0)

    async def work(address: str, number: int) -> None:
        async with turns.turn_for(address):
            await go_on.acquire()
            ended.append(f"{address[-1]}:{number}")

    for address, number in [*((GUESSER, number) for number in range(4)), (USER, 0), (OTHER, 0), (USER, 1)]:
        nursery.start_soon(work, address, number)
        await wait_all_tasks_blocked()
    for _ in range(7):
        go_on.release()
        await wait_all_tasks_blocked()
    assert ended == ["1:0", "1:1", "2:0", "3:0", "1:2", "2:1", "1:3"]
    assert turns.taken == 0


async def test_a_turn_that_comes_to_one_who_leaves_is_passed_on(nursery: trio.Nursery) -> None:
    """It is passed on even if both happen in the same instant. Nobody waits for it in vain."""
    turns, has_worked = Turns(1), trio.Event()
    leaving = trio.CancelScope()

    async def leave() -> None:
        with leaving:
            async with turns.turn_for(USER):
                await trio.sleep_forever()

    async def work() -> None:
        async with turns.turn_for(OTHER):
            has_worked.set()

    async with turns.turn_for(GUESSER):
        nursery.start_soon(leave)
        await wait_all_tasks_blocked()
        nursery.start_soon(work)
        await wait_all_tasks_blocked()
    leaving.cancel()
    await has_worked.wait()
    await wait_all_tasks_blocked()
    assert turns.taken == 0


@given(
    st.lists(st.tuples(st.sampled_from([GUESSER, USER, OTHER, ""]), st.booleans(), st.integers(0, 3)), max_size=12),
    st.integers(1, 3),
)
def test_no_turn_is_lost_and_none_is_given_twice(asked: list[tuple[str, bool, int]], at_once: int) -> None:
    """Clients of several addresses ask, and some leave while they wait or work."""

    async def run() -> None:
        turns, working, most = Turns(at_once), 0, 0

        async def work(address: str, steps: int, scope: trio.CancelScope) -> None:
            nonlocal working, most
            with scope:
                async with turns.turn_for(address):
                    working += 1
                    most = max(most, working)
                    try:
                        for _ in range(steps):
                            await trio.lowlevel.checkpoint()
                    finally:
                        working -= 1

        async with trio.open_nursery() as nursery:
            scopes = []
            for address, leaves, steps in asked:
                scope = trio.CancelScope()
                nursery.start_soon(work, address, steps, scope)
                scopes += [scope] if leaves else []
            await trio.lowlevel.checkpoint()
            for scope in scopes:
                scope.cancel()
                await trio.lowlevel.checkpoint()
        assert most <= at_once
        assert turns.taken == 0
        assert not turns._waiting

    trio.run(run)
