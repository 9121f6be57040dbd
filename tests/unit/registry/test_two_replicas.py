"""Two replicas on one store: what one began the other carries on, and where both write, no blob is ever wrong."""

from __future__ import annotations

import json
import os
from functools import partial
from typing import TYPE_CHECKING

import pytest
import trio

from zotpy.concurrency import gather
from zotpy.core.digests import Digest
from zotpy.core.errors import (
    BlobUnknown,
    ChunkOutOfOrder,
    ClientStalled,
    DigestInvalid,
    ManifestBlobUnknown,
    PreconditionFailed,
    RegistryError,
    UploadUnknown,
)
from zotpy.core.media_types import OCI_IMAGE
from zotpy.core.names import RepositoryName, Tag
from zotpy.core.preconditions import Condition
from zotpy.core.ranges import Span
from zotpy.core.units import KIB
from zotpy.memory.budget import MemoryBudget
from zotpy.registry.registry import Registry, open_registry
from zotpy.settings import Settings, UploadSettings
from zotpy.store.interface import Body, Features, Part, Stored, StoreUnavailable
from zotpy.store.memory_store import MemoryStore

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

REPO = RepositoryName.parse("team/app")
OTHER = RepositoryName.parse("team/other")
PART = 64 * KIB
SETTINGS = Settings(upload=UploadSettings(part_size_bytes=PART, parts_in_flight=3))
NO_CONDITIONS = Features(conditional_create=False, conditional_replace=False, conditional_delete=False)


async def replica(store: MemoryStore) -> Registry:
    """Start a replica: all that it has is the store."""
    return await open_registry(store, SETTINGS, MemoryBudget(2**20, 2 * PART))


class pieces:  # noqa: N801 - read as a verb
    """Content as a client sends it. With `cut` the client leaves at the end."""

    def __init__(self, content: bytes, size: int = 10_000, *, cut: bool = False) -> None:
        """Send `content` in pieces of `size`."""
        self._pieces = iter([content[start : start + size] for start in range(0, len(content), size)])
        self._cut = cut

    def __aiter__(self) -> AsyncIterator[bytes]:
        """Send it once."""
        return self

    async def __anext__(self) -> bytes:
        """Send the next piece."""
        await trio.lowlevel.checkpoint()
        for piece in self._pieces:
            return piece
        if self._cut:
            msg = "gone"
            raise ClientStalled(msg)
        raise StopAsyncIteration


async def content_of(registry: Registry, digest: Digest) -> bytes:
    """Pull a blob."""
    value = await registry.blobs.find(REPO, digest)
    async with registry.blobs.open(value, Span(0, value.size_bytes)) as chunks:
        return b"".join([chunk async for chunk in chunks])


def leftovers(store: MemoryStore) -> list[str]:
    """Name what a request that failed should not have left."""
    kinds = ("data/", "uploads/", "entries/", "leases/")
    return [key for key in store.objects if key.startswith(kinds)] + list(store.multiparts)


class ParkedStore(MemoryStore):
    """Stops one operation where a test wants it, until the test lets it go on."""

    def __init__(self) -> None:
        """Park nothing yet."""
        super().__init__()
        self.parked: Callable[[str, str], bool] = lambda _operation, _key: False
        self.arrived = trio.Event()
        self.go_on = trio.Event()

    async def _pass(self, operation: str, key: str) -> None:
        if self.parked(operation, key):
            self.parked = lambda _operation, _key: False
            self.arrived.set()
            await self.go_on.wait()

    async def put(self, key: str, body: Body, *, if_none_match: bool = False, if_match: str | None = None) -> Stored:
        """Put, after the pause."""
        await self._pass("put", key)
        return await super().put(key, body, if_none_match=if_none_match, if_match=if_match)

    async def delete(self, key: str, *, if_match: str | None = None) -> None:
        """Delete, after the pause."""
        await self._pass("delete", key)
        await super().delete(key, if_match=if_match)


@pytest.mark.parametrize("features", [None, NO_CONDITIONS], ids=["conditions", "none"])
@pytest.mark.parametrize("size", [1, 64 * KIB, 64 * KIB + 1, 3 * PART, 5 * PART + 77])
async def test_each_request_of_an_upload_may_reach_another_replica(features: Features | None, size: int) -> None:
    """POST, every PATCH and the PUT go to replicas in turn, and the blob is right."""
    store = MemoryStore(features=features)
    replicas = [await replica(store) for _ in range(3)]
    content = os.urandom(size)
    digest = Digest.of(content)
    session = replicas[0].uploads.begin(REPO, "sha256")
    for turn, start in enumerate(range(0, size, 50_000)):
        chunk = content[start : start + 50_000]
        session = await replicas[turn % 3].uploads.chunk(session, pieces(chunk), None, len(chunk))
    await replicas[1].uploads.finish(session, digest, pieces(b""), None, 0)
    assert await content_of(replicas[2], digest) == content
    assert not [key for key in store.objects if key.startswith("uploads/")]
    assert store.multiparts == {}


async def test_a_cut_chunk_is_gone_on_with_at_another_replica() -> None:
    """What came before the cut is safe: the status says how much, and the rest may go anywhere."""
    store = MemoryStore()
    first, second = await replica(store), await replica(store)
    content = os.urandom(4 * PART)
    session = first.uploads.begin(REPO, "sha256")
    with pytest.raises(ClientStalled):
        await first.uploads.chunk(session, pieces(content[: 3 * PART - 5], cut=True), None, None)
    session = await second.uploads.status(session)
    assert session.token.offset == 3 * PART - 5
    rest = content[session.token.offset :]
    await second.uploads.finish(session, Digest.of(content), pieces(rest), None, len(rest))
    assert await content_of(first, Digest.of(content)) == content
    assert first.budget.used_bytes == second.budget.used_bytes == 0


async def test_of_two_chunks_for_one_place_one_wins_and_the_other_is_told_where_to_go_on() -> None:
    """Two replicas take a chunk each for the same upload at the same moment; the blob is the winner's."""
    store = ParkedStore()
    first, second = await replica(store), await replica(store)
    mine, theirs = os.urandom(2 * PART + 1), os.urandom(2 * PART + 1)
    session = first.uploads.begin(REPO, "sha256")
    store.parked = lambda operation, key: operation == "put" and key.startswith("uploads/")
    refused: list[ChunkOutOfOrder] = []

    async def late() -> None:
        try:
            await first.uploads.chunk(session, pieces(mine), None, None)
        except ChunkOutOfOrder as error:
            refused.append(error)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(late)
        await store.arrived.wait()
        after = await second.uploads.chunk(session, pieces(theirs), None, None)
        store.go_on.set()
    assert [error.offset for error in refused] == [len(theirs)]
    await first.uploads.finish(after, Digest.of(theirs), pieces(b""), None, 0)
    assert await content_of(second, Digest.of(theirs)) == theirs
    assert store.multiparts == {}


async def test_two_last_chunks_of_one_upload_never_make_a_wrong_blob() -> None:
    """Two replicas finish the same upload with different last bytes: each digest that exists has its own bytes."""
    store = MemoryStore()
    first, second = await replica(store), await replica(store)
    shared, one, two = os.urandom(2 * PART + 1), os.urandom(100), os.urandom(100)
    session = await first.uploads.chunk(first.uploads.begin(REPO, "sha256"), pieces(shared), None, None)
    digests = {Digest.of(shared + one): shared + one, Digest.of(shared + two): shared + two}

    async def finish(registry: Registry, last: bytes) -> None:
        try:
            await registry.uploads.finish(session, Digest.of(shared + last), pieces(last), None, None)
        except RegistryError:
            return

    await gather(partial(finish, first, one), partial(finish, second, two))
    for digest, content in digests.items():
        try:
            assert await content_of(first, digest) == content
        except BlobUnknown:
            continue


@pytest.mark.parametrize("size", [10, 2 * PART + 1])
async def test_a_wrong_digest_leaves_nothing_behind(size: int) -> None:
    """A blob that is not what the client said is refused, and no byte of it stays."""
    store = MemoryStore()
    registry = await replica(store)
    session = registry.uploads.begin(REPO, "sha256")
    with pytest.raises(DigestInvalid):
        await registry.uploads.finish(session, Digest.of(b"else"), pieces(os.urandom(size)), None, None)
    assert leftovers(store) == []
    assert registry.budget.used_bytes == 0


async def test_a_store_that_fails_in_the_middle_leaves_nothing_behind() -> None:
    """A part that cannot be sent ends the upload: no multipart, no state, no memory."""

    class FailingStore(MemoryStore):
        async def put_part(self, key: str, multipart_id: str, number: int, body: Body) -> Part:
            if number == 3:
                msg = "down"
                raise StoreUnavailable(msg)
            return await super().put_part(key, multipart_id, number, body)

    store = FailingStore()
    registry = await replica(store)
    content = os.urandom(6 * PART)
    for run in (
        lambda session: registry.uploads.finish(session, Digest.of(content), pieces(content), None, None),
        lambda session: registry.uploads.chunk(session, pieces(content), None, None),
    ):
        action: Callable[..., Awaitable[object]] = run
        with pytest.raises(StoreUnavailable):
            await action(registry.uploads.begin(REPO, "sha256"))
    assert leftovers(store) == []
    assert registry.budget.used_bytes == 0


async def test_a_cancelled_upload_is_not_brought_back_by_a_chunk_under_way() -> None:
    """A chunk that was received while the upload was cancelled elsewhere is refused."""
    store = ParkedStore()
    first, second = await replica(store), await replica(store)
    session = await first.uploads.chunk(first.uploads.begin(REPO, "sha256"), pieces(b"x" * 100), None, None)
    store.parked = lambda operation, key: operation == "put" and key.startswith("uploads/")
    ended: list[RegistryError] = []

    async def late() -> None:
        try:
            await first.uploads.chunk(session, pieces(b"y" * 100), None, None)
        except RegistryError as error:
            ended.append(error)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(late)
        await store.arrived.wait()
        await second.uploads.cancel(session)
        store.go_on.set()
    assert [type(error) for error in ended] == [UploadUnknown]
    with pytest.raises(UploadUnknown):
        await second.uploads.status(session)


async def test_a_put_whose_answer_was_lost_is_answered_when_it_comes_again() -> None:
    """The same PUT sent twice is a success twice, at any replica."""
    store = MemoryStore()
    first, second = await replica(store), await replica(store)
    content = os.urandom(PART * 3)
    session = await first.uploads.chunk(first.uploads.begin(REPO, "sha256"), pieces(content), None, None)
    await first.uploads.finish(session, Digest.of(content), pieces(b""), None, 0)
    await second.uploads.finish(session, Digest.of(content), pieces(b""), None, 0)
    assert await content_of(second, Digest.of(content)) == content


async def test_known_content_is_stored_once() -> None:
    """Content that another repository has already is named, not kept again, whether pushed or mounted."""
    store = MemoryStore()
    registry = await replica(store)
    for size in (PART, 3 * PART):
        content = os.urandom(size + 1)
        digest = Digest.of(content)
        for repo in (REPO, OTHER):
            await registry.uploads.finish(registry.uploads.begin(repo, "sha256"), digest, pieces(content), None, None)
        third = RepositoryName.parse("else/where")
        assert await registry.mounts.mount(third, digest, None) is not None
        assert await registry.mounts.mount(RepositoryName.parse("x"), digest, OTHER) is not None
    assert len([key for key in store.objects if key.startswith("data/")]) == 2
    assert store.multiparts == {}


async def test_sha512_learnt_at_the_last_request_is_checked_against_the_stored_bytes() -> None:
    """A digest of another algorithm than was hashed is checked all the same, right or wrong."""
    store = MemoryStore()
    registry = await replica(store)
    content = os.urandom(3 * PART)
    for wanted, is_right in ((Digest.of(content, "sha512"), True), (Digest.of(b"no", "sha512"), False)):
        begun = registry.uploads.begin(REPO, "sha256")
        session = await registry.uploads.chunk(begun, pieces(content), None, None)
        if is_right:
            await registry.uploads.finish(session, wanted, pieces(b""), None, 0)
            assert await content_of(registry, wanted) == content
        else:
            with pytest.raises(DigestInvalid):
                await registry.uploads.finish(session, wanted, pieces(b""), None, 0)
            with pytest.raises(BlobUnknown):
                await registry.blobs.find(REPO, wanted)


def image(*digests: Digest) -> bytes:
    """Write a manifest of these blobs, the first as its config."""
    described = [{"mediaType": "application/x", "digest": str(digest), "size": 1} for digest in digests]
    document = {"schemaVersion": 2, "mediaType": OCI_IMAGE, "config": described[0], "layers": described[1:]}
    return json.dumps(document).encode()


async def pushed_blob(registry: Registry, content: bytes) -> Digest:
    """Push a blob."""
    digest = Digest.of(content)
    await registry.uploads.finish(registry.uploads.begin(REPO, "sha256"), digest, pieces(content), None, None)
    return digest


async def test_a_manifest_with_missing_content_names_all_of_it_and_writes_nothing() -> None:
    """Every absent digest is named, and the bucket is as it was."""
    store = MemoryStore()
    registry = await replica(store)
    there = await pushed_blob(registry, b"there")
    absent = [Digest.of(b"1"), Digest.of(b"2")]
    before = set(store.objects)
    with pytest.raises(ManifestBlobUnknown) as caught:
        await registry.manifests.push(REPO, Tag("v1"), image(there, *absent), None)
    assert set(caught.value.digests) == {str(digest) for digest in absent}
    assert set(store.objects) == before


async def test_two_hundred_tags_at_once_are_all_there() -> None:
    """Tags pushed at the same moment through two replicas are listed by both."""
    store = MemoryStore()
    replicas = [await replica(store), await replica(store)]
    manifest = image(await pushed_blob(replicas[0], b"config"))
    names = [f"v{number:03}" for number in range(200)]
    pushes = [
        partial(replicas[turn % 2].manifests.push, REPO, Tag(name), manifest, None) for turn, name in enumerate(names)
    ]
    await gather(*pushes, limit=200)
    for registry in replicas:
        assert (await registry.lists.tags(REPO, None, "")).names == names


async def test_of_create_only_pushes_of_one_tag_one_wins() -> None:
    """However many push `If-None-Match: *` at once, one creates the tag, and it names that one's manifest."""
    store = MemoryStore()
    replicas = [await replica(store), await replica(store)]
    manifests = [image(await pushed_blob(replicas[0], bytes([number]))) for number in range(10)]
    winners: list[bytes] = []

    async def push(turn: int, manifest: bytes) -> None:
        try:
            condition = Condition.absent()
            await replicas[turn % 2].manifests.push(REPO, Tag("v1"), manifest, None, condition=condition)
        except PreconditionFailed:
            return
        winners.append(manifest)

    await gather(*[partial(push, turn, manifest) for turn, manifest in enumerate(manifests)])
    assert len(winners) == 1
    assert (await replicas[1].manifests.find(REPO, Tag("v1"))).value.content == winners[0]


async def test_a_push_that_overtakes_the_delete_of_its_manifest_is_whole() -> None:
    """A manifest pushed again while it is being deleted keeps its record, its tag and the tag's marker."""
    store = ParkedStore()
    first, second = await replica(store), await replica(store)
    manifest = image(await pushed_blob(first, b"config"))
    digest = (await first.manifests.push(REPO, Tag("v1"), manifest, None)).digest
    store.parked = lambda operation, key: operation == "delete" and key.startswith("tags/")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(first.manifests.delete, REPO, digest)
        await store.arrived.wait()
        await second.manifests.push(REPO, Tag("v1"), manifest, None)
        store.go_on.set()
    assert (await first.manifests.find(REPO, Tag("v1"))).digest == digest
    assert (await first.manifests.find(REPO, digest)).value.content == manifest
    await first.manifests.delete(REPO, digest)
    assert (await first.lists.tags(REPO, None, "")).names == []


async def test_a_wrong_digest_does_not_take_the_data_of_a_right_one() -> None:
    """Of two PUTs that end one upload alike, one with a wrong sha512, the right one's blob stays whole."""
    store = MemoryStore()
    first, second = await replica(store), await replica(store)
    content = os.urandom(3 * PART)
    session = await first.uploads.chunk(first.uploads.begin(REPO, "sha256"), pieces(content), None, None)

    async def finish(registry: Registry, digest: Digest) -> None:
        try:
            await registry.uploads.finish(session, digest, pieces(b""), None, 0)
        except RegistryError:
            return

    await gather(partial(finish, first, Digest.of(b"x", "sha512")), partial(finish, second, Digest.of(content)))
    try:
        value = await first.blobs.find(REPO, Digest.of(content))
    except BlobUnknown:
        return
    assert f"data/{value.data_id}" in store.objects
