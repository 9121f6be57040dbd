"""`du`: what is shared counts once, what was deleted does not count, what nobody names is the collector's."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from tests.unit.collector.support import GRACE_S, LARGE, Bucket
from tests.unit.registry.support import OTHER, REPO, push
from zotpy.core import keys
from zotpy.core.digests import Digest
from zotpy.inspection.usage import Usage, measure

if TYPE_CHECKING:
    from zotpy.inspection.usage import RepositoryUsage

LEAST, MOST = 10, 1000
"""Bytes of all small records of a repository here."""


async def measured(bucket: Bucket) -> dict[str, RepositoryUsage]:
    """Measure a bucket, by the names of its repositories."""
    return {each.name: each for each in (await whole(bucket)).repositories}


async def whole(bucket: Bucket) -> Usage:
    """Measure a bucket."""
    return await measure(bucket.store, lambda _: None)


async def test_an_empty_bucket_takes_nothing() -> None:
    """There is nothing to measure."""
    bucket = await Bucket.open()
    bucket.store.objects.clear()
    assert (await whole(bucket)).as_dict() == {
        "repositories": [],
        "logical_bytes": 0,
        "stored_bytes": 0,
        "unnamed_bytes": 0,
    }


async def test_what_two_repositories_share_is_stored_once() -> None:
    """Each has all of it logically; exclusive is what only one has."""
    bucket = await Bucket.open()
    shared, own = await bucket.push_large(1), await bucket.push_large(2)
    await bucket.registry.mounts.mount(OTHER, shared, REPO)
    await bucket.push_image(shared, own)
    usage = await measured(bucket)
    one, other = usage["team/app"], usage["team/other"]
    assert (one.manifests, one.tags, one.blobs) == (1, 1, 3)
    assert (other.manifests, other.tags, other.blobs) == (0, 0, 1)
    assert LEAST < one.logical_bytes - 2 * LARGE < MOST
    assert LEAST < one.exclusive_bytes - LARGE < MOST
    assert (other.logical_bytes, other.exclusive_bytes) == (LARGE, 0)
    total = await whole(bucket)
    assert total.logical_bytes == one.logical_bytes + other.logical_bytes
    assert total.stored_bytes == total.logical_bytes - LARGE
    assert total.unnamed_bytes == 0
    json.dumps(total.as_dict())


async def test_renewals_count_once() -> None:
    """A record of many leases is one."""
    bucket = await Bucket.open()
    for _ in range(3):
        await push(bucket.registry, b"small")
    [usage] = (await whole(bucket)).repositories
    assert usage.blobs == 2
    assert usage.logical_bytes < MOST


async def test_what_was_deleted_does_not_count() -> None:
    """Until the collector has run, its bytes are stored, and its repository's while leases name them; then nobody's."""
    bucket = await Bucket.open()
    blob = await bucket.push_large()
    digest = await bucket.push_image(blob)
    await bucket.registry.manifests.delete(REPO, digest)
    await bucket.registry.blobs.delete(REPO, blob)
    usage = (await measured(bucket))["team/app"]
    assert (usage.manifests, usage.tags, usage.blobs) == (0, 0, 1)
    assert usage.logical_bytes < MOST
    bucket.clock.advance(GRACE_S + 1)
    await bucket.collect()
    assert (await whole(bucket)).unnamed_bytes == LARGE
    assert (await whole(bucket)).stored_bytes >= LARGE


async def test_keys_that_are_not_the_registrys_are_left_out() -> None:
    """Such as files that a copying program left half written: the rest is measured."""
    bucket = await Bucket.open()
    await bucket.push_large()
    before = (await whole(bucket)).as_dict()
    for key in [key for key in bucket.store.objects if key.startswith((keys.LEASES, keys.ENTRIES))]:
        await bucket.store.put(key.replace("!/blobs/sha256/", "!/blobs/sha256/copy-"), b"?")
    assert (await whole(bucket)).as_dict() == before


async def test_repositories_come_in_the_order_of_their_names() -> None:
    """Nested ones too."""
    bucket = await Bucket.open()
    await bucket.registry.mounts.mount(OTHER, Digest.of(b"{}"), REPO)
    assert [each.name for each in (await whole(bucket)).repositories] == ["team/app", "team/other"]
