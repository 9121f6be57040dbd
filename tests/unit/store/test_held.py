"""A store that is asked again while a client waits: what passes is never seen, and no write is made or told twice."""

from __future__ import annotations

from collections import Counter
from functools import partial
from typing import TYPE_CHECKING

import pytest
import trio

from zotpy.store.faulty import FaultyStore
from zotpy.store.held import HeldStore
from zotpy.store.holds import Holds, impatient, insist
from zotpy.store.interface import ConditionFailed, KeyMissing, StoreRefused, StoreUnavailable
from zotpy.store.memory_store import MemoryStore

if TYPE_CHECKING:
    from collections.abc import Callable

    from zotpy.store.faulty import Moment
    from zotpy.store.interface import Running

LIMIT_S = 540.0
SECONDS = [0.0, 30.0, 500.0]
"""How long the store fails; not above the limit."""


class Outage:
    """Lets every operation of some name fail at one moment until its end."""

    def __init__(self, moment: Moment, operation: str, seconds: float = 0.0) -> None:
        """Begin now; the first operation fails in every case."""
        self.moment, self.operation = moment, operation
        self.ends_at = trio.current_time() + seconds
        self.asked: Counter[tuple[str, str]] = Counter()

    async def __call__(self, moment: Moment, operation: str, key: str) -> None:
        """Raise `StoreUnavailable`, or let it pass."""
        del key
        self.asked[moment, operation] += 1
        if (moment, operation) != (self.moment, self.operation):
            return
        if self.asked[moment, operation] == 1 or trio.current_time() < self.ends_at:
            msg = "the store stumbles"
            raise StoreUnavailable(msg)


def held_store(outage: Outage) -> tuple[HeldStore, MemoryStore]:
    """Return a held store with this outage, and the one that never fails behind it."""
    behind = MemoryStore()
    return HeldStore(FaultyStore(behind, outage)), behind


@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize("seconds", SECONDS)
@pytest.mark.parametrize("condition", ["none", "absent", "replaced"])
async def test_a_write_happens_once_for_its_caller(
    moment: Moment, seconds: float, condition: str, autojump_clock: trio.abc.Clock
) -> None:
    """It succeeds when the store does, its own earlier attempt breaks no condition, and the ETag is the object's."""
    del autojump_clock
    outage = Outage(moment, "put", seconds)
    store, behind = held_store(outage)
    if_match = (await behind.put("k", b"older")).etag if condition == "replaced" else None
    holds = Holds()
    with holds.held(holds.patience(LIMIT_S)):
        stored = await store.put("k", b"mine", if_none_match=condition == "absent", if_match=if_match)
    found = await behind.get("k")
    assert (found.body, found.etag) == (b"mine", stored.etag)
    assert outage.asked["before", "put"] > 1
    assert holds.calls == 0


@pytest.mark.parametrize("moment", ["before", "after"])
async def test_a_condition_lost_to_another_writer_is_lost(moment: Moment, autojump_clock: trio.abc.Clock) -> None:
    """What another request wrote is never taken for our own."""
    del autojump_clock
    store, behind = held_store(Outage(moment, "put"))
    await behind.put("k", b"another's")
    holds = Holds()
    with holds.held(holds.patience(LIMIT_S)), pytest.raises(ConditionFailed):
        await store.put("k", b"mine", if_none_match=True)
    assert (await behind.get("k")).body == b"another's"


@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize("seconds", SECONDS)
async def test_a_multipart_is_completed_once_for_its_caller(
    moment: Moment, seconds: float, autojump_clock: trio.abc.Clock
) -> None:
    """Where an earlier attempt may have completed it, nothing proves of which parts: the caller must read it back."""
    del autojump_clock
    store, behind = held_store(Outage(moment, "complete_multipart", seconds))
    multipart = await store.create_multipart("data/k")
    part = await store.put_part("data/k", multipart, 1, b"part")
    holds = Holds()
    with holds.held(holds.patience(LIMIT_S)):
        stored = await store.complete_multipart("data/k", multipart, [part])
    found = await behind.get("data/k")
    assert (found.body, found.etag) == (b"part", stored.etag)
    assert stored.verified == (moment == "before")


async def test_a_multipart_that_is_gone_is_gone(autojump_clock: trio.abc.Clock) -> None:
    """Without an object in its place nothing was completed."""
    del autojump_clock
    store, behind = held_store(Outage("before", "complete_multipart"))
    multipart = await store.create_multipart("data/k")
    part = await store.put_part("data/k", multipart, 1, b"part")
    await behind.abort_multipart("data/k", multipart)
    await behind.put("data/k2", b"another")
    holds = Holds()
    with holds.held(holds.patience(LIMIT_S)), pytest.raises(KeyMissing):
        await store.complete_multipart("data/k", multipart, [part])


async def test_a_stream_goes_on_from_the_byte_reached(autojump_clock: trio.abc.Clock) -> None:
    """No byte comes twice, none is missing."""
    del autojump_clock
    outage = Outage("before", "read", 30.0)
    store, behind = held_store(outage)
    content = bytes(range(256)) * 1024
    await behind.put("k", content)
    holds = Holds()
    with holds.held(holds.patience(LIMIT_S)):
        async with store.open("k", 10, len(content)) as chunks:
            assert b"".join([chunk async for chunk in chunks]) == content[10:]
    assert outage.asked["before", "open"] > 1


@pytest.mark.parametrize("error", [StoreRefused("no"), KeyMissing("no"), ValueError("no")])
async def test_what_does_not_pass_is_not_repeated(error: Exception, autojump_clock: trio.abc.Clock) -> None:
    """Only a store that may recover is asked again."""
    del autojump_clock
    calls = 0

    async def run() -> None:
        nonlocal calls
        calls += 1
        await trio.lowlevel.checkpoint()
        raise error

    holds = Holds()
    with holds.held(holds.patience(LIMIT_S)), pytest.raises(type(error)):
        await insist("get", run)
    assert calls == 1


def failing() -> Callable[[], Running[None]]:
    """Return an operation that always fails, after a second."""

    async def run() -> None:
        await trio.sleep(1.0)
        msg = "down"
        raise StoreUnavailable(msg)

    return run


async def test_patience_ends_before_the_limit_and_counts_from_the_last_byte(autojump_clock: trio.abc.Clock) -> None:
    """A client that has just sent something is held for the limit; one that was silent for a while, for less."""
    del autojump_clock
    holds = Holds()
    patience = holds.patience(LIMIT_S)
    with holds.held(patience):
        await trio.sleep(500.0)
        began = trio.current_time()
        with pytest.raises(StoreUnavailable):
            await insist("get", failing())
        assert trio.current_time() - began <= 40.0 + 1.0
        patience.renew()
        began = trio.current_time()
        with pytest.raises(StoreUnavailable):
            await insist("get", failing())
        assert 500.0 < trio.current_time() - began <= LIMIT_S + 1.0
    assert holds.calls == 0


async def test_nobody_is_held_who_has_left_or_never_asked(autojump_clock: trio.abc.Clock) -> None:
    """A client that closed its connection, cleaning up, and reads fail at once."""
    del autojump_clock
    holds = Holds()
    with holds.held(holds.patience(LIMIT_S, is_gone=lambda: True)), pytest.raises(StoreUnavailable):
        await insist("get", failing())
    with holds.held(holds.patience(LIMIT_S)), impatient(), pytest.raises(StoreUnavailable):
        await insist("get", failing())
    with pytest.raises(StoreUnavailable):
        await insist("get", failing())
    assert trio.current_time() < 10.0


async def test_calls_that_are_held_are_counted(autojump_clock: trio.abc.Clock) -> None:
    """While any is, new uploads may be turned away; one that is given up counts no more."""
    del autojump_clock
    holds = Holds()
    with holds.held(holds.patience(LIMIT_S)), trio.move_on_after(100.0):
        async with trio.open_nursery() as nursery:
            for _ in range(3):
                nursery.start_soon(partial(insist, "get", failing()))
            await trio.sleep(50.0)
            assert holds.calls == 3
    assert holds.calls == 0
