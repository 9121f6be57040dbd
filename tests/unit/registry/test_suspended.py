"""A replica that was suspended between reading and writing: the store's clock tells, its own may have stopped."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import pytest
import trio

from tests.unit.collector.support import DEADLINE_S, GRACE_S, Bucket
from tests.unit.registry.support import OTHER, PART_BYTES, REPO, content, keys_below, open_replica, pull, push, sent
from tests.unit.registry.test_manifests import CONFIG, image
from zotpy.bucket import reliance
from zotpy.bucket.pointers import Pointers
from zotpy.bucket.reliance import Reliance
from zotpy.bucket.tags import Tags
from zotpy.core import keys
from zotpy.core.digests import Digest
from zotpy.core.errors import BlobUnknown, ManifestBlobUnknown, ManifestUnknown, RegistryError, TooLate
from zotpy.core.media_types import OCI_IMAGE
from zotpy.core.names import Tag
from zotpy.core.record_values import BlobValue, ManifestValue
from zotpy.inspection.checking import Checker

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from zotpy.registry.registry import Registry

BODY = content(PART_BYTES - 1000)
DIGEST = Digest.of(BODY)
V1 = Tag("v1")
HALF_DAYS = 26 * GRACE_S / 24 / 2


@pytest.fixture
async def bucket() -> Bucket:
    """Return a bucket with a config in it, in which collections may run."""
    return await Bucket.open()


async def slow_replica(bucket: Bucket) -> Registry:
    """Open a replica that stops where the script says; its own clock stands still."""
    return await open_replica(bucket.slow, grace_s=GRACE_S, deadline_s=DEADLINE_S)


async def suspended_at(bucket: Bucket, operation: str, prefix: str, request: Callable[[], Awaitable[object]]) -> object:
    """Do a request that is suspended before such a call for 26 hours (of 24 that are the grace), while others collect.

    Returns its answer, or how it was refused.
    """
    answers: list[object] = []

    async def run() -> None:
        try:
            answers.append(await request())
        except RegistryError as error:
            answers.append(error)

    async with trio.open_nursery() as nursery:
        parked = bucket.script.park("before", operation, prefix)
        nursery.start_soon(run)
        await parked.reached.wait()
        for seconds in (2 * DEADLINE_S, HALF_DAYS, HALF_DAYS, 3 * DEADLINE_S, 3 * DEADLINE_S):
            bucket.clock.advance(seconds)
            await bucket.collect()
        parked.go_on.set()
    return answers[0]


async def old_blob(bucket: Bucket) -> None:
    """Have a large blob in the other repository that nothing names any more, and that will soon be collected."""
    await push(bucket.registry, BODY, OTHER)
    bucket.clock.advance(GRACE_S - DEADLINE_S)


@pytest.mark.parametrize("prefix", [keys.LEASES, keys.entry(REPO, "blobs", DIGEST)])
async def test_a_mount_is_not_acknowledged_on_a_hint_that_is_too_old(bucket: Bucket, prefix: str) -> None:
    """Between hint and lease, or lease and entry, the data is collected: there is nothing to mount any more."""
    await old_blob(bucket)
    replica = await slow_replica(bucket)
    answer = await suspended_at(bucket, "put", prefix, partial(replica.mounts.mount, REPO, DIGEST, None))
    if answer is not None:
        assert await pull(bucket.registry, DIGEST) == BODY
    else:
        with pytest.raises(BlobUnknown):
            await bucket.registry.blobs.find(REPO, DIGEST)


@pytest.mark.parametrize("prefix", [keys.LEASES, keys.entry(REPO, "blobs", DIGEST)])
async def test_a_push_does_not_name_an_older_copy_that_is_gone(bucket: Bucket, prefix: str) -> None:
    """The bytes that the client has sent are stored when the older copy has been collected meanwhile."""
    await old_blob(bucket)
    replica = await slow_replica(bucket)
    answer = await suspended_at(bucket, "put", prefix, partial(push, replica, BODY))
    assert answer == DIGEST
    assert await pull(bucket.registry, DIGEST) == BODY


@pytest.mark.parametrize("prefix", [keys.LEASES, keys.ENTRIES])
async def test_new_data_that_no_lease_named_for_long_is_stored_again(bucket: Bucket, prefix: str) -> None:
    """Between the data and its lease, or the lease and its entry, the data is collected: it is stored again."""
    replica = await slow_replica(bucket)
    assert await suspended_at(bucket, "put", prefix, partial(push, replica, BODY)) == DIGEST
    assert await pull(bucket.registry, DIGEST) == BODY


@pytest.mark.parametrize("prefix", [keys.LEASES, keys.ENTRIES])
async def test_kept_bytes_are_not_named_when_they_are_too_old(bucket: Bucket, prefix: str) -> None:
    """A PUT that was suspended before it named what its PATCH kept is refused; the client can begin again."""
    replica = await slow_replica(bucket)
    session = await replica.uploads.chunk(replica.uploads.begin(REPO, "sha256"), sent(BODY), None, len(BODY))
    finish = partial(replica.uploads.finish, session, DIGEST, sent(b""), None, 0)
    answer = await suspended_at(bucket, "put", prefix, finish)
    assert isinstance(answer, RegistryError)
    with pytest.raises(BlobUnknown):
        await bucket.registry.blobs.find(REPO, DIGEST)
    await push(bucket.registry, BODY)
    assert await pull(bucket.registry, DIGEST) == BODY


async def test_a_head_whose_renewal_comes_too_late_looks_again(bucket: Bucket) -> None:
    """A HEAD that was suspended before it wrote a lease finds that the blob was deleted."""
    await push(bucket.registry, BODY)
    bucket.clock.advance(GRACE_S / 2 + 1)
    replica = await slow_replica(bucket)
    answer = await suspended_at(bucket, "put", keys.LEASES, partial(replica.blobs.stat, REPO, DIGEST))
    assert isinstance(answer, BlobUnknown)
    with pytest.raises(BlobUnknown):
        await bucket.registry.blobs.find(REPO, DIGEST)


async def test_a_head_does_not_answer_with_what_was_read_before_a_suspension(
    bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If the host tells that it was suspended since the record was read, the record is read again."""
    now_s = 0.0
    monkeypatch.setattr(reliance, "local_s", lambda: now_s)
    await push(bucket.registry, BODY)
    replica = await slow_replica(bucket)
    async with trio.open_nursery() as nursery:
        parked = bucket.script.park("after", "get", keys.entry(REPO, "blobs", DIGEST))

        async def ask() -> None:
            with pytest.raises(BlobUnknown):
                await replica.blobs.stat(REPO, DIGEST)

        nursery.start_soon(ask)
        await parked.reached.wait()
        await bucket.registry.blobs.delete(REPO, DIGEST)
        now_s = 2 * DEADLINE_S
        parked.go_on.set()


@pytest.mark.parametrize("reference", [V1, None])
async def test_a_manifest_is_not_acknowledged_when_its_layers_have_gone(bucket: Bucket, reference: Tag | None) -> None:
    """Between the checks of what it needs and its lease the layers are collected: it names those that are missing."""
    await push(bucket.registry, BODY)
    await push(bucket.registry, CONFIG)
    replica = await slow_replica(bucket)
    manifest = image(DIGEST)
    request = partial(replica.manifests.push, REPO, reference or Digest.of(manifest), manifest, OCI_IMAGE)
    answer = await suspended_at(bucket, "put", keys.LEASES, request)
    assert isinstance(answer, ManifestBlobUnknown)
    with pytest.raises(ManifestUnknown):
        await bucket.registry.manifests.find(REPO, reference or Digest.of(manifest))


async def test_a_tag_written_late_for_a_manifest_that_was_deleted_leads_nowhere(bucket: Bucket) -> None:
    """The manifest is deleted and collected while its push is suspended before the tag; the tag is collected later."""
    await push(bucket.registry, BODY)
    await push(bucket.registry, CONFIG)
    replica = await slow_replica(bucket)
    manifest = image(DIGEST)
    digest = Digest.of(manifest)

    async def request() -> object:
        return await replica.manifests.push(REPO, V1, manifest, OCI_IMAGE)

    async with trio.open_nursery() as nursery:
        parked = bucket.script.park("before", "put", keys.TAGS)
        stopped = bucket.script.park("before", "get", keys.entry(REPO, "blobs", DIGEST))
        stopped.go_on.set()
        nursery.start_soon(request)
        await parked.reached.wait()
        await bucket.registry.manifests.delete(REPO, digest)
        for seconds in (GRACE_S + 1, 3 * DEADLINE_S, GRACE_S + 1, 3 * DEADLINE_S):
            bucket.clock.advance(seconds)
            await bucket.collect()
        killed = bucket.script.park("before", "get", keys.entry(REPO, "blobs", DIGEST))
        parked.go_on.set()
        await killed.reached.wait()  # it begins again, and is killed
        nursery.cancel_scope.cancel()
    assert keys_below(bucket.store, keys.tags(REPO)) == [keys.tag(REPO, V1)]
    with pytest.raises(ManifestUnknown):
        await bucket.registry.manifests.find(REPO, V1)
    bucket.clock.advance(GRACE_S + 1)
    await bucket.collect()
    assert keys_below(bucket.store, keys.tags(REPO)) == []


async def test_a_lease_and_an_entry_that_came_too_late_are_none(bucket: Bucket) -> None:
    """Nobody relies on them, `fsck` does not mind, and the collector deletes them."""
    records, value = bucket.registry.blobs.records, BlobValue(len(BODY), "0" * 32)
    reliance = Reliance(DEADLINE_S, bucket.clock())
    bucket.clock.advance(2 * DEADLINE_S)
    with pytest.raises(TooLate):
        await records.write(REPO, "blobs", DIGEST, value, reliance)
    assert len(keys_below(bucket.store, keys.leases(REPO, "blobs", DIGEST))) == 1
    early = Reliance(DEADLINE_S)
    lease = await records.leases.write(OTHER, "blobs", DIGEST, value, early)
    await bucket.store.delete_many(keys_below(bucket.store, keys.leases(OTHER, "blobs", DIGEST)))
    bucket.clock.advance(2 * DEADLINE_S)
    with pytest.raises(TooLate):
        await records.entries.write(OTHER, "blobs", DIGEST, value, lease)
    for repo in (REPO, OTHER):
        assert await records.rely_on_blob(repo, DIGEST, Reliance(DEADLINE_S)) is None
        assert await records.read_blob(repo, DIGEST) is None
    assert (await Checker(bucket.store).run()).problems == []
    bucket.clock.advance(GRACE_S + 1)
    await bucket.collect()
    assert keys_below(bucket.store, keys.leases(REPO, "blobs", DIGEST)) == []
    assert keys_below(bucket.store, keys.entry(OTHER, "blobs", DIGEST)) == []


@pytest.mark.parametrize("is_deleted", [True, False])
async def test_a_late_entry_leaves_the_record_as_it_was(bucket: Bucket, is_deleted: bool) -> None:  # noqa: FBT001
    """Over a tombstone it counts as the tombstone, though its lease came in time; else the leases decide."""
    await push(bucket.registry, CONFIG)
    records, value = bucket.registry.blobs.records, ManifestValue(OCI_IMAGE, image())
    digest = Digest.of(value.content)
    await Pointers(bucket.store, Tags(bucket.store)).mark_repository(REPO)
    await records.write(REPO, "manifests", digest, value, Reliance(DEADLINE_S))
    if is_deleted:
        assert await records.delete(REPO, "manifests", digest)
    seen = await records.entries.look(REPO, "manifests", digest)
    assert seen.is_tombstone == is_deleted
    lease = await records.leases.write(REPO, "manifests", digest, value, Reliance(DEADLINE_S, bucket.clock()))
    bucket.clock.advance(2 * DEADLINE_S)
    with pytest.raises(TooLate):
        await records.entries.replace(REPO, "manifests", digest, seen, value, lease)
    assert await records.read_manifest(REPO, digest) == (None if is_deleted else value)
    assert (await records.rely(REPO, "manifests", digest, Reliance(DEADLINE_S)) is None) == is_deleted
    assert (await Checker(bucket.store).run()).problems == []
    bucket.clock.advance(GRACE_S + 1)
    await bucket.collect()
    left = keys_below(bucket.store, keys.leases(REPO, "manifests", digest))
    assert (left == []) == is_deleted
    assert (keys_below(bucket.store, keys.entry(REPO, "manifests", digest)) == []) == is_deleted
    assert await records.delete(REPO, "manifests", digest) is not is_deleted


async def test_a_hint_that_came_late_is_not_followed(bucket: Bucket) -> None:
    """It may have come after the collector looked for hints, and the data may go at any moment."""
    await push(bucket.registry, BODY, OTHER)
    assert await bucket.registry.mounts.hints.find(DIGEST, Reliance(DEADLINE_S)) is not None
    [hint] = keys_below(bucket.store, keys.HINTS)
    bucket.clock.advance(GRACE_S)
    await bucket.store.put(hint, b"late")
    assert await bucket.registry.mounts.hints.find(DIGEST, Reliance(DEADLINE_S)) is None
