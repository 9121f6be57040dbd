"""Notes of the mirror are deleted once they are too old to count, and what a mirrored manifest names stays."""

from __future__ import annotations

from tests.unit.collector.support import Bucket
from tests.unit.registry.support import REPO, keys_below, push
from tests.unit.registry.test_manifests import V1, image
from zotpy.collector.mirror_sweep import LONGEST_S
from zotpy.core import keys
from zotpy.core.digests import Digest
from zotpy.core.media_types import OCI_IMAGE
from zotpy.core.names import Tag


async def test_old_notes_are_deleted_and_young_ones_stay() -> None:
    """A dry run deletes none."""
    bucket = await Bucket.open()
    await bucket.store.put(keys.mirror_check(REPO, V1), b"old")
    await bucket.store.put(keys.mirror_copy(Digest.of(b""), "a"), b"old")
    await bucket.store.put(keys.mirror_run(Digest.of(b"")), b"")
    bucket.clock.advance(LONGEST_S + 60)
    await bucket.store.put(keys.mirror_check(REPO, Tag("young")), b"young")
    await bucket.collect(dry_run=True)
    assert len(keys_below(bucket.store, keys.MIRROR)) == 4
    await bucket.collect()
    assert keys_below(bucket.store, keys.MIRROR) == [keys.mirror_check(REPO, Tag("young"))]


async def test_blobs_that_come_after_their_manifest_stay() -> None:
    """A manifest of an upstream is kept before its blobs come, and each of them is needed from then on."""
    bucket = await Bucket.open()
    layer = Digest.of(b"layer")
    manifests = bucket.registry.manifests
    await manifests.keep(await manifests.accept(REPO, V1, image(layer), OCI_IMAGE))
    for _ in range(3):
        bucket.clock.advance(LONGEST_S)
        await bucket.collect()
    await push(bucket.registry, b"layer")
    other = await push(bucket.registry, b"not named")
    for _ in range(3):
        bucket.clock.advance(LONGEST_S)
        await bucket.collect()
    found = await bucket.registry.manifests.find(REPO, V1)
    assert found.value.is_mirrored
    assert await bucket.registry.blobs.records.read_blob(REPO, layer) is not None
    assert await bucket.registry.blobs.records.read_blob(REPO, other) is None
