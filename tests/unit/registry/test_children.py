"""Children of an index whose media type does not say what they are: blobs, or manifests."""

from __future__ import annotations

import json

import pytest

from tests.unit.collector.retention.support import DELAY_S, UNTAGGED, Kept
from tests.unit.collector.support import Bucket
from tests.unit.inspection.test_checking import look
from tests.unit.registry.support import REPO, open_replica, pull, push
from tests.unit.registry.test_manifests import V1, V2, descriptor, image
from zotpy.core.digests import Digest
from zotpy.core.errors import ManifestBlobUnknown
from zotpy.core.media_types import OCI_IMAGE, OCI_INDEX
from zotpy.store.memory_store import MemoryStore

UNFAMILIAR = ["application/json", "application/vnd.cncf.manifest-config+json", "text/plain", None]
CHILD = image(note="child")
BLOB = b"a blob"


def listing(media_type: str | None, *digests: Digest) -> bytes:
    """Write an index that lists these by a media type."""
    children = [descriptor(digest) | {"mediaType": media_type} for digest in digests]
    if media_type is None:
        children = [{name: value for name, value in child.items() if name != "mediaType"} for child in children]
    return json.dumps({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": children}).encode()


async def filled() -> Bucket:
    """Return a bucket with a manifest and a blob that has the digest of none."""
    bucket = await Bucket.open()
    await push(bucket.registry, b"{}")
    await push(bucket.registry, BLOB)
    await bucket.registry.manifests.push(REPO, Digest.of(CHILD), CHILD, OCI_IMAGE)
    return bucket


@pytest.mark.parametrize("media_type", UNFAMILIAR)
async def test_what_is_there_is_found_by_any_type(media_type: str | None) -> None:
    """An index of a manifest and a blob is accepted, whatever types it gives them, and fsck finds nothing missing."""
    bucket = await filled()
    content = listing(media_type, Digest.of(CHILD), Digest.of(BLOB))
    await bucket.registry.manifests.push(REPO, V1, content, OCI_INDEX)
    assert (await look(bucket)).problems == []


@pytest.mark.parametrize("media_type", UNFAMILIAR)
async def test_what_is_not_there_is_named_once(media_type: str | None) -> None:
    """Where neither kind is there the push is refused, unless sparse indexes are allowed; fsck tells it."""
    bucket = await filled()
    missing = Digest.of(b"missing")
    content = listing(media_type, Digest.of(CHILD), missing)
    with pytest.raises(ManifestBlobUnknown) as refused:
        await bucket.registry.manifests.push(REPO, V1, content, OCI_INDEX)
    assert refused.value.digests == (str(missing),)
    sparse = await open_replica(bucket.store, sparse=True)
    await sparse.manifests.push(REPO, V1, content, OCI_INDEX)
    assert (await look(bucket, sparse=True)).problems == []
    [problem] = (await look(bucket)).problems
    assert str(missing) in problem.what


async def test_a_known_type_is_no_guess() -> None:
    """A blob is no image: no client could pull it as the manifest that the index says it is."""
    registry = await open_replica(MemoryStore())
    blob = await push(registry, BLOB)
    with pytest.raises(ManifestBlobUnknown):
        await registry.manifests.push(REPO, V2, listing(OCI_IMAGE, blob), OCI_INDEX)


@pytest.mark.parametrize("media_type", UNFAMILIAR)
async def test_what_an_index_lists_by_any_type_is_not_collected(media_type: str | None) -> None:
    """Neither as unnamed content, nor by a retention rule, even if the index has it as its subject."""
    kept = await Kept.open()
    child, blob = Digest.of(CHILD), await push(kept.bucket.registry, BLOB)
    await kept.bucket.registry.manifests.push(REPO, child, CHILD, OCI_IMAGE)
    document = json.loads(listing(media_type, child, blob)) | {"subject": descriptor(child)}
    await kept.bucket.registry.manifests.push(REPO, V1, json.dumps(document).encode(), OCI_INDEX)
    for _ in range(6):
        kept.bucket.clock.advance(DELAY_S)
        await kept.collect(UNTAGGED)
    assert await kept.has(child)
    assert await pull(kept.bucket.registry, blob) == BLOB
