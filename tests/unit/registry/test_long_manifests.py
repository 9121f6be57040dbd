"""Long manifests, and tags that hold them, are read whole only where all of their bytes are wanted."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from tests.unit.registry.support import REPO, Clock, open_replica, push
from tests.unit.registry.test_manifests import V1, V2, descriptor
from zotpy.bucket.long_reads import BEGINNING_BYTES
from zotpy.core import keys
from zotpy.core.digests import Digest
from zotpy.core.errors import ManifestUnknown, TooManyRequests
from zotpy.core.media_types import OCI_IMAGE, OCI_INDEX
from zotpy.core.names import Tag
from zotpy.core.preconditions import Condition
from zotpy.core.units import MIB
from zotpy.store.memory_store import MemoryStore

if TYPE_CHECKING:
    from zotpy.registry.manifest_reads import FoundManifest
    from zotpy.registry.registry import Registry
    from zotpy.store.interface import Fetched

GRACE_S = 24 * 3600.0


class Weighed(MemoryStore):
    """Counts the bytes that are read, and how many were the longest object."""

    read_bytes = 0
    longest_bytes = 0

    async def find(self, key: str, *, most_bytes: int | None = None) -> Fetched | None:
        """See `Store`."""
        if (fetched := await super().find(key, most_bytes=most_bytes)) is None:
            return None
        self.read_bytes += len(fetched.body)
        self.longest_bytes = max(self.longest_bytes, len(fetched.body))
        return fetched


class Holding:
    """Room for as many bytes as a test gives."""

    def __init__(self, free_bytes: int) -> None:
        """Hold nothing."""
        self.free_bytes = free_bytes
        self.held_bytes = 0

    async def hold(self, size_bytes: int) -> None:
        """See `Room`."""
        if self.held_bytes + size_bytes > self.free_bytes:
            msg = "no room"
            raise TooManyRequests(msg)
        self.held_bytes += size_bytes


def long_image(config: Digest) -> bytes:
    """Write an image of a mebibyte."""
    document = {"schemaVersion": 2, "mediaType": OCI_IMAGE, "config": descriptor(config), "layers": []}
    return json.dumps(document | {"annotations": {"note": "x" * MIB}}).encode()


async def opened(clock: Clock | None = None) -> tuple[Registry, Weighed, bytes]:
    """Return a replica with a long image that two tags name, and its store, of which nothing was read yet."""
    store = Weighed(clock or Clock())
    registry = await open_replica(store, grace_s=GRACE_S, manifest_limit_bytes=2 * MIB)
    content = long_image(await push(registry, b"{}"))
    for tag in (V1, V2):
        await registry.manifests.push(REPO, tag, content, OCI_IMAGE)
    store.read_bytes = store.longest_bytes = 0
    return registry, store, content


@pytest.mark.parametrize("by_tag", [True, False])
async def test_what_a_head_tells_is_in_the_beginning(*, by_tag: bool) -> None:
    """Digest, media type and length are told by one short read."""
    registry, store, content = await opened()
    found: FoundManifest = await registry.manifests.stat(REPO, V1 if by_tag else Digest.of(content))
    assert (found.digest, found.size_bytes, found.value.media_type) == (Digest.of(content), len(content), OCI_IMAGE)
    assert store.read_bytes <= BEGINNING_BYTES


@pytest.mark.parametrize("by_tag", [True, False])
async def test_a_long_manifest_is_read_when_there_is_room_for_it(*, by_tag: bool) -> None:
    """Its length is held before its bytes come; without room there are none."""
    registry, store, content = await opened()
    reference = V1 if by_tag else Digest.of(content)
    with pytest.raises(TooManyRequests):
        await registry.manifests.find(REPO, reference, Holding(MIB))
    assert store.longest_bytes <= BEGINNING_BYTES
    room = Holding(2 * MIB)
    assert (await registry.manifests.find(REPO, reference, room)).value.content == content
    assert len(content) <= room.held_bytes == store.longest_bytes


async def test_a_long_manifest_without_its_entry_is_held_as_well() -> None:
    """It is read from a lease then."""
    registry, store, content = await opened()
    del store.objects[keys.entry(REPO, "manifests", Digest.of(content))]
    room = Holding(2 * MIB)
    assert (await registry.manifests.find(REPO, Digest.of(content), room)).value.content == content
    assert room.held_bytes >= len(content)


async def test_an_index_of_long_manifests_reads_only_their_beginnings() -> None:
    """Whether a child is there, and may be relied on, stands in its first line."""
    registry, store, content = await opened()
    child = descriptor(Digest.of(content)) | {"mediaType": OCI_IMAGE}
    index = json.dumps({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [child]}).encode()
    await registry.manifests.push(REPO, Tag("index"), index, OCI_INDEX)
    assert store.longest_bytes <= BEGINNING_BYTES


async def test_a_long_manifest_is_renewed_whole() -> None:
    """A child whose lease is old is written again with all of its bytes."""
    clock = Clock()
    registry, _, content = await opened(clock)
    clock.advance(0.6 * GRACE_S)
    child = descriptor(Digest.of(content)) | {"mediaType": OCI_IMAGE}
    index = json.dumps({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [child]}).encode()
    await registry.manifests.push(REPO, Tag("index"), index, OCI_INDEX)
    assert (await registry.manifests.find(REPO, Digest.of(content))).value.content == content


async def test_tags_of_long_manifests_are_moved_and_deleted_by_their_beginnings() -> None:
    """A condition, a DELETE of a tag, and the tags of a deleted manifest need no more than what they name."""
    registry, store, content = await opened()
    digest = Digest.of(content)
    await registry.manifests.push(REPO, V1, content, OCI_IMAGE, condition=Condition.names(digest))
    await registry.manifests.delete_tag(REPO, V2)
    assert store.longest_bytes <= BEGINNING_BYTES
    room = Holding(2 * MIB)
    await registry.manifests.delete(REPO, digest, room=room)
    assert store.longest_bytes == room.held_bytes >= len(content)
    for reference in (V1, V2, digest):
        with pytest.raises(ManifestUnknown):
            await registry.manifests.find(REPO, reference)
