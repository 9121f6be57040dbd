"""Data: gone in two steps, when two listings of all leases agree, with nobody on the way to it in between."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

import pytest
import trio

from tests.unit.collector.support import DEADLINE_S, GRACE_S, Bucket
from tests.unit.registry.support import OTHER, REPO, content, keys_below, pull
from zotpy.bucket.reliance import Reliance
from zotpy.core import keys
from zotpy.core.digests import Digest
from zotpy.core.record_values import BlobValue
from zotpy.store.interface import StoreUnavailable

if TYPE_CHECKING:
    from zotpy.store.faulty import Moment

SOON_S = 2 * DEADLINE_S + 1


@pytest.fixture
async def bucket() -> Bucket:
    """Return a bucket with a config in it."""
    return await Bucket.open()


async def retire(bucket: Bucket) -> Digest:
    """Push a large blob and let it become unnamed and retired."""
    digest = await bucket.push_large()
    bucket.clock.advance(GRACE_S + 1)
    assert (await bucket.collect()).data_retired == 1
    return digest


async def test_data_goes_two_deadlines_after_it_was_retired(bucket: Bucket) -> None:
    """Not in the run that finds it unnamed, not before everybody who may know of it has given up; then it goes."""
    await retire(bucket)
    assert keys_below(bucket.store, keys.HINTS) == []
    bucket.clock.advance(2 * DEADLINE_S)
    assert (await bucket.collect()).data_deleted == 0
    bucket.clock.advance(1)
    summary = await bucket.collect()
    assert (summary.data_deleted, summary.data_deleted_bytes) == (1, len(content(200_000)))
    assert bucket.data == []
    assert keys_below(bucket.store, keys.RETIRED) == []


async def test_data_that_is_named_again_stays(bucket: Bucket) -> None:
    """A lease that the first listing missed, from a push that was on its way, is seen by the second."""
    digest = await retire(bucket)
    [data_id] = bucket.data
    await bucket.registry.blobs.records.write(OTHER, "blobs", digest, BlobValue(200_000, data_id), Reliance(60))
    bucket.clock.advance(SOON_S)
    summary = await bucket.collect()
    assert (summary.data_deleted, summary.data_retired) == (0, 0)
    assert keys_below(bucket.store, keys.RETIRED) == []
    assert await pull(bucket.registry, digest, OTHER) == content(200_000)


async def test_a_note_from_too_long_ago_counts_for_nothing(bucket: Bucket) -> None:
    """Between it and now data may have been named and unnamed again: it is retired anew."""
    await retire(bucket)
    bucket.clock.advance(GRACE_S)
    summary = await bucket.collect()
    assert (summary.data_deleted, summary.data_retired, summary.notes_void) == (0, 1, 1)
    bucket.clock.advance(SOON_S)
    assert (await bucket.collect()).data_deleted == 1


async def test_a_collector_that_slept_through_the_grace_deletes_nothing(bucket: Bucket) -> None:
    """A second listing that ended a grace after the first had begun proves nothing."""
    await retire(bucket)
    bucket.clock.advance(SOON_S)
    parked = bucket.script.park("before", "list", keys.RETIRED)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(lambda: bucket.collect(store=bucket.slow))
        await parked.reached.wait()
        bucket.clock.advance(GRACE_S)
        parked.go_on.set()
    assert len(bucket.data) == 1


async def test_a_note_written_late_counts_from_its_listing(bucket: Bucket) -> None:
    """A collector that paused for hours before its note has written a void one."""
    await bucket.push_large()
    bucket.clock.advance(GRACE_S + 1)
    parked = bucket.script.park("before", "put", keys.RETIRED)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(lambda: bucket.collect(store=bucket.slow))
        await parked.reached.wait()
        bucket.clock.advance(GRACE_S)
        parked.go_on.set()
    bucket.clock.advance(SOON_S)
    assert (await bucket.collect()).data_deleted == 0


@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize("operation", ["put", "delete"])
async def test_a_run_that_breaks_off_is_finished_by_the_next(bucket: Bucket, operation: str, moment: Moment) -> None:
    """Whatever a run had done when it was killed, later ones do the rest."""
    await bucket.push_large()
    bucket.clock.advance(GRACE_S + 1)
    bucket.script.fail(moment, operation, keys.RETIRED, StoreUnavailable("down"))
    for _ in range(5):
        with suppress(StoreUnavailable):
            await bucket.collect(store=bucket.slow)
        bucket.clock.advance(SOON_S)
    bucket.clock.advance(GRACE_S)
    await bucket.collect()
    assert bucket.data == []
    assert keys_below(bucket.store, keys.RETIRED) == []
    assert bucket.script.steps == []


async def test_a_hint_that_came_after_its_data_had_gone_is_deleted(bucket: Bucket) -> None:
    """A client that was suspended behind its lease writes it when it goes on; the hints of data that exists stay."""
    gone, [data_id], hints = await retire(bucket), bucket.data, bucket.registry.mounts.hints
    there = await bucket.push_large(2)
    bucket.clock.advance(SOON_S)
    assert (await bucket.collect()).data_deleted == 1
    await hints.write(gone, data_id, 200_000)
    dry = await bucket.collect(dry_run=True)
    assert (dry.hints_deleted, len(keys_below(bucket.store, keys.HINTS))) == (1, 2)
    assert (await bucket.collect()).hints_deleted == 1
    assert len(keys_below(bucket.store, keys.HINTS)) == 1
    assert (await hints.find(there, Reliance(60))) is not None


async def test_the_hint_of_named_data_stays(bucket: Bucket) -> None:
    """A push elsewhere finds the data of a blob in use, however often the collector ran, and its own bytes go."""
    digest = await bucket.push_large()
    await bucket.push_image(digest)
    await bucket.collect_until_clean()
    await bucket.push_large(repo=OTHER)
    assert len(bucket.data) == 1
    assert await pull(bucket.registry, digest, OTHER) == content(200_000)


async def test_a_push_that_read_the_hint_before_it_went_is_safe(bucket: Bucket) -> None:
    """A request that found data by its hint writes a lease within the deadline, and the data stays."""
    digest = await bucket.push_large()
    bucket.clock.advance(GRACE_S + 1)
    older = await bucket.registry.mounts.hints.find(digest, Reliance(60))
    assert older is not None
    await bucket.collect()
    bucket.clock.advance(DEADLINE_S)
    await bucket.registry.blobs.records.write(OTHER, "blobs", digest, older, Reliance(60))
    await bucket.collect_until_clean(passes=1)
    assert await pull(bucket.registry, digest, OTHER) == content(200_000)


async def test_leases_of_the_first_release_are_read(bucket: Bucket) -> None:
    """Where a lease's key does not say which data it keeps, the lease does."""
    digest = await bucket.push_large()
    [lease] = keys_below(bucket.store, keys.leases(REPO, "blobs", digest))
    bucket.store.objects[lease.partition("-")[0]] = bucket.store.objects.pop(lease)
    await bucket.push_image(digest)
    await bucket.collect_until_clean()
    assert await pull(bucket.registry, digest) == content(200_000)


async def test_two_copies_pushed_at_once_both_go(bucket: Bucket) -> None:
    """Each of two data objects of one digest is found by its own lease."""
    digest = Digest.of(content(200_000))
    for data_id in ("a" * 32, "b" * 32):
        await bucket.store.put(keys.data(data_id), content(200_000))
        await bucket.registry.blobs.records.write(REPO, "blobs", digest, BlobValue(200_000, data_id), Reliance(60))
    bucket.clock.advance(GRACE_S + 1)
    await bucket.push_image(digest)
    await bucket.collect()
    assert len(bucket.data) == 2
    await bucket.registry.blobs.delete(REPO, digest)
    await bucket.collect_until_clean()
    assert bucket.data == []
