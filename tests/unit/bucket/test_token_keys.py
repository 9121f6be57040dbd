"""The keys of the cluster that sign tokens: made once, found by every replica, rotated, and rarely asked for."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from tests.unit.registry.support import NO_CONDITIONS, Script
from zotpy.bucket.token_keys import ASK_AGAIN_S, LOOK_S, NUMBER_S, TokenKeys
from zotpy.core import keys
from zotpy.core.framing import frame
from zotpy.store.faulty import FaultyStore
from zotpy.store.interface import StoreUnavailable
from zotpy.store.memory_store import MemoryStore

if TYPE_CHECKING:
    from trio.testing import MockClock

    from zotpy.store.interface import Store

SESSION_S = 12 * 3600.0
FIRST = 600
"""The number of the first 30 days of these tests."""


@dataclass(slots=True)
class Clock:
    """The store's clock. It is years behind that of this host."""

    now: float = FIRST * NUMBER_S + 1000.0

    def time(self) -> datetime:
        """Say how late it is."""
        return datetime.fromtimestamp(self.now, UTC)


@pytest.fixture
def clock() -> Clock:
    """Return a clock."""
    return Clock()


def names(store: MemoryStore) -> list[str]:
    """Name what is in the bucket."""
    return sorted(store.objects)


def gets(script: Script) -> int:
    """Count the reads of keys."""
    return script.begun["get"]


async def ring_on(store: Store, keep_s: float = SESSION_S) -> TokenKeys:
    """Return the keys as a replica knows them that starts now."""
    return await TokenKeys.open(store, keep_s)


@pytest.mark.parametrize("has_conditions", [True, False])
async def test_replicas_that_start_at_once_use_one_key(clock: Clock, *, has_conditions: bool) -> None:
    """Whatever the store can do, later replicas agree. With conditions, all do."""
    store = MemoryStore(clock.time) if has_conditions else MemoryStore(clock.time, NO_CONDITIONS)
    rings: list[TokenKeys] = []

    async def start() -> None:
        rings.append(await ring_on(store))

    async with trio.open_nursery() as nursery:
        for _ in range(8):
            nursery.start_soon(start)
    assert names(store) == [keys.token_key(FIRST)]
    if has_conditions:
        assert len({ring.current for ring in rings}) == 1
    assert (await ring_on(store)).current == (await ring_on(store)).current


async def test_every_replica_finds_the_key_of_another_one(clock: Clock) -> None:
    """A replica that has not looked for a while reads the key when a token names it."""
    store = MemoryStore(clock.time)
    late = await ring_on(store)
    clock.now += NUMBER_S
    early = await ring_on(store)
    assert late.current.key_id != early.current.key_id
    assert await late.find(early.current.key_id) == early.current
    assert await early.find(late.current.key_id) == late.current
    assert late.current.key_id.startswith(f"zotpy.{FIRST}.")  # until it looks


@pytest.mark.parametrize("wrong_by", [-400 * 86400.0, 400 * 86400.0])
async def test_a_replica_with_a_wrong_clock_deletes_no_key(
    clock: Clock, monkeypatch: pytest.MonkeyPatch, wrong_by: float
) -> None:
    """The store's clock says which key is today's, and which ones nobody needs any more."""
    store = MemoryStore(clock.time)
    right = await ring_on(store)
    monkeypatch.setattr(time, "time", lambda: clock.now + wrong_by)
    wrong = await ring_on(store)
    assert names(store) == [keys.token_key(FIRST)]
    assert wrong.current == right.current
    assert wrong.clock.now() == pytest.approx(clock.now, abs=600)


async def test_requests_that_come_at_once_all_find_the_key_of_another_one(clock: Clock) -> None:
    """They wait for the one read that is under way, even if the request that began it is over."""
    store, script = MemoryStore(clock.time), Script()
    late = await ring_on(FaultyStore(store, script))
    clock.now += NUMBER_S
    new = (await ring_on(store)).current
    before, found = gets(script), list[object]()
    parked = script.park("before", "get")

    async def find() -> None:
        found.append(await late.find(new.key_id))

    async with trio.open_nursery() as nursery, trio.open_nursery() as leaving:
        leaving.start_soon(find)
        await parked.reached.wait()
        for _ in range(3):
            nursery.start_soon(find)
        await wait_all_tasks_blocked()
        leaving.cancel_scope.cancel()
        parked.go_on.set()
    assert found[-3:] == [new, new, new]
    assert gets(script) - before == 1


async def test_a_rotation_logs_nobody_out(clock: Clock) -> None:
    """The old key stays while a token that it has signed may count, and is deleted after that."""
    store = MemoryStore(clock.time)
    ring = await ring_on(store)
    old = ring.current
    clock.now += NUMBER_S
    await ring.look()
    assert ring.current != old
    assert await ring.find(old.key_id) == old
    assert await (await ring_on(store)).find(old.key_id) == old
    clock.now += NUMBER_S
    await ring.look()
    assert names(store) == [keys.token_key(FIRST + number) for number in (0, 1, 2)]
    clock.now += NUMBER_S
    await ring.look()
    assert names(store) == [keys.token_key(FIRST + number) for number in (1, 2, 3)]
    assert await ring.find(old.key_id) is None


async def test_keys_stay_as_long_as_sessions(clock: Clock) -> None:
    """A session of a year keeps the keys of a year."""
    store = MemoryStore(clock.time)
    for _ in range(20):
        await ring_on(store, 365 * 86400)
        clock.now += NUMBER_S
    assert len(names(store)) == 15  # the last 13 and today's, and one to spare for clocks that differ


async def test_unknown_keys_are_read_rarely(clock: Clock, mock_clock: MockClock) -> None:
    """A stranger who invents names of keys cannot make a replica ask the store more than once in a while for each."""
    script = Script()
    ring = await ring_on(FaultyStore(MemoryStore(clock.time), script))
    before = gets(script)
    for number in (FIRST - 2, FIRST - 1, FIRST, FIRST + 1):
        for made_up in range(20):
            assert await ring.find(f"zotpy.{number}.{made_up:016x}") is None
    assert gets(script) - before == 4
    for key_id in (f"zotpy.{FIRST + 2}.{0:016x}", f"zotpy.{FIRST - 3}.{0:016x}", "zotpy.1.0", "", "zotpy.x.0"):
        assert await ring.find(key_id) is None
    assert gets(script) - before == 4
    for _ in range(20):
        assert await ring.find(ring.current.key_id) == ring.current
    assert gets(script) - before == 4
    mock_clock.jump(ASK_AGAIN_S)
    assert await ring.find(f"zotpy.{FIRST}.{0:016x}") is None
    assert gets(script) - before == 5


async def test_a_strangers_token_makes_nobody_forget_good_ones(clock: Clock) -> None:
    """It names an unknown key, so the object of that number is read: if that has not changed, no key was lost."""
    ring = await ring_on(MemoryStore(clock.time))
    assert await ring.find(f"zotpy.{FIRST}.{0:016x}") is None
    assert ring.losses == 0


async def test_keys_that_an_operator_deletes_count_no_more(clock: Clock) -> None:
    """The next look makes another one, and tokens of the old one are refused."""
    store = MemoryStore(clock.time)
    ring = await ring_on(store)
    old = ring.current
    del store.objects[keys.token_key(FIRST)]
    await ring.look()
    assert ring.current != old
    assert await ring.find(old.key_id) is None


async def test_the_keys_are_looked_at_again_and_a_failure_changes_nothing(
    clock: Clock, mock_clock: MockClock, nursery: trio.Nursery
) -> None:
    """Every few minutes, and at the bell. If the store does not answer, the keys stay, and it is asked again."""
    script, rung = Script(), trio.Event()
    ring = await ring_on(FaultyStore(MemoryStore(clock.time), script))
    nursery.start_soon(partial(ring.keep_current, rung.wait))
    await wait_all_tasks_blocked()
    old, clock.now = ring.current, clock.now + NUMBER_S
    script.fail("before", "list", keys.TOKEN_KEYS, StoreUnavailable("down"))
    mock_clock.jump(LOOK_S)
    await wait_all_tasks_blocked()
    assert ring.current == old
    mock_clock.jump(ASK_AGAIN_S)
    await wait_all_tasks_blocked()
    mock_clock.jump(LOOK_S)
    await wait_all_tasks_blocked()
    assert ring.current != old


async def test_a_damaged_key_changes_nothing(clock: Clock, mock_clock: MockClock, nursery: trio.Nursery) -> None:
    """The keys that are known stay, the replica goes on, and it looks again."""
    store, rung = MemoryStore(clock.time), trio.Event()
    ring = await ring_on(store)
    old = ring.current
    nursery.start_soon(partial(ring.keep_current, rung.wait))
    await wait_all_tasks_blocked()
    await store.put(keys.token_key(FIRST - 1), b"no key")
    mock_clock.jump(LOOK_S)
    await wait_all_tasks_blocked()
    assert ring.current == old
    del store.objects[keys.token_key(FIRST - 1)]
    clock.now += NUMBER_S
    mock_clock.jump(ASK_AGAIN_S)
    await wait_all_tasks_blocked()
    mock_clock.jump(LOOK_S)
    await wait_all_tasks_blocked()
    assert ring.current != old


async def test_other_objects_beside_the_keys_are_left_alone(clock: Clock) -> None:
    """A replica leaves alone what a newer release may put there."""
    store = MemoryStore(clock.time)
    for name in ("meta/token-keys/next", "meta/token-keys/601/x", "meta/token-keys/700"):
        await store.put(name, frame({"v": 2}, b"secret"))
    ring = await ring_on(store)
    assert ring.current.key_id.startswith(f"zotpy.{FIRST}.")
    assert len(names(store)) == 4
