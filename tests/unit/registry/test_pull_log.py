"""What was pulled: noted without a store call, written many at a time, and lost only with the process."""

from __future__ import annotations

import pytest
import trio
import trio.testing

from tests.unit.registry.support import OTHER, REPO, Clock, Script, keys_below
from zotpy.core import keys
from zotpy.core.digests import Digest
from zotpy.core.framing import FramingError, frame
from zotpy.core.names import RepositoryName
from zotpy.core.pulls import MOST, Pull, decode_pulls, decode_since, encode_pulls, encode_since
from zotpy.registry.pull_log import PullLog
from zotpy.store.faulty import FaultyStore
from zotpy.store.interface import StoreUnavailable
from zotpy.store.memory_store import MemoryStore

A, B = Digest.of(b"a"), Digest.of(b"b")
INTERVAL_S = 600.0


@pytest.fixture
def store() -> MemoryStore:
    """Return an empty store on a clock of its own."""
    return MemoryStore(Clock())


def batches(store: MemoryStore) -> list[list[Pull]]:
    """Return what was written so far."""
    found = [key for key in keys_below(store, keys.PULLS) if key != keys.PULLS_SINCE]
    return [list(decode_pulls(store.objects[key].body, store.objects[key].last_modified)) for key in found]


async def test_pulls_are_written_together_with_the_time_of_the_writing(store: MemoryStore) -> None:
    """However often each manifest was pulled; nothing is written where nothing was pulled since."""
    log = PullLog(store, INTERVAL_S)
    for repo, digest in [(REPO, A), (REPO, A), (REPO, B), (OTHER, A)]:
        log.note(repo, digest)
    assert store.objects == {}
    await log.write()
    await log.write()
    now = store.now()
    assert batches(store) == [[Pull(REPO, *each, now) for each in sorted([(A,), (B,)])] + [Pull(OTHER, A, now)]]


async def test_where_no_rule_asks_nothing_is_noted_or_written(store: MemoryStore) -> None:
    """Not even since when."""
    log = PullLog(store, None)
    log.note(REPO, A)
    await log.keep_written()
    await log.write_last()
    assert store.objects == {}


async def test_the_first_replica_says_since_when_pulls_are_noted(store: MemoryStore) -> None:
    """Those after it leave that alone."""
    began = store.now()
    await PullLog(store, INTERVAL_S).write()
    store.now.advance(100)  # type: ignore[attr-defined] # it is a clock of the test's
    await PullLog(store, INTERVAL_S).write()
    assert decode_since(store.objects[keys.PULLS_SINCE].body) == began


async def test_a_store_that_fails_loses_nothing(store: MemoryStore) -> None:
    """What could not be written is written the next time; the end of the process does not fail for it."""
    script = Script()
    log = PullLog(FaultyStore(store, script), INTERVAL_S)
    log.note(REPO, A)
    script.fail("before", "put", keys.PULLS_SINCE, StoreUnavailable("down"))
    await log.write_last()
    script.fail("before", "put", keys.PULLS, StoreUnavailable("down"))
    with pytest.raises(StoreUnavailable):
        await log.write()
    log.note(REPO, B)
    await log.write_last()
    assert [{pull.digest for pull in batch} for batch in batches(store)] == [{A, B}]


async def test_pulls_are_written_at_each_interval_and_at_once_where_memory_is_full(
    store: MemoryStore, autojump_clock: trio.testing.MockClock
) -> None:
    """If the store does not answer, it is asked again at the next interval, and memory does not grow meanwhile."""
    del autojump_clock
    script = Script()
    log = PullLog(FaultyStore(store, script), INTERVAL_S)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(log.keep_written)
        await trio.sleep(INTERVAL_S / 2)
        log.note(REPO, A)
        await trio.sleep(INTERVAL_S / 4)
        assert batches(store) == []
        await trio.sleep(INTERVAL_S / 2)
        assert len(batches(store)) == 1
        script.fail("before", "put", keys.PULLS, StoreUnavailable("down"))
        for number in range(MOST + 5):
            log.note(REPO, Digest.of(b"%d" % number))
        await trio.sleep(1)
        assert len(batches(store)) == 1
        await trio.sleep(INTERVAL_S)
        assert sorted(len(batch) for batch in batches(store)) == [1, MOST]
        for number in range(MOST):
            log.note(REPO, Digest.of(b"%d" % number))
        await trio.sleep(1)
        assert sorted(len(batch) for batch in batches(store)) == [1, MOST, MOST]
        nursery.cancel_scope.cancel()


def test_what_is_written_is_read_again() -> None:
    """With its times to the second, or with that of the writing."""
    now = Clock().time
    pulls = [Pull(REPO, A, now.replace(year=2020)), Pull(RepositoryName.parse("a"), B)]
    assert list(decode_pulls(encode_pulls(pulls), now)) == [pulls[0], Pull(pulls[1].repo, B, now)]
    assert list(decode_pulls(encode_pulls([]), now)) == []
    assert decode_since(encode_since(now)) == now


@pytest.mark.parametrize(
    "body",
    [b"", b"{}", b"{}\nteam/app", b"{}\nTEAM " + str(A).encode(), b"{}\na b", b"{}\na " + str(A).encode() + b" soon"],
)
def test_damage_is_told_apart(body: bytes) -> None:
    """Neither half a line nor a wrong one is taken for a pull."""
    if body == b"{}":
        body = b"no frame"
    with pytest.raises(FramingError):
        list(decode_pulls(body, Clock().time))


@pytest.mark.parametrize("header", [{}, {"since": "x"}, {"since": 10**30}])
def test_damage_of_the_beginning_is_told(header: dict[str, object]) -> None:
    """It must not look like a time."""
    with pytest.raises(FramingError):
        decode_since(frame(header))
