"""Uploads that their replica remembers: their PUT reads nothing back, and is as right as one that does."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.unit.registry.pushing.test_uploads_races import chunk, finish
from tests.unit.registry.support import PART_BYTES, REPO, Script, content, cut, keys_below, open_replica, pull, sent
from zotpy.core import keys
from zotpy.core.digests import Digest
from zotpy.core.errors import ChunkOutOfOrder, ClientStalled, DigestInvalid, UploadUnknown
from zotpy.core.parts import PartPlan
from zotpy.core.ranges import Span
from zotpy.core.record_values import INLINE_LIMIT_BYTES
from zotpy.core.upload_state import SentPart, UploadState
from zotpy.registry.pushing.recent import LARGEST_BYTES, Recent
from zotpy.registry.pushing.states import SavedState
from zotpy.store.faulty import FaultyStore
from zotpy.store.interface import StoreUnavailable
from zotpy.store.memory_store import MemoryStore

if TYPE_CHECKING:
    from zotpy.registry.pushing.sessions import Session
    from zotpy.registry.registry import Registry
    from zotpy.store.interface import Body, Fetched, Stored

BODY = content(2000)
DIGEST = Digest.of(BODY)


class Unread(MemoryStore):
    """Counts what is read of uploads."""

    read = 0
    fails = False

    async def find(self, key: str, *, most_bytes: int | None = None) -> Fetched | None:
        """See `Store`."""
        self.read += key.startswith("uploads/")
        return await super().find(key, most_bytes=most_bytes)


def begin(replica: Registry) -> Session:
    """Begin an upload."""
    return replica.uploads.begin(REPO, "sha256")


async def test_a_put_after_its_patch_reads_no_state() -> None:
    """The replica that took in the chunk makes the blob of it, and the state goes."""
    store = Unread()
    replica = await open_replica(store)
    session = await chunk(replica, begin(replica), BODY)()
    await finish(replica, session, DIGEST, b"")()
    assert store.read == 0
    assert await pull(replica, DIGEST) == BODY
    assert keys_below(store, "uploads/") == []


async def test_another_replica_reads_it() -> None:
    """What one replica remembers is in the store for all others."""
    store = Unread()
    first, second = await open_replica(store), await open_replica(store)
    session = await chunk(first, begin(first), BODY)()
    await finish(second, session, DIGEST, b"")()
    assert store.read == 1
    assert await pull(first, DIGEST) == BODY


async def test_a_chunk_taken_in_elsewhere_is_heeded() -> None:
    """The blob that the client asks for is that of both chunks: what one replica remembers of it is too little."""
    store = Unread()
    first, second = await open_replica(store), await open_replica(store)
    session = await chunk(first, begin(first), BODY)()
    later = await chunk(second, session, BODY)()
    await finish(first, later, Digest.of(BODY + BODY), b"")()
    assert await pull(second, Digest.of(BODY + BODY)) == BODY + BODY


async def test_an_old_location_with_another_digest_is_out_of_order() -> None:
    """A PUT that does not know of the last chunk is told where the upload stands, as ever."""
    store = Unread()
    first, second = await open_replica(store), await open_replica(store)
    session = await chunk(first, begin(first), BODY)()
    await chunk(second, session, BODY)()
    with pytest.raises(ChunkOutOfOrder) as caught:
        await finish(first, session, Digest.of(BODY + BODY), b"")()
    assert caught.value.offset == 2 * len(BODY)


async def test_a_wrong_digest_ends_the_upload() -> None:
    """What is remembered is not used for another digest, nor after that."""
    replica = await open_replica(MemoryStore())
    session = await chunk(replica, begin(replica), BODY)()
    with pytest.raises(DigestInvalid):
        await finish(replica, session, Digest.of(b"another"), b"")()
    with pytest.raises(UploadUnknown):
        await finish(replica, session, DIGEST, b"")()


async def test_a_cancelled_upload_is_forgotten() -> None:
    """After a DELETE, a PUT finds no upload."""
    replica = await open_replica(MemoryStore())
    session = await chunk(replica, begin(replica), BODY)()
    await replica.uploads.cancel(session)
    with pytest.raises(UploadUnknown):
        await finish(replica, session, DIGEST, b"")()


async def test_a_last_chunk_goes_on_from_the_store() -> None:
    """A PUT with a body reads the state, as it must know how to go on."""
    store = Unread()
    replica = await open_replica(store)
    session = await chunk(replica, begin(replica), BODY)()
    await finish(replica, session, Digest.of(BODY + b"end"), b"end")()
    assert store.read == 1
    assert await pull(replica, Digest.of(BODY + b"end")) == BODY + b"end"


async def test_a_cut_chunk_is_finished_with_what_was_saved() -> None:
    """What came of a chunk that was cut is remembered as it was saved."""
    replica = await open_replica(MemoryStore())
    session = begin(replica)
    with pytest.raises(ClientStalled):
        await replica.uploads.chunk(session, cut(BODY), None, None)
    session = await replica.uploads.status(session)
    await replica.uploads.finish(session, DIGEST, sent(), None, 0)
    assert await pull(replica, DIGEST) == BODY


async def test_a_put_that_failed_is_repeated_from_the_store() -> None:
    """Where the store refused the entry, the same PUT does it all once more."""

    class Failing(Unread):
        async def put(
            self, key: str, body: Body, *, if_none_match: bool = False, if_match: str | None = None
        ) -> Stored:
            if self.fails and key.startswith(keys.ENTRIES):
                self.fails = False
                msg = "down"
                raise StoreUnavailable(msg)
            return await super().put(key, body, if_none_match=if_none_match, if_match=if_match)

    store = Failing()
    replica = await open_replica(store)
    session = await chunk(replica, begin(replica), BODY)()
    store.fails = True
    with pytest.raises(StoreUnavailable):
        await finish(replica, session, DIGEST, b"")()
    await finish(replica, session, DIGEST, b"")()
    assert store.read == 1
    assert await pull(replica, DIGEST) == BODY


async def test_memory_is_bounded() -> None:
    """A thousand clients that send a chunk and leave take no more than the bound; the newest are remembered."""
    store = Unread()
    replica = await open_replica(store)
    body = content(INLINE_LIMIT_BYTES)
    sessions = [await chunk(replica, begin(replica), body)() for _ in range(2 * LARGEST_BYTES // INLINE_LIMIT_BYTES)]
    recent: Recent = replica.uploads.recent
    assert 0 < recent.held_bytes <= LARGEST_BYTES
    await finish(replica, sessions[-1], Digest.of(body), b"")()
    assert store.read == 0
    await finish(replica, sessions[0], Digest.of(body), b"")()
    assert store.read == 1


async def test_memory_of_large_ones_is_bounded() -> None:
    """What is remembered of a blob in many parts is their names, and they count."""
    recent, store = Recent(), MemoryStore()
    parts = tuple(SentPart(number, "etag", "crc") for number in range(1, 1001))
    state = UploadState("sha256", PartPlan(1, 1), offset=1000, parts=parts)
    for number in range(100):
        recent.add(SavedState(store, f"uploads/{number}", state, "etag"))
        assert recent.held_bytes <= LARGEST_BYTES
    assert recent.drop("uploads/0") is None
    while recent.held_bytes:
        assert recent.drop(f"uploads/{number}") is not None
        number -= 1


async def test_what_has_bytes_too_long_for_a_record_is_not_remembered() -> None:
    """A kept chunk, or one that says where it lies and has a tail, is in the store only."""
    replica = await open_replica(MemoryStore())
    await chunk(replica, begin(replica), content(INLINE_LIMIT_BYTES + 1))()
    body, session = content(PART_BYTES + 1), begin(replica)
    await replica.uploads.chunk(session, sent(body), Span(0, len(body)), len(body))
    assert replica.uploads.recent.held_bytes == 0


LARGE = content(3 * PART_BYTES - 1000)
"""Its tail is sent as a part, and again by a chunk that follows."""


async def test_another_replicas_chunk_outlives_an_old_put() -> None:
    """A PUT that does not know of it is told where the upload stands, also where it has taken the place of a part."""
    store = Unread()
    first, second = await open_replica(store), await open_replica(store)
    session = await chunk(first, begin(first), LARGE)()
    later = await chunk(second, session, LARGE)()
    with pytest.raises(ChunkOutOfOrder) as caught:
        await finish(first, session, Digest.of(LARGE), b"")()
    assert caught.value.offset == 2 * len(LARGE)
    await finish(first, later, Digest.of(LARGE + LARGE), b"")()
    assert await pull(second, Digest.of(LARGE + LARGE)) == LARGE + LARGE


async def test_another_replicas_delete_is_heeded_where_parts_are_gone() -> None:
    """What is remembered has no parts any more: the upload does not exist, and its tombstone stays."""
    store = Unread()
    first, second = await open_replica(store), await open_replica(store)
    session = await chunk(first, begin(first), LARGE)()
    await second.uploads.cancel(session)
    with pytest.raises(UploadUnknown):
        await finish(first, session, Digest.of(LARGE), b"")()
    assert len(keys_below(store, "uploads/")) == 1
    assert keys_below(store, "leases/") == []


async def test_parts_that_were_joined_for_nothing_are_found_again() -> None:
    """The lease of a large blob failed after its parts had been joined; the same PUT finds them."""
    script = Script()
    store = MemoryStore()
    replica = await open_replica(FaultyStore(store, script))
    session = await chunk(replica, begin(replica), LARGE)()
    script.fail("before", "put", keys.LEASES, StoreUnavailable("down"))
    with pytest.raises(StoreUnavailable):
        await finish(replica, session, Digest.of(LARGE), b"")()
    await finish(replica, session, Digest.of(LARGE), b"")()
    assert await pull(replica, Digest.of(LARGE)) == LARGE
    assert len(keys_below(store, "data/")) == 1
