"""A first chunk longer than a part that may be all of a blob: its tail is a part before anybody knows that it ends."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import pytest
import trio
import trio.testing

from tests.calls import CallLog
from tests.unit.registry.pushing.test_uploads_races import Outcome, chunk, finish
from tests.unit.registry.support import (
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
    state_of,
    until,
)
from zotpy.core.digests import Digest
from zotpy.core.errors import UploadInvalid
from zotpy.core.ranges import Span
from zotpy.core.units import MIB
from zotpy.memory.budget import MemoryBudget
from zotpy.registry.registry import open_registry
from zotpy.settings import Settings, UploadSettings
from zotpy.store.faulty import FaultyStore
from zotpy.store.interface import StoreUnavailable
from zotpy.store.memory_store import MemoryStore

if TYPE_CHECKING:
    from tests.calls import Calls
    from zotpy.registry.registry import Registry
    from zotpy.store.interface import Body, Part

BODY = content(3 * PART_BYTES - 1000)
DIGEST = Digest.of(BODY)
MORE = content(PART_BYTES, seed=2)


class Parts(MemoryStore):
    """Notes the numbers and lengths of parts in the order in which they came."""

    def __init__(self) -> None:
        """Begin empty."""
        super().__init__()
        self.sent: list[tuple[int, int]] = []

    async def put_part(self, key: str, multipart_id: str, number: int, body: Body) -> Part:
        """See `Store`."""
        self.sent.append((number, len(body)))
        return await super().put_part(key, multipart_id, number, body)


@pytest.fixture
def store() -> Parts:
    """Return an empty store."""
    return Parts()


@pytest.fixture
def log(store: Parts) -> CallLog:
    """Return the same, counted."""
    return CallLog(store)


@pytest.fixture
async def replica(log: CallLog) -> Registry:
    """Return a replica on it."""
    return await open_replica(log)


def offset_of(store: MemoryStore) -> int:
    """Return how many bytes of the one upload are safe."""
    return state_of(store).offset if keys_below(store, "uploads/") else 0


def reads_of_states(calls: Calls) -> int:
    """Count how often the state was read."""
    return len(calls.of("get", "uploads/"))


async def test_a_put_after_its_patch_moves_no_byte(replica: Registry, store: Parts, log: CallLog) -> None:
    """The PUT at the replica of the PATCH reads no state and sends no part: hints, completion, lease, then the rest."""
    session = await chunk(replica, replica.uploads.begin(REPO, "sha256"), BODY)()
    assert sorted(store.sent) == [(1, PART_BYTES), (2, PART_BYTES), (3, PART_BYTES - 1000)]
    with log.counted() as calls:
        await finish(replica, session, DIGEST, b"")()
    assert (reads_of_states(calls), len(store.sent)) == (0, 3)
    assert (len(calls), calls.depth) == (6, 4), str(calls)
    assert await pull(replica, DIGEST) == BODY
    assert (store.multiparts, keys_below(store, "uploads/")) == ({}, [])


async def test_a_blob_of_full_parts_has_no_tail(replica: Registry, store: Parts, log: CallLog) -> None:
    """The last part is like the others, and the PUT at the same replica reads nothing back either."""
    body = content(3 * PART_BYTES)
    session = await chunk(replica, replica.uploads.begin(REPO, "sha256"), body)()
    assert (state_of(store).tail_part, len(state_of(store).tail)) == (None, 0)
    with log.counted() as calls:
        await finish(replica, session, Digest.of(body), b"")()
    assert store.sent == [(number, PART_BYTES) for number in (1, 2, 3)]
    assert reads_of_states(calls) == 0
    assert await pull(replica, Digest.of(body)) == body


async def test_another_replica_sends_no_byte(replica: Registry, store: Parts, log: CallLog) -> None:
    """It reads the state, and finds there that the tail was sent."""
    other = await open_replica(log)
    session = await chunk(replica, replica.uploads.begin(REPO, "sha256"), BODY)()
    with log.counted() as calls:
        await finish(other, session, DIGEST, b"")()
    assert (reads_of_states(calls), len(store.sent)) == (1, 3)
    assert await pull(replica, DIGEST) == BODY


@pytest.mark.parametrize("elsewhere", [False, True])
@pytest.mark.parametrize("last", [False, True])
async def test_a_chunk_that_follows_sends_the_tail_again(
    replica: Registry, store: Parts, log: CallLog, *, elsewhere: bool, last: bool
) -> None:
    """There was more to come, by PATCH or with the PUT: the part is sent again, longer, and the blob is right."""
    other = await open_replica(log) if elsewhere else replica
    session = await chunk(replica, replica.uploads.begin(REPO, "sha256"), BODY)()
    if not last:
        session = await chunk(other, session, MORE)()
    await finish(other, session, Digest.of(BODY + MORE), MORE if last else b"")()
    assert sorted(store.sent)[2:] == [(3, PART_BYTES - 1000), (3, PART_BYTES), (4, PART_BYTES - 1000)]
    assert await pull(replica, Digest.of(BODY + MORE)) == BODY + MORE


async def test_the_tail_is_sent_while_other_parts_are_under_way() -> None:
    """No part waits for one before it: the tail goes out though the store has not taken the first."""
    parked = trio.Event()

    class Slow(Parts):
        async def put_part(self, key: str, multipart_id: str, number: int, body: Body) -> Part:
            if number == 1:
                await parked.wait()
            elif len(body) == PART_BYTES - 1000:
                parked.set()
            return await super().put_part(key, multipart_id, number, body)

    store = Slow()
    replica = await open_replica(store)
    with trio.fail_after(60):
        await chunk(replica, replica.uploads.begin(REPO, "sha256"), BODY)()
    assert sorted(store.sent) == [(1, PART_BYTES), (2, PART_BYTES), (3, PART_BYTES - 1000)]


async def test_a_chunk_that_says_where_it_lies_leaves_its_tail_in_the_state(replica: Registry, store: Parts) -> None:
    """Its client means to send more, so the tail would only be sent twice."""
    session = replica.uploads.begin(REPO, "sha256")
    await replica.uploads.chunk(session, sent(BODY), Span(0, len(BODY)), len(BODY))
    assert sorted(store.sent) == [(1, PART_BYTES), (2, PART_BYTES)]
    assert (state_of(store).tail_part, len(state_of(store).tail)) == (None, PART_BYTES - 1000)


async def test_a_chunk_that_was_cut_leaves_its_tail_in_the_state(replica: Registry, store: Parts) -> None:
    """There is more to come for sure."""
    with pytest.raises(Exception, match="closed the connection"):
        await replica.uploads.chunk(replica.uploads.begin(REPO, "sha256"), cut(BODY), None, len(BODY) + 1)
    assert sorted(store.sent) == [(1, PART_BYTES), (2, PART_BYTES)]
    assert (state_of(store).tail_part, len(state_of(store).tail)) == (None, PART_BYTES - 1000)


async def test_chunks_as_long_as_parts_move_each_byte_once(replica: Registry, store: Parts) -> None:
    """A full part at the end of a chunk is sent as one, and the state has no tail."""
    body = content(3 * PART_BYTES)
    session = replica.uploads.begin(REPO, "sha256")
    for start in range(0, len(body), PART_BYTES):
        span = Span(start, start + PART_BYTES)
        session = await replica.uploads.chunk(session, sent(body[span.start : span.end]), span, span.length)
        assert len(state_of(store).tail) == 0
    await finish(replica, session, Digest.of(body), b"")()
    assert store.sent == [(number, PART_BYTES) for number in (1, 2, 3)]
    assert await pull(replica, Digest.of(body)) == body


@pytest.mark.parametrize("saved", [False, True])
async def test_a_tail_that_cannot_be_sent_leaves_what_was_safe(*, saved: bool) -> None:
    """The chunk fails with the store: no memory is held, and no multipart is left but one that a checkpoint names."""
    script, memory = Script(), Parts()
    replica = await open_replica(FaultyStore(memory, script), checkpoint_bytes=PART_BYTES if saved else MIB)
    session, body, outcome = replica.uploads.begin(REPO, "sha256"), Fed(), Outcome()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(outcome.run, partial(replica.uploads.chunk, session, body, None, len(BODY)))
        body.feed(BODY[: 2 * PART_BYTES + 1])
        await until(lambda: len(memory.sent) == 2 and (not saved or offset_of(memory) == 2 * PART_BYTES))
        script.fail("before", "put_part", "data/", StoreUnavailable("down"))
        body.feed(BODY[2 * PART_BYTES + 1 :])
        body.end()
    assert isinstance(outcome.error, StoreUnavailable)
    assert script.steps == []
    assert replica.budget.used_bytes == 0
    assert (len(memory.multiparts), len(keys_below(memory, "uploads/"))) == ((1, 1) if saved else (0, 0))
    offset = (await replica.uploads.status(session)).token.offset
    assert offset == (2 * PART_BYTES if saved else 0)
    again = await replica.uploads.chunk(session.at(offset), sent(BODY[offset:]), None, len(BODY) - offset)
    await finish(replica, again, DIGEST, b"")()
    assert await pull(replica, DIGEST) == BODY


async def test_a_replica_with_shorter_parts_makes_one_of_the_tail() -> None:
    """An empty chunk there finds the tail too long for its state: it is a part, once."""
    store = Parts()
    budget = MemoryBudget(128 * MIB, 33 * MIB)
    longer = await open_registry(store, Settings(upload=UploadSettings(part_size_bytes=32 * MIB)), budget)
    shorter = await open_registry(store, Settings(), MemoryBudget(128 * MIB, 9 * MIB))
    body = bytes(52 * MIB)
    session = await chunk(longer, longer.uploads.begin(REPO, "sha256"), body)()
    assert len(state_of(store).tail) == 20 * MIB
    session = await chunk(shorter, session, b"")()
    assert (len(state_of(store).tail), state_of(store).tail_part) == (0, None)
    await finish(shorter, session, Digest.of(body), b"")()
    assert (await shorter.blobs.find(REPO, Digest.of(body))).size_bytes == len(body)


async def test_a_tail_that_another_request_has_sent_over_is_not_taken_for_it(
    replica: Registry, store: Parts, log: CallLog
) -> None:
    """A chunk sent more and was lost with its replica; a PUT that knows nothing of it makes no blob of that part."""
    session = await chunk(replica, replica.uploads.begin(REPO, "sha256"), BODY)()
    dying, body = await open_replica(log), Fed()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(dying.uploads.chunk, session, body, None, None)
        body.feed(MORE)
        (multipart,) = store.multiparts.values()
        await until(lambda: len(multipart.parts[3][0]) == PART_BYTES)  # the store has it, whatever its replica knows
        nursery.cancel_scope.cancel()
    assert store.sent[-1] == (3, PART_BYTES)
    assert state_of(store).tail_part is not None
    with pytest.raises(UploadInvalid):
        await finish(await open_replica(log), session, DIGEST, b"")()
    assert keys_below(store, "leases/") == []
