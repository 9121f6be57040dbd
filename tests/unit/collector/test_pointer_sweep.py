"""Names that lead nowhere: markers, referrers, catalog entries."""

from __future__ import annotations

import pytest
import trio

from tests.unit.collector.support import GRACE_S, Bucket
from tests.unit.registry.support import NO_CONDITIONS, REPO, keys_below, push
from tests.unit.registry.test_manifests import CONFIG, SUBJECT, V1, image, referrers_of
from zotpy.core import keys
from zotpy.core.digests import Digest
from zotpy.core.errors import ManifestUnknown
from zotpy.core.media_types import OCI_IMAGE
from zotpy.core.names import Tag
from zotpy.store.interface import Features, StoreUnavailable


@pytest.fixture
async def bucket() -> Bucket:
    """Return a bucket with a config in it."""
    return await Bucket.open()


async def test_markers_of_a_tag_that_moved_on_go(bucket: Bucket) -> None:
    """Of many manifests that a tag has named, only the last keeps its marker, and a DELETE of it takes the tag."""
    for note in ("1", "2"):
        await bucket.push_image(note=note)
    digest = await bucket.push_image(note="3")
    bucket.clock.advance(GRACE_S + 1)
    assert (await bucket.collect()).markers_deleted == 2
    await bucket.registry.manifests.delete(REPO, digest)
    with pytest.raises(ManifestUnknown):
        await bucket.registry.manifests.find(REPO, V1)


async def test_markers_of_a_deleted_tag_go(bucket: Bucket) -> None:
    """The manifest stays."""
    digest = await bucket.push_image()
    await bucket.registry.manifests.delete_tag(REPO, V1)
    bucket.clock.advance(GRACE_S + 1)
    assert (await bucket.collect()).markers_deleted == 1
    assert (await bucket.registry.manifests.find(REPO, digest)).digest == digest


@pytest.mark.parametrize("features", [None, NO_CONDITIONS], ids=["conditions", "no-conditions"])
async def test_a_tag_pushed_while_its_marker_is_swept_keeps_one(features: Features | None) -> None:
    """A DELETE of the manifest still finds the tag."""
    bucket = await Bucket.open(features)
    digest = await bucket.push_image()
    await bucket.registry.manifests.delete_tag(REPO, V1)
    bucket.clock.advance(GRACE_S + 1)
    parked = bucket.script.park("before", "delete", keys.TAGGED)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(lambda: bucket.collect(store=bucket.slow))
        await parked.reached.wait()
        await bucket.push_image()
        parked.go_on.set()
    await bucket.registry.manifests.delete(REPO, digest)
    with pytest.raises(ManifestUnknown):
        await bucket.registry.manifests.find(REPO, V1)


async def test_a_referrer_that_a_broken_delete_left_goes(bucket: Bucket) -> None:
    """Its descriptor is listed no more; those of manifests that are there stay."""
    gone, kept = image(subject=SUBJECT, note="gone"), image(subject=SUBJECT, note="kept")
    for content in (gone, kept):
        await bucket.registry.manifests.push(REPO, Digest.of(content), content, OCI_IMAGE)
    descriptor = keys.referrer(REPO, SUBJECT, Digest.of(gone))
    bucket.store.objects["spare"] = bucket.store.objects[descriptor]
    await bucket.registry.manifests.delete(REPO, Digest.of(gone))
    bucket.store.objects[descriptor] = bucket.store.objects.pop("spare")
    bucket.clock.advance(GRACE_S + 1)
    assert (await bucket.collect()).referrers_deleted == 1
    assert await referrers_of(bucket.registry) == [str(Digest.of(kept))]


async def test_a_tag_that_a_broken_delete_left_goes(bucket: Bucket) -> None:
    """It is deleted with what its manifest's tombstone hides. A tag that names another manifest by then stays."""
    digest = await bucket.push_image(tag="left")
    await bucket.push_image(tag="moved")
    tags = {tag: bucket.store.objects[keys.tag(REPO, tag)] for tag in (Tag("left"), Tag("moved"))}
    await bucket.registry.manifests.delete(REPO, digest)
    for tag, stored in tags.items():
        bucket.store.objects[keys.tag(REPO, tag)] = stored
    other = await bucket.push_image(tag="moved", note="other")
    bucket.clock.advance(GRACE_S + 1)
    assert (await bucket.collect()).tags_deleted == 1
    with pytest.raises(ManifestUnknown):
        await bucket.registry.manifests.find(REPO, Tag("left"))
    assert (await bucket.registry.manifests.find(REPO, Tag("moved"))).digest == other


@pytest.mark.parametrize("features", [None, NO_CONDITIONS], ids=["conditions", "no-conditions"])
async def test_a_tag_pushed_again_while_its_manifest_goes_stays(features: Features | None) -> None:
    """A push that comes back in the middle of the collection keeps the manifest and the tag."""
    bucket = await Bucket.open(features)
    digest = await bucket.push_image()
    stored = bucket.store.objects[keys.tag(REPO, V1)]
    await bucket.registry.manifests.delete(REPO, digest)
    bucket.store.objects[keys.tag(REPO, V1)] = stored
    bucket.clock.advance(GRACE_S + 1)
    parked = bucket.script.park("after", "get", keys.tag(REPO, V1))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(lambda: bucket.collect(store=bucket.slow))
        await parked.reached.wait()
        await push(bucket.registry, CONFIG)
        assert await bucket.push_image() == digest
        parked.go_on.set()
    assert (await bucket.registry.manifests.find(REPO, V1)).digest == digest
    assert (await bucket.registry.manifests.find(REPO, digest)).digest == digest


async def test_an_empty_repository_leaves_the_catalog(bucket: Bucket) -> None:
    """One in which something is left stays."""
    await bucket.push_image()
    digest = await bucket.push_image(repo=REPO, tag="other", note="other")
    assert (await bucket.registry.lists.catalog(None, "")).names == ["team/app"]
    await bucket.registry.manifests.delete(REPO, digest)
    await bucket.collect_until_clean()
    assert (await bucket.registry.lists.catalog(None, "")).names == ["team/app"]
    await bucket.registry.manifests.delete(REPO, Digest.of(image()))
    await bucket.collect_until_clean()
    assert (await bucket.registry.lists.catalog(None, "")).names == []


@pytest.mark.parametrize("features", [None, NO_CONDITIONS], ids=["conditions", "no-conditions"])
async def test_a_repository_pushed_to_while_it_is_taken_out_of_the_catalog_stays(features: Features | None) -> None:
    """Of the push and the collector the push wins."""
    bucket = await Bucket.open(features)
    await bucket.registry.manifests.delete(REPO, await bucket.push_image())
    bucket.clock.advance(GRACE_S + 1)
    parked = bucket.script.park("before", "delete", keys.REPOS)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(lambda: bucket.collect(store=bucket.slow))
        await parked.reached.wait()
        await push(bucket.registry, CONFIG)
        await bucket.push_image()
        parked.go_on.set()
    assert (await bucket.registry.lists.catalog(None, "")).names == ["team/app"]


async def test_a_lost_catalog_entry_comes_back(bucket: Bucket) -> None:
    """A repository with manifests and no marker gets one."""
    await bucket.push_image()
    await bucket.store.delete(keys.repository(REPO))
    await bucket.collect()
    assert (await bucket.registry.lists.catalog(None, "")).names == ["team/app"]


async def test_a_store_that_fails_ends_the_run_with_its_error(bucket: Bucket) -> None:
    """Nothing is swallowed: the operator and the timer see it."""
    await bucket.push_image()
    bucket.script.fail("before", "list", keys.all_of(keys.TAGGED, REPO), StoreUnavailable("down"))
    with pytest.raises(StoreUnavailable):
        await bucket.collect(store=bucket.slow)
    assert keys_below(bucket.store, keys.TAGGED) != []
