"""How a bucket begins to promise, and how that changes: no DELETE ever waits for less than some replica promises."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest
from structlog.testing import capture_logs

from tests.unit.registry.support import NO_CONDITIONS, REPO, Clock, older_bucket, open_replica, push
from zotpy.bucket import health as health_module
from zotpy.bucket import promise as promises
from zotpy.bucket import promise_changes
from zotpy.bucket.health import STALE_S, Health
from zotpy.bucket.layout import OLDEST, WRITTEN, LayoutError, check_layout, read_layout
from zotpy.bucket.promise import Promise
from zotpy.bucket.promise_changes import KNOWN_S, SETTLED_S, agree, note
from zotpy.core import keys
from zotpy.core.framing import frame, unframe
from zotpy.store.interface import Fetched, KeyMissing
from zotpy.store.memory_store import MemoryStore
from zotpy.store.wrapper import StoreWrapper

if TYPE_CHECKING:
    from zotpy.store.interface import Store

DEADLINE_S = 600.0


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """Return the clock of the store, and of all replicas."""
    clock = Clock()

    def now_s() -> float:
        return clock.time.timestamp()

    for module in (promises, promise_changes, health_module):
        monkeypatch.setattr(module, "boot_s", now_s)
    return clock


def header_of(store: MemoryStore) -> dict[str, object]:
    """Read what the layout says."""
    return dict(unframe(store.objects[keys.LAYOUT].body)[0])


async def started(store: Store, life_s: float, deadline_s: float = DEADLINE_S) -> Promise:
    """Start a replica."""
    promise = Promise()
    await agree(store, promise, life_s, deadline_s)
    await check_layout(store)
    return promise


async def looked(store: Store, deadline_s: float = DEADLINE_S) -> tuple[float, float]:
    """Return what a replica that looks now may promise, and for how long its DELETE waits."""
    promise = Promise()
    health = Health(store, promise, deadline_s)
    await health.is_ready()
    return promise.life_s if promise.holds() else 0.0, promise.wait_s


async def test_without_a_promise_nothing_is_written_and_nothing_waits(clock: Clock) -> None:
    """Neither on an empty bucket nor on one in use."""
    store = MemoryStore(clock)
    assert (await started(store, 0.0)).wait_s == 0
    assert header_of(store) == WRITTEN
    clock.advance(DEADLINE_S * 2)
    assert not (await started(store, 0.0)).holds()
    assert header_of(store) == WRITTEN


async def test_a_bucket_without_records_promises_at_once(clock: Clock) -> None:
    """Nothing can be deleted there, and releases that do not wait are refused from the beginning."""
    store = MemoryStore(clock)
    first, second = await started(store, 2.0), await started(store, 2.0)
    for promise in (first, second):
        assert (promise.life_s, promise.wait_s, promise.holds()) == (2.0, 2.0, True)
    assert header_of(store)["least"] == WRITTEN["least"]


async def test_two_first_replicas_of_a_bucket_agree(clock: Clock) -> None:
    """One that promises nothing waits with its DELETEs for the other one from its start, and not from its next look."""
    memory = MemoryStore(clock)

    class Overtaken(StoreWrapper):
        """The store of a replica that finds no layout, just before another replica writes it."""

        async def get(self, key: str, *, most_bytes: int | None = None) -> Fetched:
            try:
                return await super().get(key, most_bytes=most_bytes)
            except KeyMissing:
                await agree(memory, Promise(), 2.0, DEADLINE_S)
                raise

    assert (await started(Overtaken(memory), 0.0)).wait_s == 2


async def test_a_bucket_in_use_promises_when_all_replicas_know(clock: Clock) -> None:
    """All DELETEs wait from the first look on, and the promise begins a deadline later."""
    store = MemoryStore(clock)
    await push(await open_replica(store), b"something")
    clock.advance(10 * DEADLINE_S)
    promise = await started(store, 2.0)
    assert (promise.life_s, promise.wait_s) == (0.0, 2.0)
    clock.advance(DEADLINE_S)
    assert await looked(store) == (0.0, 2.0)
    clock.advance(2)
    assert await looked(store) == (2.0, 2.0)


@pytest.mark.parametrize(("before", "after"), [(2.0, 5.0), (5.0, 2.0), (2.0, 0.0)])
async def test_while_a_promise_changes_a_delete_waits_for_the_longer_one(
    clock: Clock, before: float, after: float
) -> None:
    """And nothing is promised by those who know. A deadline later the new value holds alone."""
    store = MemoryStore(clock)
    await started(store, before)
    await push(await open_replica(store), b"something")
    promise = await started(store, after)
    longer = max(before, after)
    assert (promise.life_s, promise.wait_s) == (0.0, longer)
    clock.advance(DEADLINE_S)
    assert await looked(store) == (0.0, longer)
    clock.advance(2)
    assert await looked(store) == (after, after)


async def test_a_short_deadline_counts_as_two_minutes(clock: Clock) -> None:
    """Replicas need that long to notice, whatever the deadline is."""
    store = MemoryStore(clock)
    await push(await open_replica(store), b"something")
    await started(store, 2.0, deadline_s=1.0)
    clock.advance(SETTLED_S)
    assert await looked(store, 1.0) == (0.0, 2.0)
    clock.advance(2)
    assert await looked(store, 1.0) == (2.0, 2.0)
    assert SETTLED_S > STALE_S + KNOWN_S


async def test_older_releases_may_return_when_nothing_has_been_promised_for_long(clock: Clock) -> None:
    """Not before, and not as long as something is promised."""
    store = MemoryStore(clock)
    await older_bucket(store)
    await started(store, 2.0)
    clock.advance(DEADLINE_S + 2)
    await started(store, 2.0)
    for _ in range(2):
        await started(store, 0.0)
        assert header_of(store)["least"] == 2
    clock.advance(DEADLINE_S + 2)
    await started(store, 0.0)
    assert header_of(store) == OLDEST


async def test_a_reading_of_the_layout_holds_for_a_while_only(clock: Clock) -> None:
    """A replica that cannot read the layout any more stops promising. If the layout is gone, it stops at once."""
    store = MemoryStore(clock)
    promise = await started(store, 2.0)
    clock.advance(KNOWN_S - 1)
    assert promise.holds()
    clock.advance(1)
    assert not promise.holds()
    health = Health(store, promise, DEADLINE_S)
    await health.is_ready()
    assert promise.holds()
    del store.objects[keys.LAYOUT]
    health = Health(store, promise, DEADLINE_S)
    await health.is_ready()
    assert not promise.holds()
    assert promise.wait_s == 2.0


async def test_where_the_layout_was_deleted_a_promise_begins_anew(clock: Clock) -> None:
    """Other replicas may still know another one: records exist, so this is no new bucket."""
    store = MemoryStore(clock)
    await push(await open_replica(store), b"something")
    del store.objects[keys.LAYOUT]
    promise = await started(store, 2.0)
    assert (promise.life_s, promise.wait_s) == (0.0, 2.0)


async def test_a_release_that_is_left_behind_promises_nothing(clock: Clock) -> None:
    """What a newer release means by a promise it does not know."""
    store = MemoryStore(clock)
    await started(store, 2.0)
    newer = {"layout": 9, "least": 9, "release": "9.0.0", "promised": 2.0, "first": True}
    await store.put(keys.LAYOUT, frame(newer))
    with capture_logs():
        assert (await looked(store))[0] == 0.0
    with pytest.raises(LayoutError):
        await started(store, 2.0)
    assert header_of(store) == newer


async def test_without_conditional_writes_nothing_is_promised(clock: Clock) -> None:
    """Two replicas could then overwrite each other's change."""
    store = MemoryStore(clock, features=NO_CONDITIONS)
    with capture_logs() as logs:
        promise = await started(store, 2.0)
    assert [line["event"] for line in logs] == ["nothing_promised"]
    assert not promise.holds()


@dataclass(eq=False)
class Replica:
    """One of a fleet: what it knows, and since when."""

    promise: Promise = field(default_factory=Promise)
    looked_s: float = float("-inf")


@pytest.mark.parametrize("seed", range(20))
async def test_no_delete_waits_for_less_than_some_replica_promises(clock: Clock, seed: int) -> None:
    """Whatever values replicas start with, however late each looks: compared at every moment."""
    rng, store = random.Random(seed), MemoryStore(clock)
    fleet = [Replica() for _ in range(4)]
    promised = 0
    for _ in range(600):
        clock.advance(rng.choice((0.5, 5.0, 20.0, 200.0)))
        now_s = clock.time.timestamp()
        for replica in fleet:
            if now_s - replica.looked_s > STALE_S - 25 or rng.random() < 0.3:
                if rng.random() < 0.05 or replica.looked_s == float("-inf"):
                    await agree(store, replica.promise, rng.choice((0.0, 0.0, 2.0, 5.0, 9.0)), SETTLED_S)
                    await check_layout(store)
                    await push(await open_replica(store), b"something", REPO)
                else:
                    note(replica.promise, await read_layout(store), now_s, SETTLED_S)
                replica.looked_s = now_s
        lives = [one.promise.life_s for one in fleet if one.promise.holds()]
        promised += any(lives)
        waits = [one.promise.wait_s for one in fleet if now_s - one.looked_s <= STALE_S]
        assert max(lives, default=0.0) <= min(waits)
    assert promised
