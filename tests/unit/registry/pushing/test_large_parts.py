"""Parts of different lengths in one memory budget: all finish, the limit holds, and neither kind starves the other."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st
from trio.testing import MockClock, wait_all_tasks_blocked

from zotpy.core.errors import Unavailable
from zotpy.core.parts import PartPlan
from zotpy.core.upload_state import UploadState
from zotpy.memory.budget import MemoryBudget
from zotpy.registry.pushing.in_flight import Limits
from zotpy.registry.pushing.pipeline import PartPipeline
from zotpy.store.memory_store import MemoryStore

if TYPE_CHECKING:
    from zotpy.memory.accounts import Account
    from zotpy.store.interface import Body, Part

USUAL = 10
TOTAL = 60
LARGE = TOTAL - USUAL
FOREVER_S = 1e9
"""On a clock that jumps when all wait: reached only where nobody can ever go on."""


@pytest.fixture
def budget() -> MemoryBudget:
    """Return a budget of six usual parts, or a large one and a usual one."""
    return MemoryBudget(TOTAL, USUAL)


def filling(budget: MemoryBudget, part_bytes: int) -> Account:
    """Open an account that fills parts of this length."""
    account = budget.account()
    account.begin_part(part_bytes)
    return account


async def test_a_usual_part_is_finished_beside_a_large_one_that_is_slow(budget: MemoryBudget) -> None:
    """However far a large part is filled, the length of a usual one is left, again and again."""
    large, small = filling(budget, LARGE), filling(budget, USUAL)
    await large.acquire(LARGE - 1)
    for _ in range(3):
        await small.acquire(USUAL)
        small.part_is_full()
        small.release(USUAL)
    await large.acquire(1)
    assert budget.peak_bytes == TOTAL - 1
    large.close()
    assert budget.used_bytes == 0


async def test_a_large_part_is_begun_beside_usual_ones_half_filled(budget: MemoryBudget) -> None:
    """Usual parts give their memory back by themselves: a large one need not wait for them to begin."""
    smalls = [filling(budget, USUAL) for _ in range(4)]
    for small in smalls:
        await small.acquire(5)
    large = filling(budget, LARGE)
    await large.acquire(30)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(large.acquire, 20)
        await wait_all_tasks_blocked()
        assert budget.waiting == 1
        for small in smalls:
            await small.acquire(5)  # to be finished, ahead of the large one
            small.close()
    large.close()


async def test_two_large_parts_are_not_filled_so_far_that_neither_fits(budget: MemoryBudget) -> None:
    """Where one large part was begun another gets only what leaves the rest of the first; smaller parts pass it."""
    one, two, small = filling(budget, LARGE), filling(budget, LARGE), filling(budget, USUAL)
    await one.acquire(20)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(two.acquire, 1)
        await wait_all_tasks_blocked()
        assert (budget.waiting, two.held_bytes) == (1, 0)
        await small.acquire(USUAL)
        await one.acquire(20)
        assert budget.waiting == 1
        small.close()
        await one.acquire(10)
        one.part_is_full()
        await wait_all_tasks_blocked()
        assert two.held_bytes == 1
    one.close()
    two.close()


async def test_a_large_part_that_waits_for_memory_is_not_passed_by_newcomers(budget: MemoryBudget) -> None:
    """A stream of small uploads does not keep a large one waiting: those that come later begin after it."""
    holders = [filling(budget, USUAL) for _ in range(6)]
    for holder in holders:
        await holder.acquire(8)  # 12 are left
    large, newcomer = filling(budget, LARGE), filling(budget, USUAL)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(large.acquire, 3)
        await wait_all_tasks_blocked()
        nursery.start_soon(newcomer.acquire, 1)
        await wait_all_tasks_blocked()
        assert (large.held_bytes, newcomer.held_bytes) == (0, 0)
        holders[0].close()
    for account in (*holders, large, newcomer):
        account.close()
    assert budget.used_bytes == 0


@pytest.mark.parametrize("size_bytes", [1, LARGE + 1])
async def test_a_part_that_can_never_be_held_is_refused(budget: MemoryBudget, size_bytes: int) -> None:
    """A part that a replica with more memory began is an error that names the settings, and no endless wait."""
    account = filling(budget, LARGE + 1)
    with pytest.raises(Unavailable, match=r"upload\.memoryBudget"):
        await account.acquire(size_bytes)
    assert (budget.used_bytes, budget.waiting) == (0, 0)


async def test_reading_ahead_leaves_large_parts_what_they_need(budget: MemoryBudget) -> None:
    """Bytes lent for reading are not counted on for a part that was begun."""
    large, reader = filling(budget, LARGE), budget.account()
    await large.acquire(1)
    assert not budget.try_acquire(reader, 1)
    large.part_is_full()
    assert budget.try_acquire(reader, 10)
    await filling(budget, USUAL).acquire(USUAL)
    assert not budget.try_acquire(reader, TOTAL - USUAL - 20)


@dataclass(eq=False)
class Watched(MemoryBudget):
    """Records which upload was granted how much, in order."""

    log: list[tuple[Account, int]] = field(default_factory=list)

    def __init__(self, total_bytes: int, usual_bytes: int) -> None:
        """Make an empty budget."""
        super().__init__(total_bytes, usual_bytes)
        self.log = []

    def _grant(self, account: Account, size_bytes: int) -> None:
        super()._grant(account, size_bytes)
        self.log.append((account, size_bytes))
        assert self.used_bytes <= self.total_bytes


async def send_parts(budget: MemoryBudget, dice: random.Random, part_bytes: int, parts: int, pace_s: float) -> None:
    """Fill parts in reads of random length with random pauses; each is given back some time after it is full."""

    async def drain(size_bytes: int) -> None:
        await trio.sleep(dice.random() * 3)
        account.release(size_bytes)

    account = filling(budget, part_bytes)
    async with trio.open_nursery() as nursery:
        for _ in range(parts):
            filled, length = 0, part_bytes if dice.random() < 0.8 else dice.randint(1, part_bytes)
            while filled < length:
                await trio.sleep(dice.random() * pace_s)
                size = min(dice.randint(1, 6), length - filled)
                await account.acquire(size)
                filled += size
            account.begin_part(part_bytes)
            nursery.start_soon(drain, length)
            if dice.random() < 0.1:
                break  # the client went away
    account.close()


@settings(deadline=None)
@given(
    st.integers(0, 2**32),
    st.integers(2 * USUAL, 100),
    st.lists(st.tuples(st.floats(0, 1), st.sampled_from([0.0, 0.1, 5.0])), min_size=1, max_size=14),
)
def test_uploads_of_any_part_length_and_speed_all_finish(
    seed: int, total: int, uploads: list[tuple[float, float]]
) -> None:
    """Whatever parts are filled and at whatever speed, nobody waits for ever, and the limit holds at each grant."""
    dice = random.Random(seed)
    budget = Watched(total, USUAL)

    async def crowd() -> None:
        with trio.fail_after(FOREVER_S):
            async with trio.open_nursery() as nursery:
                for share, pace_s in uploads:
                    part = 1 + int(share * (budget.largest_part_bytes - 1))
                    nursery.start_soon(send_parts, budget, dice, part, 4, pace_s)

    trio.run(crowd, clock=MockClock(autojump_threshold=0))
    assert (budget.used_bytes, budget.waiting, budget.ledger.draining_bytes, budget.ledger.usual_filled_bytes) == (
        0,
        0,
        0,
        0,
    )
    assert budget.ledger.large == set()
    assert budget.peak_bytes <= total


@pytest.mark.parametrize("seed", range(5))
def test_small_uploads_are_not_starved_by_a_large_one(seed: int) -> None:
    """While a small upload waits the large one is served at most twice, though memory is spent all the time."""
    dice = random.Random(seed)
    budget = Watched(200, USUAL)
    large = filling(budget, budget.largest_part_bytes)
    waits: list[int] = []
    ended: list[str] = []

    async def keep_sending(account: Account) -> None:
        for _ in range(40):
            for _ in range(account.part_bytes // 5):
                await account.acquire(5)
            account.begin_part(account.part_bytes)
            await trio.sleep(1)
            account.release(account.part_bytes)
        ended.append("large")

    async def send_small() -> None:
        await trio.sleep(dice.random() * 60)
        account = filling(budget, USUAL)
        for _ in range(2):
            before = len(budget.log)
            await account.acquire(5)
            takers = [taker for taker, _ in budget.log[before:]]
            waits.append(takers[: takers.index(account)].count(large))
        account.part_is_full()
        await trio.sleep(2)
        account.close()
        ended.append("small")

    async def crowd() -> None:
        with trio.fail_after(FOREVER_S):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(keep_sending, large)
                for _ in range(1000):
                    nursery.start_soon(send_small)

    trio.run(crowd, clock=MockClock(autojump_threshold=0))
    assert len(waits) == 2000
    assert max(waits) <= 2
    assert budget.peak_bytes > budget.total_bytes - USUAL
    assert ended.count("small") == 1000
    assert budget.used_bytes == 0


class SlowStore(MemoryStore):
    """Takes a random time for each part."""

    def __init__(self, dice: random.Random) -> None:
        """Begin empty."""
        super().__init__()
        self._dice = dice

    async def put_part(self, key: str, multipart_id: str, number: int, body: Body) -> Part:
        """Take a part, later."""
        await trio.sleep(self._dice.random() * 3)
        return await super().put_part(key, multipart_id, number, body)


class Dripping:
    """A body that comes in reads of random length, at random times."""

    def __init__(self, dice: random.Random, size_bytes: int, pace_s: float) -> None:
        """Send this many bytes."""
        self._dice = dice
        self._left = size_bytes
        self._pace_s = pace_s

    def __aiter__(self) -> Dripping:
        """Return itself."""
        return self

    async def __anext__(self) -> bytes:
        """Send the next read."""
        await trio.sleep(self._dice.random() * self._pace_s)
        size = min(self._left, self._dice.randint(1, 25))
        self._left -= size
        if not size:
            raise StopAsyncIteration
        return bytes(size)


@settings(deadline=None, max_examples=60)
@given(
    st.integers(0, 2**32),
    st.integers(2 * USUAL, 100),
    st.lists(st.tuples(st.floats(0, 1), st.integers(0, 400), st.sampled_from([0.0, 0.1, 5.0])), min_size=1, max_size=8),
)
def test_pipelines_of_any_part_length_and_speed_all_finish(
    seed: int, total: int, uploads: list[tuple[float, int, float]]
) -> None:
    """Bodies that really go through a pipeline each, with parts that grow, all end with their parts and no memory."""
    dice = random.Random(seed)
    budget = Watched(total, USUAL)
    store = SlowStore(dice)
    limits = Limits(min(4 * USUAL, total // 2), total // 2, USUAL, 3 * USUAL)

    async def send(share: float, size_bytes: int, pace_s: float) -> None:
        first = 1 + int(share * (budget.largest_part_bytes - 1))
        state = UploadState("sha256", PartPlan(first, budget.largest_part_bytes, 1))
        account = budget.account()
        pipeline = PartPipeline(store, limits, account, state, None)
        state = await pipeline.run(Dripping(dice, size_bytes, pace_s))
        assert state.offset == size_bytes
        assert [part.number for part in state.parts] == list(range(1, len(state.parts) + 1))
        assert state.sent_bytes == sum(state.plan.size_bytes(part.number) for part in state.parts)
        account.close()

    async def crowd() -> None:
        with trio.fail_after(FOREVER_S):
            async with trio.open_nursery() as nursery:
                for share, size_bytes, pace_s in uploads:
                    nursery.start_soon(send, share, size_bytes, pace_s)

    trio.run(crowd, clock=MockClock(autojump_threshold=0))
    assert (budget.used_bytes, budget.waiting) == (0, 0)
    assert budget.peak_bytes <= total
