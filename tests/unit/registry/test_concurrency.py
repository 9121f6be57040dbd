"""Several calls at once."""

from __future__ import annotations

from functools import partial

import pytest
import trio

from zotpy.registry.concurrency import gather


@pytest.mark.parametrize("count", [0, 1, 2, 5])
@pytest.mark.parametrize("limit", [1, 2, 64])
async def test_results_are_in_order_and_no_more_run_than_may(count: int, limit: int) -> None:
    """However many calls there are, all are made, and the limit holds for them."""
    running, most = 0, 0

    async def call(number: int) -> int:
        nonlocal running, most
        running += 1
        most = max(most, running)
        for _ in range(20 - number):
            await trio.lowlevel.checkpoint()
        running -= 1
        return number

    assert list(await gather(*(partial(call, n) for n in range(count)), limit=limit)) == list(range(count))
    assert most == min(count, limit)


@pytest.mark.parametrize("failing", [0, 1, 2])
async def test_the_first_failure_ends_all(failing: int) -> None:
    """Whichever of the calls fails, its plain error is raised, and the others are cancelled."""
    cancelled = []

    async def call(number: int) -> None:
        if number == failing:
            msg = f"{number} failed"
            raise OSError(msg)
        try:
            await trio.sleep_forever()
        except trio.Cancelled:
            cancelled.append(number)
            raise

    with trio.fail_after(60), pytest.raises(OSError, match=f"{failing} failed"):
        await gather(*(partial(call, n) for n in range(3)))
    assert set(cancelled) <= {0, 1, 2} - {failing}


async def test_whoever_is_cancelled_cancels_its_calls() -> None:
    """A request that is given up leaves no call behind, and its cancellation is no error."""
    left = 0

    async def call() -> None:
        nonlocal left
        try:
            await trio.sleep_forever()
        finally:
            left += 1

    with trio.move_on_after(0.01) as scope:
        await gather(call, call, call)
    assert scope.cancelled_caught
    assert left == 3


async def test_all_begin_before_any_goes_on() -> None:
    """Calls that end at their first turn are still made at once, not the first before the others."""
    begun = 0

    async def call() -> int:
        nonlocal begun
        begun += 1
        await trio.lowlevel.checkpoint()
        return begun

    assert list(await gather(call, call, call)) == [3, 3, 3]
