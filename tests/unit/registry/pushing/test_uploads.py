"""Uploads as clients make them: whole, in chunks, cut, resumed elsewhere, cancelled, mounted."""

from __future__ import annotations

import gc
from typing import TYPE_CHECKING

import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st

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
)
from zotpy.core.digests import Digest
from zotpy.core.errors import (
    BlobUnknown,
    ChunkOutOfOrder,
    ClientStalled,
    DigestInvalid,
    SizeInvalid,
    UploadUnknown,
)
from zotpy.core.pieces import Pieces
from zotpy.core.ranges import Span
from zotpy.core.record_values import INLINE_LIMIT_BYTES
from zotpy.store.interface import Features
from zotpy.store.memory_store import MemoryStore

if TYPE_CHECKING:
    from zotpy.registry.registry import Registry

SIZES = [
    0,
    1,
    INLINE_LIMIT_BYTES,
    INLINE_LIMIT_BYTES + 1,
    PART_BYTES,
    PART_BYTES + 1,
    3 * PART_BYTES,
    3 * PART_BYTES + 17,
]
"""On both sides of every change of form: in the entry, one object, a multipart with and without a last short part."""


@pytest.fixture(params=[True, False], ids=["conditions", "no-conditions"])
def store(request: pytest.FixtureRequest) -> MemoryStore:
    """Return an empty store, with and without conditional requests."""
    return MemoryStore() if request.param else MemoryStore(features=NO_CONDITIONS)


@pytest.fixture
async def registry(store: MemoryStore) -> Registry:
    """Return a replica over the store."""
    return await open_replica(store)


def assert_nothing_left(store: MemoryStore, *replicas: Registry) -> None:
    """Check that no multipart and no upload's state exist, and that no memory is held."""
    assert store.multiparts == {}
    assert keys_below(store, "uploads/") == []
    assert [replica.budget.used_bytes for replica in replicas] == [0] * len(replicas)


@pytest.mark.parametrize("size_bytes", SIZES)
async def test_a_blob_sent_whole_is_read_back(store: MemoryStore, registry: Registry, size_bytes: int) -> None:
    """A blob sent in one request exists with exactly its bytes, whatever form it is kept in."""
    body = content(size_bytes)
    digest = await push(registry, body)
    assert await pull(registry, digest) == body
    assert_nothing_left(store, registry)


@pytest.mark.parametrize("size_bytes", SIZES)
async def test_a_blob_sent_in_chunks_is_read_back(store: MemoryStore, registry: Registry, size_bytes: int) -> None:
    """A blob sent in three chunks and finished without a body is the same blob."""
    body = content(size_bytes)
    third = size_bytes // 3
    session = registry.uploads.begin(REPO, "sha256")
    for piece in (body[:third], body[third : 2 * third], body[2 * third :]):
        session = await registry.uploads.chunk(session, sent(piece), None, len(piece))
    await registry.uploads.finish(session, Digest.of(body), sent(), None, 0)
    assert await pull(registry, Digest.of(body)) == body
    assert_nothing_left(store, registry)


@pytest.mark.parametrize("size_bytes", SIZES)
async def test_every_request_may_go_to_another_replica(store: MemoryStore, size_bytes: int) -> None:
    """An upload whose begin, chunks and end reach four replicas is the same blob, its last bytes in the PUT."""
    body = content(size_bytes)
    third = size_bytes // 3
    first, second, third_one, last = [await open_replica(store) for _ in range(4)]
    session = first.uploads.begin(REPO, "sha256")
    for replica, piece in ((second, body[:third]), (third_one, body[third : 2 * third])):
        token = first.keyring.sign(session.token)
        found = await replica.uploads.find(REPO, session.token.upload_id, token)
        session = await replica.uploads.chunk(found, sent(piece), None, len(piece))
    rest = body[2 * third :]
    await last.uploads.finish(session, Digest.of(body), sent(rest), None, len(rest))
    assert await pull(first, Digest.of(body)) == body
    assert_nothing_left(store, first, second, third_one, last)


@pytest.mark.parametrize("kept_bytes", [1, PART_BYTES, 2 * PART_BYTES + 5])
async def test_a_chunk_that_is_cut_keeps_what_came(store: MemoryStore, registry: Registry, kept_bytes: int) -> None:
    """The bytes before a cut are safe: status tells how many, and the upload goes on from there."""
    body = content(3 * PART_BYTES)
    session = registry.uploads.begin(REPO, "sha256")
    with pytest.raises(ClientStalled):
        await registry.uploads.chunk(session, cut(body[:kept_bytes]), None, len(body))
    resumed = await registry.uploads.status(session)
    assert resumed.token.offset == kept_bytes
    rest = body[kept_bytes:]
    resumed = await registry.uploads.chunk(resumed, sent(rest), Span(kept_bytes, len(body)), len(rest))
    await registry.uploads.finish(resumed, Digest.of(body), sent(), None, 0)
    assert await pull(registry, Digest.of(body)) == body
    assert_nothing_left(store, registry)


async def test_a_chunk_cut_before_its_first_byte_leaves_nothing(store: MemoryStore, registry: Registry) -> None:
    """A chunk of which nothing came leaves no trace, and the upload still begins at 0."""
    session = registry.uploads.begin(REPO, "sha256")
    with pytest.raises(ClientStalled):
        await registry.uploads.chunk(session, cut(), None, 10)
    assert (await registry.uploads.status(session)).token.offset == 0
    assert_nothing_left(store, registry)


def pieces_in_memory() -> list[Pieces]:
    """All that hold bytes in this process, those in cycles that wait for the collector among them."""
    return [found for found in gc.get_objects() if isinstance(found, Pieces) and len(found)]


async def test_an_error_leads_to_no_bytes(registry: Registry) -> None:
    """An error and its traceback, which outlive the request's account, keep nothing of the body in memory."""
    left_by_others = pieces_in_memory()
    session = registry.uploads.begin(REPO, "sha256")
    error: ClientStalled | None = None
    try:
        await registry.uploads.finish(session, Digest.of(b""), cut(content(3 * PART_BYTES + 7)), None, None)
    except ClientStalled as raised:
        error = raised
    assert error is not None
    held = [found for found in pieces_in_memory() if not any(found is other for other in left_by_others)]
    assert [len(found) for found in held] == []


async def test_a_last_chunk_that_is_cut_ends_the_upload(store: MemoryStore, registry: Registry) -> None:
    """A PUT that breaks off makes no blob, and what it had sent is dropped."""
    body = content(2 * PART_BYTES + 9)
    session = registry.uploads.begin(REPO, "sha256")
    with pytest.raises(ClientStalled):
        await registry.uploads.finish(session, Digest.of(body), cut(body[:-1]), None, len(body))
    with pytest.raises(BlobUnknown):
        await registry.blobs.find(REPO, Digest.of(body))
    assert_nothing_left(store, registry)


@pytest.mark.parametrize("start", [0, 4, 6, 100])
async def test_a_chunk_out_of_order_is_refused(registry: Registry, start: int) -> None:
    """A chunk that does not begin where the upload ends changes nothing, and is told where that is."""
    session = registry.uploads.begin(REPO, "sha256")
    session = await registry.uploads.chunk(session, sent(b"12345"), Span(0, 5), 5)
    with pytest.raises(ChunkOutOfOrder) as refused:
        await registry.uploads.chunk(session, sent(b"xyz"), Span(start, start + 3), 3)
    assert refused.value.offset == 5
    with pytest.raises(ChunkOutOfOrder):
        await registry.uploads.finish(session, Digest.of(b"xyz"), sent(b"xyz"), Span(start, start + 3), 3)
    await registry.uploads.finish(session, Digest.of(b"1234567"), sent(b"67"), Span(5, 7), 2)


async def test_a_first_chunk_that_does_not_begin_at_0_is_refused(registry: Registry) -> None:
    """Nothing was sent yet, so the chunk must begin at byte 0."""
    session = registry.uploads.begin(REPO, "sha256")
    with pytest.raises(ChunkOutOfOrder) as refused:
        await registry.uploads.chunk(session, sent(b"xyz"), Span(5, 8), 3)
    assert refused.value.offset == 0


async def test_a_chunk_sent_again_is_refused_with_the_place_to_go_on(registry: Registry) -> None:
    """A client that missed the answer to its chunk and sends it again from an old Location learns where to go on."""
    first = registry.uploads.begin(REPO, "sha256")
    second = await registry.uploads.chunk(first, sent(b"12345"), None, 5)
    await registry.uploads.chunk(second, sent(b"678"), None, 3)
    for session in (first, second):
        with pytest.raises(ChunkOutOfOrder) as refused:
            await registry.uploads.chunk(session, sent(b"12345"), None, 5)
        assert refused.value.offset == 8


@pytest.mark.parametrize("promised", [4, 6])
async def test_a_body_of_another_length_than_promised_is_refused(
    store: MemoryStore, registry: Registry, promised: int
) -> None:
    """A Content-Length or Content-Range that the body does not keep is refused, for a chunk and for the last one."""
    session = registry.uploads.begin(REPO, "sha256")
    with pytest.raises(SizeInvalid):
        await registry.uploads.chunk(session, sent(b"12345"), None, promised)
    with pytest.raises(SizeInvalid):
        await registry.uploads.chunk(session, sent(b"12345"), Span(0, promised), None)
    with pytest.raises(SizeInvalid):
        await registry.uploads.finish(session, Digest.of(b"12345"), sent(b"12345"), None, promised)
    assert_nothing_left(store, registry)


@pytest.mark.parametrize("size_bytes", SIZES[1:])
async def test_another_digest_leaves_nothing(store: MemoryStore, registry: Registry, size_bytes: int) -> None:
    """A blob whose bytes have another digest does not exist, and leaves no multipart, no state and no memory held.

    What was kept as data (`zotpy.registry.pushing.kept`) is the collector's.
    """
    body = content(size_bytes)
    wrong = Digest.of(b"another")
    session = registry.uploads.begin(REPO, "sha256")
    with pytest.raises(DigestInvalid):
        await registry.uploads.finish(session, wrong, sent(body), None, size_bytes)
    assert keys_below(store, "data/") == []
    session = registry.uploads.begin(REPO, "sha256")
    session = await registry.uploads.chunk(session, sent(body), None, size_bytes)
    with pytest.raises(DigestInvalid):
        await registry.uploads.finish(session, wrong, sent(), None, 0)
    assert_nothing_left(store, registry)
    assert keys_below(store, "entries/") == keys_below(store, "leases/") == []
    assert len(keys_below(store, "data/")) == (INLINE_LIMIT_BYTES < size_bytes <= PART_BYTES)
    with pytest.raises(UploadUnknown):
        await registry.uploads.status(session)


@pytest.mark.parametrize("size_bytes", [5, 2 * PART_BYTES + 5])
async def test_a_cancelled_upload_does_not_come_back(store: MemoryStore, registry: Registry, size_bytes: int) -> None:
    """After a cancellation every request for the upload is refused, and its parts are deleted."""
    body = content(size_bytes)
    session = registry.uploads.begin(REPO, "sha256")
    session = await registry.uploads.chunk(session, sent(body), None, size_bytes)
    await registry.uploads.cancel(session)
    assert store.multiparts == {}
    with pytest.raises(UploadUnknown):
        await registry.uploads.status(session)
    with pytest.raises(UploadUnknown):
        await registry.uploads.cancel(session)
    with pytest.raises(UploadUnknown):
        await registry.uploads.chunk(session, sent(b"more"), None, 4)
    with pytest.raises(UploadUnknown):
        await registry.uploads.finish(session, Digest.of(body), sent(), None, 0)


async def test_a_put_repeated_after_a_lost_answer_is_answered(store: MemoryStore, registry: Registry) -> None:
    """A client that missed the answer to its PUT and sends it again is told that the blob exists."""
    body = content(2 * PART_BYTES + 3)
    session = registry.uploads.begin(REPO, "sha256")
    session = await registry.uploads.chunk(session, sent(body), None, len(body))
    for _ in range(2):
        value = await registry.uploads.finish(session, Digest.of(body), sent(), None, 0)
        assert value.size_bytes == len(body)
    with pytest.raises(UploadUnknown):
        await registry.uploads.finish(session, Digest.of(b"another"), sent(), None, 0)
    assert_nothing_left(store, registry)


@pytest.mark.parametrize("size_bytes", [PART_BYTES - 1, 2 * PART_BYTES + 3])
async def test_data_known_elsewhere_is_kept_once(store: MemoryStore, registry: Registry, size_bytes: int) -> None:
    """The second push of a large blob, to another repository, names the data of the first."""
    body = content(size_bytes)
    digest = await push(registry, body)
    data = keys_below(store, "data/")
    assert len(data) == 1
    await push(registry, body, OTHER)
    assert keys_below(store, "data/") == data
    assert await pull(registry, digest, OTHER) == body
    await registry.blobs.delete(REPO, digest)
    assert await pull(registry, digest, OTHER) == body
    assert_nothing_left(store, registry)


@pytest.mark.parametrize("size_bytes", [100, PART_BYTES - 1, 2 * PART_BYTES + 3])
async def test_a_blob_is_mounted_from_where_it_is(store: MemoryStore, registry: Registry, size_bytes: int) -> None:
    """A mount makes the blob of another repository exist here too, without new data."""
    body = content(size_bytes)
    digest = await push(registry, body)
    data = keys_below(store, "data/")
    assert await registry.mounts.mount(OTHER, digest, REPO) is not None
    assert await pull(registry, digest, OTHER) == body
    assert keys_below(store, "data/") == data


@pytest.mark.parametrize("size_bytes", [100, PART_BYTES - 1, 2 * PART_BYTES + 3])
async def test_a_blob_is_mounted_from_anywhere(registry: Registry, size_bytes: int) -> None:
    """A mount that names no repository finds the blob in one beside it."""
    body = content(size_bytes)
    digest = await push(registry, body)
    assert await registry.mounts.mount(OTHER, digest, None) is not None
    assert await pull(registry, digest, OTHER) == body


async def test_a_mount_of_what_is_not_there_makes_nothing(store: MemoryStore, registry: Registry) -> None:
    """A mount from a repository without the blob makes nothing: the client then uploads."""
    digest = await push(registry, b"here")
    before = set(store.objects)
    assert await registry.mounts.mount(REPO, Digest.of(b"not here"), OTHER) is None
    assert await registry.mounts.mount(REPO, Digest.of(b"not here"), None) is None
    assert await registry.mounts.mount(REPO, digest, OTHER) is None
    assert set(store.objects) == before


@pytest.mark.parametrize("size_bytes", SIZES)
async def test_an_algorithm_learnt_at_the_put_is_verified(
    store: MemoryStore, registry: Registry, size_bytes: int
) -> None:
    """An upload hashed with sha256 and finished with a sha512 digest is verified all the same."""
    body = content(size_bytes)
    session = registry.uploads.begin(REPO, "sha256")
    session = await registry.uploads.chunk(session, sent(body), None, size_bytes)
    await registry.uploads.finish(session, Digest.of(body, "sha512"), sent(), None, 0)
    assert await pull(registry, Digest.of(body, "sha512")) == body
    assert_nothing_left(store, registry)


@pytest.mark.parametrize("size_bytes", SIZES[1:])
async def test_an_algorithm_learnt_at_the_put_does_not_let_another_digest_pass(
    store: MemoryStore, registry: Registry, size_bytes: int
) -> None:
    """An upload hashed with sha256 and finished with another content's sha512 digest makes no blob."""
    body = content(size_bytes)
    wrong = Digest.of(b"another", "sha512")
    session = registry.uploads.begin(REPO, "sha256")
    session = await registry.uploads.chunk(session, sent(body), None, size_bytes)
    with pytest.raises(DigestInvalid):
        await registry.uploads.finish(session, wrong, sent(), None, 0)
    with pytest.raises(BlobUnknown):
        await registry.blobs.find(REPO, wrong)
    assert_nothing_left(store, registry)


async def test_sha512_said_at_the_beginning_is_hashed_on_the_way(registry: Registry, store: MemoryStore) -> None:
    """An upload begun for sha512 makes a blob of that digest."""
    body = content(2 * PART_BYTES + 3)
    digest = await push(registry, body, algorithm="sha512")
    assert await pull(registry, digest) == body
    assert_nothing_left(store, registry)


@pytest.mark.parametrize("right", [True, False])
async def test_a_hash_state_that_cannot_travel_is_made_up_for_by_reading_back(
    store: MemoryStore, registry: Registry, monkeypatch: pytest.MonkeyPatch, *, right: bool
) -> None:
    """Where libcrypto's states cannot be used, the data is read back before the commit, and a wrong digest is found."""
    monkeypatch.setattr("zotpy.core.hashing._libcrypto", lambda: None)
    body = content(2 * PART_BYTES + 3)
    digest = Digest.of(body if right else b"another")
    session = registry.uploads.begin(REPO, "sha256")
    session = await registry.uploads.chunk(session, sent(body[:-100]), None, len(body) - 100)
    rest = body[-100:]
    if right:
        await registry.uploads.finish(session, digest, sent(rest), None, 100)
        assert await pull(registry, digest) == body
    else:
        with pytest.raises(DigestInvalid):
            await registry.uploads.finish(session, digest, sent(rest), None, 100)
        assert keys_below(store, "entries/") == keys_below(store, "leases/") == []
    assert_nothing_left(store, registry)


async def test_a_put_to_the_first_location_commits_what_chunks_sent(registry: Registry) -> None:
    """A client that finishes at the Location of its POST, and not of its last chunk, gets its blob."""
    first = registry.uploads.begin(REPO, "sha256")
    await registry.uploads.chunk(first, sent(b"12345"), None, 5)
    if registry.store.features.conditional_create:
        await registry.uploads.finish(first, Digest.of(b"12345"), sent(), None, 0)
        assert await pull(registry, Digest.of(b"12345")) == b"12345"
    else:
        with pytest.raises(ChunkOutOfOrder):
            await registry.uploads.finish(first, Digest.of(b"12345"), sent(), None, 0)


@st.composite
def cuttings(draw: st.DrawFn) -> tuple[bytes, list[list[bytes]]]:
    """Return a content, cut into chunks of pieces."""
    body = content(draw(st.integers(0, 3 * PART_BYTES + 100)), draw(st.integers(1, 250)))
    places = st.lists(st.integers(0, len(body)), max_size=8).map(sorted)
    chunks: list[list[bytes]] = []
    start = 0
    for end in [*draw(places), len(body)]:
        inner = sorted(draw(st.lists(st.integers(start, end), max_size=4)))
        ends = [*inner, end]
        chunks.append([body[a:b] for a, b in zip([start, *inner], ends, strict=True) if a < b])
        start = end
    return body, chunks


@settings(deadline=None, max_examples=60)
@given(
    cutting=cuttings(),
    features=st.builds(
        Features, conditional_create=st.booleans(), conditional_replace=st.booleans(), conditional_delete=st.booleans()
    ),
)
def test_any_cutting_gives_the_same_blob(cutting: tuple[bytes, list[list[bytes]]], features: Features) -> None:
    """However a content is cut into chunks and pieces, and whichever replica takes each, the blob is the same."""

    async def upload() -> None:
        body, chunks = cutting
        store = MemoryStore(features=features)
        replicas = [await open_replica(store) for _ in range(2)]
        session = replicas[0].uploads.begin(REPO, "sha256")
        for number, pieces in enumerate(chunks[:-1]):
            length = sum(map(len, pieces))
            uploads = replicas[number % 2].uploads
            session = await uploads.chunk(session, sent(*pieces), None, length)
        last = chunks[-1]
        await replicas[1].uploads.finish(session, Digest.of(body), sent(*last), None, sum(map(len, last)))
        assert await pull(replicas[0], Digest.of(body)) == body
        assert_nothing_left(store, *replicas)

    trio.run(upload)
