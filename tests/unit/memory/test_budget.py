import random
from collections.abc import Callable, Iterator
from functools import partial

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st
from trio.testing import wait_all_tasks_blocked

from zotpy.core.errors import TooManyRequests
from zotpy.core.units import MIB
from zotpy.memory.accounts import Account
from zotpy.memory.budget import LEAST_READ_BYTES, MOST_READ_BYTES, READERS, MemoryBudget

PART = 10
"""The length of a usual part; the budgets below hold two and more."""


@pytest.fixture
def budget() -> Iterator[MemoryBudget]:
    """Return a budget of three usual parts; at the end all of it must be free."""
    budget = MemoryBudget(30, PART)
    yield budget
    assert (budget.used_bytes, budget.waiting) == (0, 0)


async def take(account: Account, size_bytes: int, done: Callable[[], None]) -> None:
    """Acquire, and say when it was granted."""
    await account.acquire(size_bytes)
    done()


def test_a_budget_must_hold_two_usual_parts() -> None:
    """A budget in which nothing could ever be shared is refused at the start, with the size that would do."""
    with pytest.raises(ValueError, match="20 are needed"):
        MemoryBudget(2 * PART - 1, PART)
    assert MemoryBudget(2 * PART, PART).largest_part_bytes == PART


async def test_what_is_acquired_is_used_until_it_is_released(budget: MemoryBudget) -> None:
    """The accounts of the bodies add up to the budget's, and the peak stays."""
    one, two = budget.account(), budget.account()
    await one.acquire(8)
    await two.acquire(5)
    assert (one.held_bytes, two.held_bytes, budget.used_bytes) == (8, 5, 13)
    one.release(3)
    assert (one.held_bytes, budget.used_bytes, budget.peak_bytes) == (5, 10, 13)
    one.close()
    two.close()


async def test_closing_twice_gives_back_once(budget: MemoryBudget) -> None:
    """An account that is closed holds nothing more to give back."""
    account = budget.account()
    await account.acquire(8)
    account.close()
    account.close()
    assert budget.used_bytes == 0


async def test_waiters_are_served_in_the_order_in_which_they_came(budget: MemoryBudget) -> None:
    """A small body does not overtake a large one that waits before it."""
    full = budget.account()
    await full.acquire(20)
    first = budget.account()
    await first.acquire(PART)
    served: list[str] = []
    waiters = {name: budget.account() for name in ("large", "small", "last")}
    async with trio.open_nursery() as nursery:
        for (name, account), size in zip(waiters.items(), (12, 1, 1), strict=True):
            nursery.start_soon(take, account, size, partial(served.append, name))
            await wait_all_tasks_blocked()
        first.part_is_full()
        full.release(12)
        await wait_all_tasks_blocked()
        assert served == ["large"]
        full.release(1)
        await wait_all_tasks_blocked()
        assert served == ["large", "small"]
        full.close()
        first.close()
    assert served == ["large", "small", "last"]
    for account in waiters.values():
        account.close()


async def test_a_newcomer_does_not_overtake_who_waits(budget: MemoryBudget) -> None:
    """Bytes that are free are not given to a newcomer while somebody waits for more of them."""
    holder, turn, waiter, newcomer = (budget.account() for _ in range(4))
    await holder.acquire(18)
    await turn.acquire(PART)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(waiter.acquire, 5)
        await wait_all_tasks_blocked()
        assert budget.waiting == 1
        holder.release(11)  # 17 of 20 are used: 1 byte would fit, 5 do not
        assert not budget.try_acquire(newcomer, 1)
        assert newcomer.held_bytes == 0
        holder.close()
    for account in (turn, waiter, newcomer):
        account.close()


async def test_bodies_that_all_hold_half_a_part_finish_one_after_another(budget: MemoryBudget) -> None:
    """When memory is spent on parts half filled, what is left completes them, oldest first."""
    accounts = [budget.account() for _ in range(4)]

    async def held() -> list[int]:
        await wait_all_tasks_blocked()
        return [account.held_bytes for account in accounts]

    for account in accounts:
        await account.acquire(5)
    async with trio.open_nursery() as nursery:
        for account in accounts:
            nursery.start_soon(account.acquire, 5)
            await wait_all_tasks_blocked()
        assert await held() == [10, 10, 5, 5]
        accounts[0].part_is_full()
        assert await held() == [10, 10, 5, 5]  # all of it is used: the third has to wait until a part is sent
        accounts[0].release(5)
        assert await held() == [5, 10, 10, 5]
        accounts[0].release(5)
        assert await held() == [0, 10, 10, 10]
    for account in accounts:
        account.close()
    assert budget.peak_bytes == budget.total_bytes


async def test_no_part_is_begun_that_could_keep_all_from_being_finished(budget: MemoryBudget) -> None:
    """If less than a usual part is left, a begun part goes on, and a newcomer waits although its bytes fit."""
    one, two, newcomer = (budget.account() for _ in range(3))
    await one.acquire(9)
    await two.acquire(9)
    third = budget.account()
    await third.acquire(3)  # 9 bytes are left
    async with trio.open_nursery() as nursery:
        nursery.start_soon(newcomer.acquire, 1)
        await wait_all_tasks_blocked()
        assert budget.waiting == 1
        await third.acquire(7)  # at once, though somebody waits
        assert budget.waiting == 1
        third.part_is_full()
        await wait_all_tasks_blocked()
        assert newcomer.held_bytes == 1
    for account in (one, two, third, newcomer):
        account.close()


async def test_trying_takes_what_is_free_and_leaves_a_usual_part(budget: MemoryBudget) -> None:
    """Reading ahead is a luxury: it waits for nobody and leaves a usual part's length to pushes."""
    account = budget.account()
    assert budget.try_acquire(account, 15)
    assert not budget.try_acquire(account, 6)
    assert budget.try_acquire(account, 5)
    assert not budget.try_acquire(account, 1)
    assert account.held_bytes == 20
    account.close()


async def test_a_waiter_that_is_cancelled_holds_nothing_and_blocks_nobody(budget: MemoryBudget) -> None:
    """Those behind it are served, at once where there is room."""
    full, turn, gone, behind = (budget.account() for _ in range(4))
    await full.acquire(19)
    await turn.acquire(PART)
    async with trio.open_nursery() as nursery:
        scope = trio.CancelScope()

        async def wait_in_vain() -> None:
            with scope:
                await gone.acquire(5)

        nursery.start_soon(wait_in_vain)
        await wait_all_tasks_blocked()
        nursery.start_soon(behind.acquire, 1)
        await wait_all_tasks_blocked()
        turn.part_is_full()
        full.release(3)  # 4 bytes are free: 5 do not fit, 1 does
        await wait_all_tasks_blocked()
        assert budget.waiting == 2
        scope.cancel()
    assert (gone.held_bytes, behind.held_bytes) == (0, 1)
    for account in (full, turn, gone, behind):
        account.close()


async def test_a_body_that_is_given_up_makes_room_for_who_waits(budget: MemoryBudget) -> None:
    """A request that is given up closes its account, and what it had begun needs no memory any more."""
    full, gone, behind = (budget.account() for _ in range(3))
    await full.acquire(20)
    await gone.acquire(5)
    with trio.move_on_after(0):
        await gone.acquire(6)  # more than is left
    async with trio.open_nursery() as nursery:
        nursery.start_soon(behind.acquire, 5)
        await wait_all_tasks_blocked()
        assert budget.waiting == 1
        gone.close()
    full.close()
    behind.close()


async def test_what_was_granted_in_the_moment_of_cancelling_is_given_back_by_closing(budget: MemoryBudget) -> None:
    """No order of grant and cancellation loses bytes, as long as the account is closed."""
    full, account = budget.account(), budget.account()
    await full.acquire(20)
    turn = budget.account()
    await turn.acquire(PART)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(account.acquire, 5)
        await wait_all_tasks_blocked()
        full.close()
        nursery.cancel_scope.cancel()
    assert account.held_bytes == 5
    account.close()
    turn.close()


async def test_newcomers_are_turned_away_when_the_queue_is_long() -> None:
    """A body that holds bytes may always wait for more, for it can only free them by going on."""
    budget = MemoryBudget(30, PART, longest_queue=1)
    full, turn, waiter, holder, newcomer = (budget.account() for _ in range(5))
    await holder.acquire(1)
    await full.acquire(19)
    await turn.acquire(PART)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(waiter.acquire, 5)
        await wait_all_tasks_blocked()
        with pytest.raises(TooManyRequests):
            await newcomer.acquire(1)
        nursery.start_soon(holder.acquire, 1)
        await wait_all_tasks_blocked()
        assert budget.waiting == 2
        full.close()
    assert newcomer.held_bytes == 0


@given(st.integers(0, 2**32), st.integers(1, 12), st.integers(20, 60))
def test_any_crowd_of_bodies_gets_through(seed: int, bodies: int, total: int) -> None:
    """Whatever the order in which reads come and parts are sent, nobody waits for ever and the limit holds."""
    dice = random.Random(seed)
    budget = MemoryBudget(total, PART)

    async def body() -> None:
        account = budget.account()
        for _ in range(dice.randrange(4)):
            filled = 0
            while filled < PART:
                size = min(dice.randint(1, 4), PART - filled)
                await account.acquire(size)
                filled += size
                assert budget.used_bytes <= total
                if dice.random() < 0.5:
                    await trio.lowlevel.checkpoint()
            account.part_is_full()
            await trio.lowlevel.checkpoint()
            account.release(PART)
        account.close()

    async def crowd() -> None:
        async with trio.open_nursery() as nursery:
            for _ in range(bodies):
                nursery.start_soon(body)
            await wait_all_tasks_blocked()
            assert not nursery.child_tasks, f"{budget.waiting} bodies wait for ever"

    trio.run(crowd)
    assert (budget.used_bytes, budget.waiting) == (0, 0)


async def test_little_is_read_ahead_where_memory_is_short() -> None:
    """With memory to spare reads are long; without any, or with others waiting, they are as short as can be."""
    budget = MemoryBudget(512 * MIB, 9 * MIB)
    holder, other = budget.account(), budget.account()
    assert budget.read_bytes == MOST_READ_BYTES
    await holder.acquire(400 * MIB)
    assert budget.read_bytes == 112 * MIB // READERS
    holder.part_is_full()
    await holder.acquire(112 * MIB - 1)
    assert budget.read_bytes == LEAST_READ_BYTES
    async with trio.open_nursery() as nursery:
        nursery.start_soon(other.acquire, MIB)
        await wait_all_tasks_blocked()
        holder.release(1)  # not enough for the one who waits
        assert budget.read_bytes == LEAST_READ_BYTES
        holder.close()
    assert budget.read_bytes == MOST_READ_BYTES
    other.close()
