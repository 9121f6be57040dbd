"""Chunks that are kept as data: each byte of a docker push goes to the store once, whatever else happens to it."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest
import trio

from tests.unit.registry.pushing.test_uploads_races import DOWN, Outcome, Scene, chunk, finish
from tests.unit.registry.support import (
    NO_CONDITIONS,
    OTHER,
    PART_BYTES,
    REPO,
    content,
    cut,
    keys_below,
    open_replica,
    pull,
    push,
    sent,
    state_of,
)
from zotpy.core import keys
from zotpy.core.digests import Digest
from zotpy.core.errors import BlobUnknown, ClientStalled, DigestInvalid, UploadUnknown
from zotpy.core.ranges import Span
from zotpy.core.record_values import INLINE_LIMIT_BYTES
from zotpy.store.interface import StoreUnavailable
from zotpy.store.memory_store import MemoryStore

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from zotpy.registry.pushing.sessions import Session
    from zotpy.registry.registry import Registry
    from zotpy.store.interface import Body, Fetched, Stored

BODY = content(PART_BYTES - 1000)
DIGEST = Digest.of(BODY)
SMALL_CALLS_BYTES = 8 * 1024
"""More than states, leases, entries and hints of one blob are long together."""


class Traffic(MemoryStore):
    """Counts the bytes that go to the store and come from it."""

    written_bytes = 0
    read_bytes = 0

    async def put(self, key: str, body: Body, *, if_none_match: bool = False, if_match: str | None = None) -> Stored:
        """See `Store`."""
        self.written_bytes += len(body)
        return await super().put(key, body, if_none_match=if_none_match, if_match=if_match)

    async def find(self, key: str, *, most_bytes: int | None = None) -> Fetched | None:
        """See `Store`."""
        if (fetched := await super().find(key, most_bytes=most_bytes)) is None:
            return None
        self.read_bytes += len(fetched.body)
        return fetched

    @asynccontextmanager
    async def open(self, key: str, start: int, end: int) -> AsyncIterator[AsyncIterator[bytes]]:
        """See `Store`."""
        self.read_bytes += end - start
        async with super().open(key, start, end) as chunks:
            yield chunks


@pytest.fixture
async def scene() -> Scene:
    """Return two replicas; what the slow one asks of the store follows a script."""
    return await Scene(MemoryStore()).open()


async def patched(registry: Registry, body: bytes = BODY) -> Session:
    """Begin an upload and send a first chunk."""
    return await chunk(registry, registry.uploads.begin(REPO, "sha256"), body)()


@pytest.mark.parametrize("size_bytes", [INLINE_LIMIT_BYTES + 1, PART_BYTES - 1, PART_BYTES])
async def test_a_blob_pushed_as_docker_does_is_written_once_and_not_read(size_bytes: int) -> None:
    """POST, PATCH, PUT: the bytes of a blob up to a part go to the store in the PATCH, and stay where they are."""
    store = Traffic()
    registry = await open_replica(store)
    body = content(size_bytes)
    before = store.written_bytes
    session = await patched(registry, body)
    data = keys_below(store, keys.DATA)
    await registry.uploads.finish(session, Digest.of(body), sent(), None, 0)
    assert size_bytes <= store.written_bytes - before <= size_bytes + SMALL_CALLS_BYTES
    assert store.read_bytes <= SMALL_CALLS_BYTES
    assert keys_below(store, keys.DATA) == data
    assert keys_below(store, keys.UPLOADS) == []
    assert await pull(registry, Digest.of(body)) == body


async def test_a_chunk_of_several_is_left_in_the_state(scene: Scene) -> None:
    """Chunks that say where they lie, later ones and such as were cut leave their tail where the next one finds it."""
    uploads = scene.quick.uploads
    await uploads.chunk(uploads.begin(REPO, "sha256"), sent(BODY), Span(0, len(BODY)), len(BODY))
    with pytest.raises(ClientStalled):
        await uploads.chunk(uploads.begin(REPO, "sha256"), cut(BODY), None, None)
    small = await patched(scene.quick, b"12345")
    await uploads.chunk(small, sent(BODY), None, len(BODY))
    assert keys_below(scene.store, keys.DATA) == []
    assert len(keys_below(scene.store, keys.UPLOADS)) == 3


@pytest.mark.parametrize("rest_bytes", [5, 1000, PART_BYTES, 3 * PART_BYTES])
@pytest.mark.parametrize("is_last", [True, False])
async def test_an_upload_goes_on_from_what_is_kept(scene: Scene, rest_bytes: int, *, is_last: bool) -> None:
    """A chunk after the one that was kept, or a last one with bytes in it, goes on from there, at another replica."""
    rest = content(rest_bytes, 7)
    session = await patched(scene.slow)
    assert (await scene.quick.uploads.status(session)).token.offset == len(BODY)
    if not is_last:
        session = await chunk(scene.quick, session, rest)()
        rest = b""
    digest = Digest.of(BODY + content(rest_bytes, 7))
    await finish(scene.slow, session, digest, rest)()
    assert await pull(scene.quick, digest) == BODY + content(rest_bytes, 7)
    assert scene.store.multiparts == {}
    assert keys_below(scene.store, keys.UPLOADS) == []
    scene.assert_no_memory_held()


async def test_an_empty_chunk_leaves_kept_bytes_where_they_are(scene: Scene) -> None:
    """A chunk of no bytes changes nothing."""
    session = await patched(scene.slow)
    kept = state_of(scene.store).kept
    session = await chunk(scene.quick, session, b"")()
    assert state_of(scene.store).kept == kept
    await finish(scene.quick, session, DIGEST, b"")()
    assert len(keys_below(scene.store, keys.DATA)) == 1
    assert await pull(scene.quick, DIGEST) == BODY


async def test_a_chunk_that_fails_after_it_took_kept_bytes_back_changes_nothing(scene: Scene) -> None:
    """The upload stands where it stood, and its PUT makes the blob."""
    session = await patched(scene.quick)
    scene.script.fail("before", "put_part", keys.DATA, DOWN)
    with pytest.raises(StoreUnavailable):
        await chunk(scene.slow, session, content(3 * PART_BYTES))()
    await finish(scene.quick, session, DIGEST, b"")()
    assert await pull(scene.quick, DIGEST) == BODY
    assert scene.store.multiparts == {}
    scene.assert_no_memory_held()


@pytest.mark.parametrize("below", [keys.DATA, keys.UPLOADS])
async def test_a_chunk_that_cannot_be_kept_is_sent_again(scene: Scene, below: str) -> None:
    """Where the data or the state cannot be written, the upload is where it was."""
    session = scene.slow.uploads.begin(REPO, "sha256")
    scene.script.fail("before", "put", below, DOWN)
    with pytest.raises(StoreUnavailable):
        await chunk(scene.slow, session, BODY)()
    assert (await scene.quick.uploads.status(session)).token.offset == 0
    session = await chunk(scene.slow, session, BODY)()
    await finish(scene.quick, session, DIGEST, b"")()
    assert await pull(scene.quick, DIGEST) == BODY
    scene.assert_no_memory_held()


@pytest.mark.parametrize("right", [True, False])
async def test_kept_bytes_without_a_hash_state_are_read_back(
    scene: Scene, monkeypatch: pytest.MonkeyPatch, *, right: bool
) -> None:
    """Where libcrypto's states cannot be used, only the bytes in the store tell the digest."""
    monkeypatch.setattr("zotpy.core.hashing._libcrypto", lambda: None)
    session = await patched(scene.quick)
    if right:
        await finish(scene.quick, session, DIGEST, b"")()
        assert await pull(scene.quick, DIGEST) == BODY
    else:
        with pytest.raises(DigestInvalid):
            await finish(scene.quick, session, Digest.of(b"another"), b"")()
        assert keys_below(scene.store, keys.LEASES) == []
    assert keys_below(scene.store, keys.UPLOADS) == []


async def test_a_put_to_the_first_location_names_what_is_kept(scene: Scene) -> None:
    """A client that finishes at the Location of its POST gets its blob, without a byte moved."""
    first = scene.quick.uploads.begin(REPO, "sha256")
    await chunk(scene.quick, first, BODY)()
    data = keys_below(scene.store, keys.DATA)
    await finish(scene.quick, first, DIGEST, b"")()
    assert keys_below(scene.store, keys.DATA) == data
    assert await pull(scene.quick, DIGEST) == BODY


async def test_an_older_copy_is_named_instead(scene: Scene) -> None:
    """A blob that another repository has is not kept twice: what was sent is the collector's, and named by nobody."""
    await push(scene.quick, BODY, OTHER)
    [older] = keys_below(scene.store, keys.DATA)
    await finish(scene.quick, await patched(scene.quick), DIGEST, b"")()
    leases = keys_below(scene.store, keys.leases(REPO, "blobs", DIGEST))
    assert [keys.data_of(key) for key in leases] == [older.removeprefix(keys.DATA)]
    assert await pull(scene.quick, DIGEST) == BODY


@pytest.mark.parametrize("below", [keys.LEASES, keys.ENTRIES, keys.HINTS])
async def test_a_put_whose_record_could_not_be_written_is_repeated(scene: Scene, below: str) -> None:
    """Until there is a lease the upload is there; after that, the blob is."""
    session = await patched(scene.slow)
    scene.script.fail("before", "put", below, DOWN)
    with pytest.raises(StoreUnavailable):
        await finish(scene.slow, session, DIGEST, b"")()
    await finish(scene.quick, session, DIGEST, b"")()
    assert await pull(scene.quick, DIGEST) == BODY
    assert len(keys_below(scene.store, keys.DATA)) == 1
    assert keys_below(scene.store, keys.UPLOADS) == []


async def test_the_same_put_twice_at_once_names_the_same_data(scene: Scene) -> None:
    """A PUT repeated while the first is about to write its lease: two leases, one data object, no state."""
    session = await patched(scene.quick)
    parked, outcome = scene.script.park("before", "put", keys.LEASES), Outcome()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(outcome.run, finish(scene.slow, session, DIGEST, b""))
        await parked.reached.wait()
        await finish(scene.quick, session, DIGEST, b"")()
        parked.go_on.set()
    assert outcome.error is None
    leases = keys_below(scene.store, keys.leases(REPO, "blobs", DIGEST))
    assert len(leases) == 2
    assert {f"{keys.DATA}{keys.data_of(key)}" for key in leases} == set(keys_below(scene.store, keys.DATA))
    assert await pull(scene.quick, DIGEST) == BODY
    assert keys_below(scene.store, keys.UPLOADS) == []


@pytest.mark.parametrize("ends", ["wrong digest", "cancellation", "next chunk"])
async def test_whatever_ends_an_upload_leaves_the_data_to_a_put_under_way(scene: Scene, ends: str) -> None:
    """A PUT that has read the state names kept bytes, and they exist, even if the upload ends meanwhile."""
    session = await patched(scene.quick)
    parked, outcome = scene.script.park("before", "put", keys.LEASES), Outcome()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(outcome.run, finish(scene.slow, session, DIGEST, b""))
        await parked.reached.wait()
        if ends == "wrong digest":
            with pytest.raises(DigestInvalid):
                await finish(scene.quick, session, Digest.of(b"another"), b"")()
        elif ends == "cancellation":
            await scene.quick.uploads.cancel(session)
        else:
            await chunk(scene.quick, session, b"more")()
        parked.go_on.set()
    assert outcome.error is None
    assert await pull(scene.quick, DIGEST) == BODY
    with pytest.raises(BlobUnknown):
        await scene.quick.blobs.find(REPO, Digest.of(b"another"))


@pytest.mark.parametrize("has_conditions", [True, False])
async def test_a_chunk_that_lost_leaves_the_winners_data(*, has_conditions: bool) -> None:
    """Of two first chunks that are kept, the one whose state is there makes the blob; without conditions the last."""
    scene = await Scene(MemoryStore() if has_conditions else MemoryStore(features=NO_CONDITIONS)).open()
    session = scene.quick.uploads.begin(REPO, "sha256")
    other = content(len(BODY), 9)
    parked, outcome = scene.script.park("before", "put", keys.UPLOADS), Outcome()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(outcome.run, chunk(scene.slow, session, other))
        await parked.reached.wait()
        after = await chunk(scene.quick, session, BODY)()
        parked.go_on.set()
    assert (outcome.error is None) is not has_conditions
    right, wrong = (BODY, other) if has_conditions else (other, BODY)
    await finish(scene.quick, after, Digest.of(right), b"")()
    assert await pull(scene.quick, Digest.of(right)) == right
    with pytest.raises(UploadUnknown):
        await finish(scene.quick, after, Digest.of(wrong), b"")()
