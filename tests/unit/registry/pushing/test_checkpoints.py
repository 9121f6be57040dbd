"""A chunk is made safe while it goes on: after a kill at any moment, in races, beside a cancellation."""

from __future__ import annotations

import copy
from functools import partial
from itertools import count
from typing import TYPE_CHECKING

import pytest
import trio
import trio.testing

from tests.unit.registry.support import (
    NO_CONDITIONS,
    PART_BYTES,
    REPO,
    Fed,
    Script,
    content,
    cut,
    keys_below,
    open_replica,
    pull,
    sent,
)
from zotpy.core.digests import Digest
from zotpy.core.errors import ChunkOutOfOrder, ClientStalled, RegistryError, UploadInvalid, UploadUnknown
from zotpy.core.ranges import Span
from zotpy.store.faulty import FaultyStore
from zotpy.store.interface import StoreError, StoreUnavailable
from zotpy.store.memory_store import MemoryStore

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from zotpy.registry.pushing.sessions import Session
    from zotpy.registry.registry import Registry
    from zotpy.store.faulty import Moment

EVERY = 2
"""Parts from one checkpoint to the next."""
FIRST = EVERY * PART_BYTES
BODY = content(7 * PART_BYTES + 99)
DIGEST = Digest.of(BODY)
DOWN = StoreUnavailable("the store is down")


class Scene:
    """A replica that takes a chunk while the test looks on, and another one."""

    def __init__(self, store: MemoryStore) -> None:
        """Prepare the scene; `open` makes the replicas."""
        self.store = store
        self.script = Script()
        self.first: Registry
        self.other: Registry
        self.session: Session
        self.body = Fed()
        self.error: BaseException | None = None

    async def open(self) -> Scene:
        """Open both replicas, and begin an upload."""
        self.other = await open_replica(self.store, checkpoint_bytes=FIRST)
        self.first = await open_replica(FaultyStore(self.store, self.script), checkpoint_bytes=FIRST)
        self.session = self.other.uploads.begin(REPO, "sha256")
        return self

    async def chunk(self) -> None:
        """Take the body as one chunk at the first replica, and keep its error."""
        try:
            await self.first.uploads.chunk(self.session, self.body, None, None)
        except (RegistryError, StoreError) as error:
            self.error = error

    async def reach_checkpoint(self, nursery: trio.Nursery) -> None:
        """Send enough of the body for a checkpoint, and wait until it is saved."""
        saved = self.script.park("after", "put", "uploads/")
        nursery.start_soon(self.chunk)
        self.body.feed(BODY[: FIRST + 1])
        await saved.reached.wait()
        saved.go_on.set()

    async def go_on(self, body: bytes = BODY) -> Session:
        """Send the rest of a body to the other replica."""
        session = await self.other.uploads.status(self.session)
        return await self.other.uploads.chunk(session, sent(body[session.token.offset :]), None, None)

    async def assert_finished(self, session: Session) -> None:
        """Finish the upload at the other replica: the blob is right, and nothing is left."""
        await self.other.uploads.finish(session, DIGEST, sent(), None, 0)
        assert await pull(self.other, DIGEST) == BODY
        assert self.store.multiparts == {}
        assert keys_below(self.store, "uploads/") == []
        assert self.first.budget.used_bytes == self.other.budget.used_bytes == 0


@pytest.fixture(params=[True, False], ids=["conditions", "no-conditions"])
async def scene(request: pytest.FixtureRequest) -> Scene:
    """Return a scene on a store with and without conditional requests."""
    return await Scene(MemoryStore(features=None if request.param else NO_CONDITIONS)).open()


@pytest.fixture
async def conditional() -> Scene:
    """Return a scene on a store with conditional requests."""
    return await Scene(MemoryStore()).open()


def copied(store: MemoryStore) -> MemoryStore:
    """Return a store with what is in this one now: what is left if the replica is killed at this moment."""
    copy_of = MemoryStore(features=store.features)
    copy_of.objects = dict(store.objects)
    copy_of.multiparts = copy.deepcopy(store.multiparts)
    copy_of._ids = count(1000)
    return copy_of


@pytest.mark.parametrize("travels", [True, False], ids=["state", "read-back"])
@pytest.mark.parametrize("conditions", [True, False], ids=["conditions", "no-conditions"])
async def test_after_a_kill_at_any_moment_the_chunk_goes_on_from_a_checkpoint(
    monkeypatch: pytest.MonkeyPatch, *, conditions: bool, travels: bool
) -> None:
    """Before and after each store call the store holds a state from which another replica makes the right blob."""
    if not travels:
        monkeypatch.setattr("zotpy.core.hashing._libcrypto", lambda: None)
    store = MemoryStore(features=None if conditions else NO_CONDITIONS)
    left: list[MemoryStore] = []

    async def watch(_moment: Moment, _operation: str, _key: str) -> None:
        left.append(copied(store))

    killed = await open_replica(FaultyStore(store, watch), checkpoint_bytes=FIRST)
    session = killed.uploads.begin(REPO, "sha256")
    pieces = [BODY[start : start + 50_000] for start in range(0, len(BODY), 50_000)]
    await killed.uploads.chunk(session, sent(*pieces), None, None)
    offsets = []
    for moment in left:
        replica = await open_replica(moment, checkpoint_bytes=FIRST)
        resumed = await replica.uploads.status(session)
        offsets.append(resumed.token.offset)
        rest = BODY[resumed.token.offset :]
        resumed = await replica.uploads.chunk(resumed, sent(rest), Span(len(BODY) - len(rest), len(BODY)), len(rest))
        await replica.uploads.finish(resumed, DIGEST, sent(), None, 0)
        assert await pull(replica, DIGEST) == BODY
    assert offsets == sorted(offsets)
    assert {0, FIRST} < set(offsets) <= {0, FIRST, 2 * FIRST, 3 * FIRST, len(BODY)}


async def test_a_checkpoint_holds_the_hash_of_its_own_bytes_though_more_were_hashed(
    conditional: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While an early part is slow to be sent later ones are hashed; what is saved is the hash at the checkpoint."""
    monkeypatch.setattr("zotpy.bucket.digesting.THREAD_LIMIT_BYTES", 2**40)  # no threads: one sees when all wait
    scene = conditional
    slow = scene.script.park("before", "put_part")
    saved = scene.script.park("after", "put", "uploads/")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(scene.chunk)
        scene.body.feed(BODY[: FIRST + PART_BYTES + 1])
        await trio.testing.wait_all_tasks_blocked()
        slow.go_on.set()
        await saved.reached.wait()
        killed = Scene(copied(scene.store))
        saved.go_on.set()
        nursery.cancel_scope.cancel()
    session = scene.session
    await killed.open()
    killed.session = session
    assert (await killed.other.uploads.status(session)).token.offset == FIRST
    await killed.assert_finished(await killed.go_on())


async def test_of_two_checkpoints_reached_at_once_the_later_one_is_saved(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A slow early part holds up several checkpoints: when it is there, only what says most is saved."""
    monkeypatch.setattr("zotpy.bucket.digesting.THREAD_LIMIT_BYTES", 2**40)  # no threads: one sees when all wait
    slow = scene.script.park("before", "put_part")
    before = scene.script.begun["put"]
    async with trio.open_nursery() as nursery:
        nursery.start_soon(scene.chunk)
        scene.body.feed(BODY[: 2 * FIRST + 1])
        await trio.testing.wait_all_tasks_blocked()
        slow.go_on.set()
        await trio.testing.wait_all_tasks_blocked()
        assert (await scene.other.uploads.status(scene.session)).token.offset == 2 * FIRST
        assert scene.script.begun["put"] == before + 1
        scene.body.feed(BODY[2 * FIRST + 1 :])
        scene.body.end()
    await scene.assert_finished(await scene.other.uploads.status(scene.session))


async def test_a_chunk_below_the_interval_is_saved_once(scene: Scene) -> None:
    """Small pushes cost not one store call more."""
    before = scene.script.begun["put"]
    await scene.first.uploads.chunk(scene.session, sent(BODY[:FIRST]), None, None)
    assert scene.script.begun["put"] == before + 1


async def test_a_blob_in_one_request_is_not_saved_on_the_way(scene: Scene) -> None:
    """A client that pushes a blob whole cannot go on in its middle, so nothing is saved for it."""
    session = scene.first.uploads.begin(REPO, "sha256")
    await scene.first.uploads.finish(session, DIGEST, sent(BODY), None, len(BODY))
    assert scene.script.begun["put"] - scene.script.begun["put_part"] <= 3  # lease, entry, hint
    assert keys_below(scene.store, "uploads/") == []


async def test_what_is_saved_on_the_way_is_what_status_tells(scene: Scene) -> None:
    """While a chunk goes on another replica tells how much of it is safe: whole parts, and no tail."""
    async with trio.open_nursery() as nursery:
        await scene.reach_checkpoint(nursery)
        assert (await scene.other.uploads.status(scene.session)).token.offset == FIRST
        scene.body.feed(BODY[FIRST + 1 :])
        scene.body.end()
    assert scene.error is None
    session = await scene.other.uploads.status(scene.session)
    assert session.token.offset == len(BODY)
    await scene.assert_finished(session)


async def test_a_chunk_that_is_cut_after_a_checkpoint_keeps_all_that_came(scene: Scene) -> None:
    """The end of what came is saved in the checkpoint's place."""
    with pytest.raises(ClientStalled):
        await scene.first.uploads.chunk(scene.session, cut(BODY[: 3 * FIRST], b"more"), None, None)
    assert (await scene.other.uploads.status(scene.session)).token.offset == 3 * FIRST + 4


async def test_a_store_that_fails_after_a_checkpoint_leaves_the_checkpoint(scene: Scene) -> None:
    """The multipart that the checkpoint names stays, and the upload goes on in it."""
    async with trio.open_nursery() as nursery:
        await scene.reach_checkpoint(nursery)
        scene.script.fail("before", "put_part", "", DOWN)
        scene.body.feed(BODY[FIRST + 1 :])
        scene.body.end()
    assert scene.error is DOWN
    assert len(scene.store.multiparts) == 1
    assert (await scene.other.uploads.status(scene.session)).token.offset == FIRST
    await scene.assert_finished(await scene.go_on())


async def test_a_checkpoint_whose_answer_was_lost_is_a_checkpoint(scene: Scene) -> None:
    """Where a write fails that may have happened, the parts that it names are kept."""
    scene.script.fail("after", "put", "uploads/", DOWN)
    scene.body.feed(BODY)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(scene.chunk)
    assert scene.error is DOWN
    assert (await scene.other.uploads.status(scene.session)).token.offset == FIRST
    await scene.assert_finished(await scene.go_on())


@pytest.mark.parametrize("same", [True, False])
async def test_a_chunk_that_was_overtaken_stops_at_its_next_checkpoint(conditional: Scene, *, same: bool) -> None:
    """A client goes on elsewhere: the old request is told where the upload stands, and no wrong blob is made."""
    scene = conditional
    async with trio.open_nursery() as nursery:
        await scene.reach_checkpoint(nursery)
        session = await scene.go_on()
        scene.body.feed((BODY if same else content(len(BODY), 9))[FIRST + 1 : 2 * FIRST + 1])
    assert isinstance(scene.error, ChunkOutOfOrder)
    assert scene.error.offset == len(BODY)
    assert len(scene.store.multiparts) == 1
    if same:
        await scene.assert_finished(session)
    else:
        with pytest.raises(UploadInvalid):
            await scene.other.uploads.finish(session, DIGEST, sent(), None, 0)
        assert keys_below(scene.store, "entries/") == []


async def test_of_two_first_chunks_the_one_saved_first_wins(conditional: Scene) -> None:
    """A chunk whose first checkpoint comes too late stops there, and its own parts are dropped."""
    scene = conditional
    parked = scene.script.park("before", "put", "uploads/")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(scene.chunk)
        scene.body.feed(content(FIRST + 1, 5))
        await parked.reached.wait()
        session = await scene.go_on()
        parked.go_on.set()
    assert isinstance(scene.error, ChunkOutOfOrder)
    assert scene.error.offset == len(BODY)
    assert len(scene.store.multiparts) == 1
    await scene.assert_finished(session)


async def assert_cancelled(scene: Scene) -> None:
    """Check that the chunk was told so, and that nothing is left but the cancellation."""
    assert isinstance(scene.error, UploadUnknown)
    with pytest.raises(UploadUnknown):
        await scene.other.uploads.status(scene.session)
    assert scene.store.multiparts == {}
    assert scene.first.budget.used_bytes == 0


async def test_a_cancellation_after_a_checkpoint_ends_the_chunk(scene: Scene) -> None:
    """The cancellation deletes the parts of the checkpoint, and the chunk that goes on learns it."""
    async with trio.open_nursery() as nursery:
        await scene.reach_checkpoint(nursery)
        await scene.other.uploads.cancel(scene.session)
        scene.body.feed(BODY[FIRST + 1 :])
    await assert_cancelled(scene)


async def test_a_cancellation_before_the_first_checkpoint_ends_the_chunk(conditional: Scene) -> None:
    """A checkpoint does not take the place of a cancellation."""
    scene = conditional
    parked = scene.script.park("before", "put", "uploads/")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(scene.chunk)
        scene.body.feed(BODY)
        await parked.reached.wait()
        await scene.other.uploads.cancel(scene.session)
        parked.go_on.set()
    await assert_cancelled(scene)


async def test_a_cancellation_that_missed_the_first_checkpoint_leaves_no_parts(conditional: Scene) -> None:
    """The cancellation looked before the checkpoint was written, and wrote after it: the chunk drops its parts."""
    scene = conditional
    script = Script()
    canceller = await open_replica(FaultyStore(scene.store, script))
    parked = script.park("before", "put", "uploads/")
    async with trio.open_nursery() as nursery:
        cancel: Callable[[], Awaitable[None]] = partial(canceller.uploads.cancel, scene.session)
        nursery.start_soon(cancel)
        await parked.reached.wait()
        await scene.reach_checkpoint(nursery)
        parked.go_on.set()
        await trio.testing.wait_all_tasks_blocked()
        scene.body.feed(BODY[FIRST + 1 :])
    await assert_cancelled(scene)
