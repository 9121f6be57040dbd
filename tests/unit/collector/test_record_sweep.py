"""Records: what manifests need stays, the rest goes once it is old enough, by exactly what was listed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import trio

from tests.unit.collector.support import GRACE_S, Bucket
from tests.unit.registry.support import NO_CONDITIONS, OTHER, REPO, keys_below, pull, push
from tests.unit.registry.test_manifests import CONFIG, image, index
from zotpy.core import keys
from zotpy.core.digests import Digest
from zotpy.core.errors import BlobUnknown, ManifestUnknown
from zotpy.core.media_types import OCI_IMAGE, OCI_INDEX
from zotpy.core.record_values import BlobValue
from zotpy.store.interface import StoreUnavailable
from zotpy.store.memory_store import MemoryStore

if TYPE_CHECKING:
    from zotpy.store.faulty import Moment
    from zotpy.store.interface import Features

SMALL = b"a small layer"


@pytest.fixture(params=[False, True], ids=["own-leases", "leases"])
def is_older(request: pytest.FixtureRequest) -> bool:
    """Return whether small blobs have leases, as in buckets of older releases."""
    return bool(request.param)


@pytest.fixture
async def bucket(is_older: bool) -> Bucket:  # noqa: FBT001
    """Return a bucket with a config in it."""
    return await Bucket.open(is_older=is_older)


async def test_what_manifests_need_stays_for_ever(bucket: Bucket) -> None:
    """Tagged or not, small or large, and through an index: what was pushed can be pulled after any number of runs."""
    large, small = await bucket.push_large(), await push(bucket.registry, SMALL)
    child = image(large, note="child")
    await bucket.registry.manifests.push(REPO, Digest.of(child), child, OCI_IMAGE)
    parent = index(Digest.of(child))
    await bucket.registry.manifests.push(REPO, Digest.of(parent), parent, OCI_INDEX)
    tagged = await bucket.push_image(small)
    await bucket.collect_until_clean()
    for digest in (Digest.of(child), Digest.of(parent), tagged):
        await bucket.registry.manifests.find(REPO, digest)
    assert len(await pull(bucket.registry, large)) > 0
    assert await pull(bucket.registry, small) == SMALL


async def test_a_blob_that_no_manifest_names_goes_after_the_grace(bucket: Bucket, is_older: bool) -> None:  # noqa: FBT001
    """Until a lease is older than the grace its blob stays, however often the collector runs; then it goes whole."""
    blob = await push(bucket.registry, SMALL)
    await bucket.push_image()
    bucket.clock.advance(GRACE_S)
    assert (await bucket.collect()).records_deleted == 0
    assert await pull(bucket.registry, blob) == SMALL
    bucket.clock.advance(1)
    summary = await bucket.collect()
    assert (summary.records_deleted, summary.leases_deleted) == (1, int(is_older))
    with pytest.raises(BlobUnknown):
        await pull(bucket.registry, blob)
    assert [key for key in bucket.left if blob.hex in key] == []


async def test_a_blob_belongs_to_each_repository_by_itself(bucket: Bucket) -> None:
    """What a manifest names in one repository goes in another that has no use for it, and its data stays."""
    large = await bucket.push_large()
    assert await bucket.registry.mounts.mount(OTHER, large, REPO) is not None
    await bucket.push_image(large)
    await bucket.collect_until_clean()
    assert len(await pull(bucket.registry, large)) > 0
    with pytest.raises(BlobUnknown):
        await bucket.registry.blobs.find(OTHER, large)


async def test_what_is_relied_on_is_safe_for_another_grace(bucket: Bucket, is_older: bool) -> None:  # noqa: FBT001
    """A HEAD renews an old lease, so that the push that it spared finds its blob; the old lease goes."""
    blob = await push(bucket.registry, SMALL)
    bucket.clock.advance(GRACE_S)
    await bucket.registry.blobs.stat(REPO, blob)
    bucket.clock.advance(GRACE_S)
    await bucket.collect()
    assert await pull(bucket.registry, blob) == SMALL
    assert len(keys_below(bucket.store, keys.leases(REPO, "blobs", blob))) == int(is_older)


async def test_manifests_are_read_only_where_something_is_old_enough(bucket: Bucket) -> None:
    """A repository whose blobs are all young costs listings alone."""
    await bucket.push_image()
    assert (await bucket.collect()).manifests_read == 0
    bucket.clock.advance(GRACE_S + 1)
    assert (await bucket.collect()).manifests_read == 1


async def test_a_deleted_manifest_goes_with_all_that_only_it_needed(bucket: Bucket) -> None:
    """After a DELETE and some runs nothing is left of the manifest, its tombstone, blobs, markers and repository."""
    digest = await bucket.push_image(await bucket.push_large())
    await bucket.registry.manifests.delete(REPO, digest)
    await bucket.collect_until_clean()
    assert bucket.left == []
    with pytest.raises(ManifestUnknown):
        await bucket.registry.manifests.find(REPO, digest)


async def test_a_tombstone_outlives_what_it_keeps_down(bucket: Bucket) -> None:
    """Leases of a deleted record go before its tombstone: a run that breaks off in between brings nothing back."""
    blob = await push(bucket.registry, SMALL)
    await bucket.registry.blobs.delete(REPO, blob)
    bucket.clock.advance(GRACE_S + 1)
    bucket.script.fail("before", "delete", keys.entry(REPO, "blobs", blob), StoreUnavailable("down"))
    with pytest.raises(StoreUnavailable):
        await bucket.collect(store=bucket.slow)
    assert keys_below(bucket.store, keys.leases(REPO, "blobs", blob)) == []
    with pytest.raises(BlobUnknown):
        await bucket.registry.blobs.find(REPO, blob)
    await bucket.collect()
    assert [key for key in bucket.left if blob.hex in key] == []


@pytest.mark.parametrize("features", [None, NO_CONDITIONS], ids=["conditions", "no-conditions"])
@pytest.mark.parametrize("was_deleted", [False, True])
@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize(("prefix", "of_older"), [(keys.ENTRIES, False), (keys.ENTRIES, True), (keys.LEASES, True)])
async def test_a_record_written_while_it_is_collected_stays(
    features: Features | None, *, was_deleted: bool, moment: Moment, prefix: str, of_older: bool
) -> None:
    """A push in the middle of the deletion of what was there before survives by its own lease."""
    bucket = await Bucket.open(features, is_older=of_older)
    blob = await push(bucket.registry, SMALL)
    await bucket.push_image()
    if was_deleted:
        await bucket.registry.blobs.delete(REPO, blob)
    bucket.clock.advance(GRACE_S + 1)
    parked = bucket.script.park(moment, "delete", prefix)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(lambda: bucket.collect(store=bucket.slow))
        await parked.reached.wait()
        await push(bucket.registry, SMALL)
        parked.go_on.set()
    assert await pull(bucket.registry, blob) == SMALL
    await bucket.registry.blobs.stat(REPO, blob)
    bucket.clock.advance(GRACE_S / 2)
    await bucket.collect()
    assert await pull(bucket.registry, blob) == SMALL


@pytest.mark.parametrize("does", ["push", "head"])
async def test_an_entry_written_between_the_listings_stays(bucket: Bucket, does: str) -> None:
    """What is relied on after its leases were listed, and before its entry was, is still read with one call."""
    blob = await push(bucket.registry, SMALL)
    bucket.clock.advance(GRACE_S + 1)
    parked = bucket.script.park("before", "list", keys.all_of(keys.ENTRIES, REPO))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(lambda: bucket.collect(store=bucket.slow))
        await parked.reached.wait()
        if does == "push":
            await push(bucket.registry, SMALL)
        else:
            await bucket.registry.blobs.stat(REPO, blob)
        parked.go_on.set()
    assert keys.entry(REPO, "blobs", blob) in bucket.left


async def test_a_manifest_that_cannot_be_read_keeps_its_repository(bucket: Bucket) -> None:
    """A damaged manifest may need anything: nothing of its repository goes, others are collected, and it is told."""
    await push(bucket.registry, SMALL)
    digest = await bucket.push_image()
    blob = await push(bucket.registry, SMALL, OTHER)
    await bucket.store.put(keys.entry(REPO, "manifests", digest), b"\0")
    bucket.clock.advance(GRACE_S + 1)
    summary = await bucket.collect()
    assert len(summary.problems) == 1
    assert summary.problems[0].startswith("team/app: ")
    assert await pull(bucket.registry, Digest.of(SMALL)) == SMALL
    with pytest.raises(BlobUnknown):
        await bucket.registry.blobs.find(OTHER, blob)


async def test_a_manifest_whose_entry_is_lost_is_read_from_its_lease(bucket: Bucket) -> None:
    """What it needs stays."""
    blob = await push(bucket.registry, SMALL)
    digest = await bucket.push_image(blob)
    await bucket.store.delete(keys.entry(REPO, "manifests", digest))
    bucket.clock.advance(GRACE_S + 1)
    await bucket.collect()
    assert await pull(bucket.registry, blob) == SMALL


async def test_an_entry_that_is_its_own_lease_goes_only_on_a_condition(bucket: Bucket, is_older: bool) -> None:  # noqa: FBT001
    """A collector for which the store honours none keeps it: a request may renew it at that moment. Leases tell."""
    blob = await push(bucket.registry, SMALL)
    bucket.clock.advance(GRACE_S + 1)
    store = MemoryStore(bucket.clock, NO_CONDITIONS)
    store.objects = bucket.store.objects
    await bucket.collect(store=store)
    assert (keys.entry(REPO, "blobs", blob) in bucket.left) is not is_older
    await bucket.collect()
    assert keys.entry(REPO, "blobs", blob) not in bucket.left


async def test_an_entry_that_an_older_release_left_without_a_lease_goes(bucket: Bucket) -> None:
    """It protects nothing: unless a manifest names it, it goes a grace after it was written."""
    blob = Digest.of(SMALL)
    await bucket.store.put(keys.entry(REPO, "blobs", blob), BlobValue(len(SMALL), None, SMALL).encode())
    bucket.clock.advance(GRACE_S)
    assert (await bucket.collect()).records_deleted == 0
    bucket.clock.advance(1)
    await bucket.collect()
    assert keys.entry(REPO, "blobs", blob) not in bucket.left


async def test_a_digest_that_a_manifest_merely_mentions_is_kept(bucket: Bucket) -> None:
    """Layers that need not be there, such as foreign ones, are kept where they are."""
    blob = await push(bucket.registry, SMALL)
    await bucket.push_image(note=f"made of {blob}")
    bucket.clock.advance(GRACE_S + 1)
    await bucket.collect()
    assert await pull(bucket.registry, blob) == SMALL


async def test_a_dry_run_deletes_nothing_and_tells_the_same(bucket: Bucket) -> None:
    """What a dry run counts is what the next run does."""
    await push(bucket.registry, SMALL)
    await bucket.registry.manifests.delete(REPO, await bucket.push_image(await bucket.push_large()))
    bucket.clock.advance(GRACE_S + 1)
    before = bucket.left
    told = (await bucket.collect(dry_run=True)).as_dict()
    assert bucket.left == before
    done = (await bucket.collect()).as_dict()
    assert done | {"dry_run": True} == told
    assert done["records_deleted"] > 0


async def test_a_second_run_right_after_the_first_does_nothing(bucket: Bucket) -> None:
    """Everything that could be deleted was deleted."""
    await push(bucket.registry, SMALL)
    await bucket.registry.manifests.delete(REPO, await bucket.push_image(await bucket.push_large()))
    bucket.clock.advance(GRACE_S + 1)
    assert (await bucket.collect()).deletions > 0
    before = bucket.left
    second = await bucket.collect()
    assert (second.deletions, second.data_retired, bucket.left) == (0, 0, before)


def test_the_config_is_small() -> None:
    """These tests rely on a config that lives in its record."""
    assert len(CONFIG) < len(SMALL)
