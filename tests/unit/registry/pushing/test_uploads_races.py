"""Uploads whose requests overtake one another, and stores that fail in the middle of one."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import pytest
import trio
import trio.testing

from tests.unit.registry.support import (
    NO_CONDITIONS,
    PART_BYTES,
    REPO,
    Script,
    Sent,
    content,
    keys_below,
    open_replica,
    pull,
    sent,
)
from zotpy.concurrency import first_cause
from zotpy.core import keys
from zotpy.core.digests import Digest
from zotpy.core.errors import BlobUnknown, ChunkOutOfOrder, DigestInvalid, RegistryError, UploadInvalid, UploadUnknown
from zotpy.store.faulty import FaultyStore
from zotpy.store.interface import Stored, StoreError, StoreUnavailable
from zotpy.store.memory_store import MemoryStore

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator, Sequence

    from zotpy.registry.pushing.sessions import Session
    from zotpy.registry.registry import Registry
    from zotpy.store.interface import Part

LARGE = 2 * PART_BYTES + 11
DOWN = StoreUnavailable("the store is down")


class Scene:
    """Two replicas over one store; what the first one asks of the store follows a script."""

    def __init__(self, store: MemoryStore) -> None:
        """Prepare the scene; `open` makes the replicas."""
        self.store = store
        self.script = Script()
        self.slow: Registry
        self.quick: Registry

    async def open(self) -> Scene:
        """Open both replicas."""
        self.quick = await open_replica(self.store)
        self.slow = await open_replica(FaultyStore(self.store, self.script))
        return self

    def assert_no_memory_held(self) -> None:
        """Check that no body holds any of the replicas' memory."""
        assert self.slow.budget.used_bytes == self.quick.budget.used_bytes == 0


class Outcome:
    """How a request ended that ran beside the test."""

    def __init__(self) -> None:
        """Know nothing yet."""
        self.error: BaseException | None = None
        self.ended = trio.Event()

    async def run(self, request: Callable[[], Awaitable[object]]) -> None:
        """Run the request and keep its error."""
        try:
            await request()
        except (RegistryError, StoreError) as error:
            self.error = error
        finally:
            self.ended.set()


@pytest.fixture
async def scene() -> Scene:
    """Return a scene on a store with conditional requests."""
    return await Scene(MemoryStore()).open()


def chunk(registry: Registry, session: Session, body: bytes) -> Callable[[], Awaitable[Session]]:
    """Return the request that sends a chunk."""
    return partial(registry.uploads.chunk, session, sent(body), None, len(body))


def finish(registry: Registry, session: Session, digest: Digest, body: bytes) -> Callable[[], Awaitable[object]]:
    """Return the request that sends the last chunk."""
    return partial(registry.uploads.finish, session, digest, sent(body), None, len(body))


@pytest.mark.parametrize("size_bytes", [5, LARGE])
async def test_of_two_first_chunks_one_wins(scene: Scene, size_bytes: int) -> None:
    """Of two chunks at offset 0 the one saved first wins; the other learns where to go on, and leaves nothing."""
    winning, losing = content(size_bytes, 2), content(size_bytes + 1, 3)
    session = scene.quick.uploads.begin(REPO, "sha256")
    parked, outcome = scene.script.park("before", "put", "uploads/"), Outcome()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(outcome.run, chunk(scene.slow, session, losing))
        await parked.reached.wait()
        after = await chunk(scene.quick, session, winning)()
        parked.go_on.set()
    assert isinstance(outcome.error, ChunkOutOfOrder)
    assert outcome.error.offset == size_bytes
    await scene.quick.uploads.finish(after, Digest.of(winning), sent(), None, 0)
    assert await pull(scene.quick, Digest.of(winning)) == winning
    assert scene.store.multiparts == {}
    scene.assert_no_memory_held()


@pytest.mark.parametrize("size_bytes", [5, LARGE])
async def test_of_two_later_chunks_one_wins(scene: Scene, size_bytes: int) -> None:
    """Of two chunks from the same offset one wins; no blob is made of the bytes of both."""
    start, winning, losing = content(LARGE, 1), content(size_bytes, 2), content(size_bytes, 3)
    session = await chunk(scene.quick, scene.quick.uploads.begin(REPO, "sha256"), start)()
    parked, outcome = scene.script.park("before", "put", "uploads/"), Outcome()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(outcome.run, chunk(scene.slow, session, losing))
        await parked.reached.wait()
        after = await chunk(scene.quick, session, winning)()
        parked.go_on.set()
    assert isinstance(outcome.error, ChunkOutOfOrder)
    assert outcome.error.offset == len(start) + size_bytes
    await scene.quick.uploads.finish(after, Digest.of(start + winning), sent(), None, 0)
    assert await pull(scene.quick, Digest.of(start + winning)) == start + winning
    assert scene.store.multiparts == {}
    scene.assert_no_memory_held()


async def test_parts_overwritten_by_a_losing_chunk_are_found_out(scene: Scene) -> None:
    """A chunk that loses after its parts have replaced those of the winner makes the upload fail, not a wrong blob."""
    start, winning, losing = content(PART_BYTES + 1, 1), content(LARGE, 2), content(LARGE, 3)
    session = await chunk(scene.quick, scene.quick.uploads.begin(REPO, "sha256"), start)()
    parked, outcome = scene.script.park("before", "put_part"), Outcome()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(outcome.run, chunk(scene.slow, session, losing))
        await parked.reached.wait()
        after = await chunk(scene.quick, session, winning)()
        parked.go_on.set()
    assert isinstance(outcome.error, ChunkOutOfOrder)
    digest = Digest.of(start + winning)
    with pytest.raises(UploadInvalid):
        await scene.quick.uploads.finish(after, digest, sent(), None, 0)
    with pytest.raises(BlobUnknown):
        await scene.quick.blobs.find(REPO, digest)
    assert keys_below(scene.store, "data/") == []
    assert scene.store.multiparts == {}
    scene.assert_no_memory_held()


@pytest.mark.parametrize("size_bytes", [5, LARGE])
async def test_without_conditions_two_first_chunks_make_no_wrong_blob(size_bytes: int) -> None:
    """On a store without conditional writes the later chunk replaces the earlier one, and the digest tells."""
    scene = await Scene(MemoryStore(features=NO_CONDITIONS)).open()
    one, other = content(size_bytes, 2), content(size_bytes, 3)
    session = scene.quick.uploads.begin(REPO, "sha256")
    parked, outcome = scene.script.park("before", "put", "uploads/"), Outcome()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(outcome.run, chunk(scene.slow, session, other))
        await parked.reached.wait()
        after = await chunk(scene.quick, session, one)()
        parked.go_on.set()
    assert outcome.error is None
    third = await open_replica(scene.store)  # it remembers neither
    with pytest.raises(DigestInvalid):
        await third.uploads.finish(after, Digest.of(one), sent(), None, 0)
    with pytest.raises(BlobUnknown):
        await scene.quick.blobs.find(REPO, Digest.of(one))


@pytest.mark.parametrize("moment", ["put_part", "complete_multipart"])
async def test_two_puts_with_different_ends_make_no_wrong_blob(scene: Scene, moment: str) -> None:
    """Of two PUTs that end one upload differently one makes its blob, and the other is told to begin again."""
    start, one, other = content(LARGE, 1), content(100, 2), content(100, 3)
    session = await chunk(scene.quick, scene.quick.uploads.begin(REPO, "sha256"), start)()
    slow, quick = Digest.of(start + one), Digest.of(start + other)
    parked, slow_outcome, quick_outcome = scene.script.park("before", moment), Outcome(), Outcome()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(slow_outcome.run, finish(scene.slow, session, slow, one))
        await parked.reached.wait()
        await quick_outcome.run(finish(scene.quick, session, quick, other))
        parked.go_on.set()
    assert quick_outcome.error is None
    assert await pull(scene.quick, quick) == start + other
    assert isinstance(slow_outcome.error, UploadUnknown)
    with pytest.raises(BlobUnknown):
        await scene.quick.blobs.find(REPO, slow)
    assert scene.store.multiparts == {}
    assert keys_below(scene.store, "uploads/") == []
    scene.assert_no_memory_held()


async def test_a_put_whose_last_part_was_overwritten_fails(scene: Scene) -> None:
    """A PUT whose last part was replaced by another PUT's before it was completed fails, and makes no blob."""
    start, one, other = content(LARGE, 1), content(100, 2), content(100, 3)
    session = await chunk(scene.quick, scene.quick.uploads.begin(REPO, "sha256"), start)()
    before_complete, slow_outcome = scene.script.park("before", "complete_multipart"), Outcome()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(slow_outcome.run, finish(scene.slow, session, Digest.of(start + one), one))
        await before_complete.reached.wait()
        (multipart_id,) = scene.store.multiparts
        key = scene.store.multiparts[multipart_id].key
        await scene.store.put_part(key, multipart_id, 3, other)
        before_complete.go_on.set()
    assert isinstance(slow_outcome.error, UploadInvalid)
    assert keys_below(scene.store, "data/") == keys_below(scene.store, "leases/") == []
    assert scene.store.multiparts == {}
    scene.assert_no_memory_held()


async def test_the_same_put_twice_at_once_is_answered_twice(scene: Scene) -> None:
    """A client that repeats its PUT while the first one is still under way gets the blob from both."""
    body = content(LARGE)
    session = await chunk(scene.quick, scene.quick.uploads.begin(REPO, "sha256"), body)()
    parked, outcome = scene.script.park("before", "complete_multipart"), Outcome()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(outcome.run, finish(scene.slow, session, Digest.of(body), b""))
        await parked.reached.wait()
        await scene.quick.uploads.finish(session, Digest.of(body), sent(), None, 0)
        parked.go_on.set()
    assert outcome.error is None
    assert await pull(scene.quick, Digest.of(body)) == body
    assert keys_below(scene.store, "uploads/") == []
    scene.assert_no_memory_held()


class ForgivingStore(MemoryStore):
    """Answers a second completion of a multipart as if it had succeeded, as some stores do."""

    async def complete_multipart(self, key: str, multipart_id: str, parts: Sequence[Part]) -> Stored:
        """See `Store`; `verified` only if the object was made by this call."""
        if multipart_id not in self.multiparts and key in self.objects:
            found = self.objects[key]
            return Stored(found.etag, found.last_modified, verified=False)
        return await super().complete_multipart(key, multipart_id, parts)


async def test_a_second_completion_does_not_take_the_data_from_the_first() -> None:
    """A PUT that finds its multipart completed with another PUT's bytes fails, and the other's blob stays whole."""
    scene = await Scene(ForgivingStore()).open()
    start, one, other = content(LARGE, 1), content(100, 2), content(100, 3)
    session = await chunk(scene.quick, scene.quick.uploads.begin(REPO, "sha256"), start)()
    parked, outcome = scene.script.park("before", "complete_multipart"), Outcome()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(outcome.run, finish(scene.slow, session, Digest.of(start + one), one))
        await parked.reached.wait()
        await finish(scene.quick, session, Digest.of(start + other), other)()
        parked.go_on.set()
    assert isinstance(outcome.error, DigestInvalid)
    assert await pull(scene.quick, Digest.of(start + other)) == start + other


@pytest.mark.parametrize(("saved_bytes", "size_bytes"), [(PART_BYTES + 1, 5), (PART_BYTES + 1, LARGE), (0, LARGE)])
async def test_a_chunk_under_way_does_not_bring_a_cancelled_upload_back(
    scene: Scene, saved_bytes: int, size_bytes: int
) -> None:
    """A chunk that is saved after the upload was cancelled is refused, and leaves nothing but the cancellation."""
    session = scene.quick.uploads.begin(REPO, "sha256")
    if saved_bytes:
        session = await chunk(scene.quick, session, content(saved_bytes))()
    parked, outcome = scene.script.park("before", "put", "uploads/"), Outcome()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(outcome.run, chunk(scene.slow, session, content(size_bytes)))
        await parked.reached.wait()
        await scene.quick.uploads.cancel(session)
        parked.go_on.set()
    assert isinstance(outcome.error, UploadUnknown)
    with pytest.raises(UploadUnknown):
        await scene.quick.uploads.status(session)
    assert scene.store.multiparts == {}
    scene.assert_no_memory_held()


async def test_a_put_under_way_when_its_upload_is_cancelled_makes_no_blob(scene: Scene) -> None:
    """A PUT whose multipart is cancelled meanwhile learns that the upload does not exist."""
    body = content(LARGE)
    session = await chunk(scene.quick, scene.quick.uploads.begin(REPO, "sha256"), body)()
    parked, outcome = scene.script.park("before", "complete_multipart"), Outcome()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(outcome.run, finish(scene.slow, session, Digest.of(body), b""))
        await parked.reached.wait()
        await scene.quick.uploads.cancel(session)
        parked.go_on.set()
    assert isinstance(outcome.error, UploadUnknown)
    with pytest.raises(BlobUnknown):
        await scene.quick.blobs.find(REPO, Digest.of(body))
    scene.assert_no_memory_held()


@pytest.mark.parametrize("operation", ["create_multipart", "put_part", "complete_multipart"])
async def test_a_failing_store_leaves_nothing_of_a_blob_sent_whole(scene: Scene, operation: str) -> None:
    """Where the store fails in the middle of a blob sent in one request, no multipart, state or memory is left."""
    body = content(5 * PART_BYTES)
    scene.script.fail("before", operation, "", DOWN)
    session = scene.slow.uploads.begin(REPO, "sha256")
    with pytest.raises(StoreUnavailable):
        await scene.slow.uploads.finish(session, Digest.of(body), sent(body), None, len(body))
    assert scene.store.multiparts == {}
    assert [key for key in scene.store.objects if not key.startswith("meta/")] == []
    scene.assert_no_memory_held()


async def test_a_failing_store_leaves_nothing_of_a_first_chunk(scene: Scene) -> None:
    """Where a part of a first chunk cannot be sent nothing is left, and the client may send it again."""
    body = content(5 * PART_BYTES)
    scene.script.fail("before", "put_part", "", DOWN)
    session = scene.slow.uploads.begin(REPO, "sha256")
    with pytest.raises(StoreUnavailable):
        await chunk(scene.slow, session, body)()
    assert scene.store.multiparts == {}
    assert keys_below(scene.store, "uploads/") == []
    scene.assert_no_memory_held()
    after = await chunk(scene.slow, session, body)()
    await scene.slow.uploads.finish(after, Digest.of(body), sent(), None, 0)
    assert await pull(scene.quick, Digest.of(body)) == body


async def test_a_failing_store_keeps_what_earlier_chunks_sent(scene: Scene) -> None:
    """Where a part of a later chunk cannot be sent, the upload stands where it stood, and goes on from there."""
    start, rest = content(PART_BYTES + 9, 1), content(3 * PART_BYTES, 2)
    session = await chunk(scene.slow, scene.slow.uploads.begin(REPO, "sha256"), start)()
    scene.script.fail("before", "put_part", "", DOWN)
    with pytest.raises(StoreUnavailable):
        await chunk(scene.slow, session, rest)()
    assert (await scene.quick.uploads.status(session)).token.offset == len(start)
    after = await chunk(scene.quick, session, rest)()
    await scene.quick.uploads.finish(after, Digest.of(start + rest), sent(), None, 0)
    assert await pull(scene.quick, Digest.of(start + rest)) == start + rest
    scene.assert_no_memory_held()


async def test_a_state_that_cannot_be_deleted_does_not_fail_a_put(scene: Scene) -> None:
    """A PUT that made its blob has succeeded, and does when it is repeated, though the upload's state was left."""
    body = content(LARGE)
    session = await chunk(scene.slow, scene.slow.uploads.begin(REPO, "sha256"), body)()
    scene.script.fail("before", "delete", "uploads/", DOWN)
    for uploads_left in (1, 0):
        await scene.slow.uploads.finish(session, Digest.of(body), sent(), None, 0)
        assert len(keys_below(scene.store, "uploads/")) == uploads_left
    assert await pull(scene.quick, Digest.of(body)) == body


@pytest.mark.parametrize("last_bytes", [0, 100, LARGE])
async def test_a_put_whose_lease_could_not_be_written_is_repeated(scene: Scene, last_bytes: int) -> None:
    """The parts are joined already, and no lease says to what: they are read back, and the blob is made of them."""
    start, last = content(LARGE), content(last_bytes, 2)
    session = await chunk(scene.slow, scene.slow.uploads.begin(REPO, "sha256"), start)()
    scene.script.fail("before", "put", keys.LEASES, DOWN)
    with pytest.raises(StoreUnavailable):
        await finish(scene.slow, session, Digest.of(start + last), last)()
    data = keys_below(scene.store, "data/")
    await finish(scene.quick, session, Digest.of(start + last), last)()
    assert await pull(scene.quick, Digest.of(start + last)) == start + last
    assert keys_below(scene.store, "data/") == data
    assert keys_below(scene.store, "uploads/") == []
    scene.assert_no_memory_held()


async def test_a_put_repeated_with_another_end_makes_no_blob(scene: Scene) -> None:
    """Parts that an earlier PUT joined are no blob of another digest: the client begins again."""
    start = content(LARGE)
    session = await chunk(scene.slow, scene.slow.uploads.begin(REPO, "sha256"), start)()
    scene.script.fail("before", "put", keys.LEASES, DOWN)
    with pytest.raises(StoreUnavailable):
        await finish(scene.slow, session, Digest.of(start + b"one"), b"one")()
    with pytest.raises(UploadUnknown):
        await finish(scene.quick, session, Digest.of(start + b"two"), b"two")()
    assert keys_below(scene.store, keys.LEASES) == []
    scene.assert_no_memory_held()


async def test_a_request_that_is_abandoned_leaves_nothing(scene: Scene) -> None:
    """A request that is cancelled while its parts are under way aborts its multipart and gives its memory back."""
    parked = scene.script.park("before", "put_part")
    session = scene.slow.uploads.begin(REPO, "sha256")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(chunk(scene.slow, session, content(5 * PART_BYTES)))
        await parked.reached.wait()
        assert len(scene.store.multiparts) == 1
        nursery.cancel_scope.cancel()
    assert scene.store.multiparts == {}
    assert keys_below(scene.store, "uploads/") == []
    scene.assert_no_memory_held()


async def test_a_slow_store_holds_no_more_memory_than_parts_in_flight(scene: Scene) -> None:
    """While the store does not answer, no more is read of a body than its parts in flight and the one being filled."""
    taken: list[int] = []

    def pieces() -> Iterator[bytes]:
        for _ in range(40):
            taken.append(PART_BYTES // 4)
            yield bytes(PART_BYTES // 4)

    in_flight = scene.slow.settings.upload.parts_in_flight
    parked = [scene.script.park("before", "put_part") for _ in range(in_flight)]
    session = scene.slow.uploads.begin(REPO, "sha256")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(scene.slow.uploads.chunk, session, Sent(pieces()), None, None)
        await parked[-1].reached.wait()
        await trio.testing.wait_all_tasks_blocked()
        assert sum(taken) <= (in_flight + 1) * PART_BYTES + PART_BYTES // 4
        assert scene.slow.budget.used_bytes <= (in_flight + 1) * PART_BYTES + PART_BYTES // 4
        for step in parked:
            step.go_on.set()
    assert sum(taken) == 40 * PART_BYTES // 4
    scene.assert_no_memory_held()


async def test_a_data_object_written_for_nothing_is_named_by_nobody(scene: Scene) -> None:
    """A blob whose lease cannot be written does not exist, though its data may be there for the collector."""
    body = content(LARGE)
    scene.script.fail("before", "put", keys.LEASES, DOWN)
    session = scene.slow.uploads.begin(REPO, "sha256")
    with pytest.raises(StoreUnavailable) as failed:
        await scene.slow.uploads.finish(session, Digest.of(body), sent(body), None, len(body))
    assert first_cause(failed.value) is DOWN
    with pytest.raises(BlobUnknown):
        await scene.quick.blobs.find(REPO, Digest.of(body))
    assert keys_below(scene.store, "leases/") == keys_below(scene.store, "entries/") == []
    scene.assert_no_memory_held()
