"""Entries of small blobs that are their own leases: one call makes a blob exist, and nothing acknowledged is lost."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import pytest
import trio

from tests.unit.registry.support import NO_CONDITIONS, REPO, Clock, Script, keys_below
from zotpy.bucket.records import Records
from zotpy.bucket.reliance import Reliance
from zotpy.core import keys
from zotpy.core.digests import Digest
from zotpy.core.errors import TryAgain
from zotpy.core.framing import frame, unframe
from zotpy.core.record_values import BlobValue, decode_entry
from zotpy.settings import GcSettings
from zotpy.store.faulty import FaultyStore
from zotpy.store.interface import StoreUnavailable
from zotpy.store.memory_store import MemoryStore

if TYPE_CHECKING:
    from tests.calls import CallLog

GRACE_S, DEADLINE_S = 1000.0, 60.0
SETTINGS = GcSettings(grace_s=GRACE_S, deadline_s=DEADLINE_S)
BODY = b"the content"
DIGEST = Digest.of(BODY)
BLOB = BlobValue(len(BODY), None, BODY)
LARGE = BlobValue(200_000, keys.new_id())
ENTRY = keys.entry(REPO, "blobs", DIGEST)


@pytest.fixture
def records(log: CallLog) -> Records:
    """Return the records of a bucket whose entries may be their own leases."""
    return Records(log, SETTINGS, has_own_leases=True)


@pytest.fixture
def slow(memory: MemoryStore, script: Script) -> Records:
    """Return the records as a replica sees them whose store follows the script."""
    return Records(FaultyStore(memory, script), SETTINGS, has_own_leases=True)


async def write(records: Records) -> None:
    """Make the blob exist."""
    await records.write(REPO, "blobs", DIGEST, BLOB, Reliance(DEADLINE_S))


async def rely(records: Records) -> BlobValue | None:
    """Rely on the blob."""
    return await records.rely_on_blob(REPO, DIGEST, Reliance(DEADLINE_S))


async def test_a_small_blob_is_one_object(records: Records, memory: MemoryStore) -> None:
    """Its entry holds the bytes, says that it is its own lease, and is as old as the store says."""
    await write(records)
    assert keys_below(memory, "") == [ENTRY]
    entry = decode_entry("blobs", memory.objects[ENTRY].body)
    assert (entry.value, entry.is_own_lease, entry.lease, entry.until) == (BLOB, True, None, None)
    assert await records.read(REPO, "blobs", DIGEST) == BLOB


@pytest.mark.parametrize("has_conditions", [True, False])
async def test_others_have_leases(clock: Clock, *, has_conditions: bool) -> None:
    """Large blobs, as their leases protect their data; and all where releases or the store do not know better."""
    memory = MemoryStore(clock, None if has_conditions else NO_CONDITIONS)
    records = Records(memory, SETTINGS, has_own_leases=not has_conditions)
    await write(records)
    assert len(keys_below(memory, keys.leases(REPO, "blobs", DIGEST))) == 1
    records = Records(memory, SETTINGS, has_own_leases=True)
    await records.write(REPO, "blobs", Digest.of(b"large"), LARGE, Reliance(DEADLINE_S))
    assert len(keys_below(memory, keys.leases(REPO, "blobs", Digest.of(b"large")))) == 1


async def test_it_is_relied_on_until_half_the_grace(records: Records, log: CallLog, clock: Clock) -> None:
    """One GET; when it is older, it is written anew once, which makes it young."""
    await write(records)
    for seconds, expected in ((GRACE_S / 2 - 1, 1), (1, 2), (1, 1), (GRACE_S / 2 - 2, 1), (1, 2)):
        clock.advance(seconds)
        with log.counted() as calls:
            assert await rely(records) == BLOB
        assert len(calls) == expected, str(calls)


async def test_what_it_was_read_at_is_what_a_request_relies_on(records: Records, clock: Clock) -> None:
    """What a manifest's push writes must follow within a deadline of the reading, or of the renewal."""
    await write(records)
    for age_s in (0.0, GRACE_S):
        clock.advance(age_s)
        reliance = Reliance(DEADLINE_S)
        await records.rely(REPO, "blobs", DIGEST, reliance)
        assert reliance.since == clock()


async def test_one_that_exists_is_left_as_it_is(records: Records, log: CallLog, memory: MemoryStore) -> None:
    """A young one with the same bytes is as good as what the push would write."""
    await write(records)
    before = memory.objects[ENTRY].etag
    with log.counted() as calls:
        await write(records)
    assert [call.operation for call in calls.made] == ["put", "get"]
    assert memory.objects[ENTRY].etag == before


@pytest.mark.parametrize(
    "there",
    [
        b"?",
        frame({"v": 1, "size": 3, "lease": "own"}, b"abc"),
        frame({"v": 1, "size": len(BODY), "lease": "own"}, b"THE CONTENT"),
        frame({"v": 1, "size": len(BODY), "until": 1.0, "lease": "own"}, BODY),
        BLOB.encode(),
        frame({"v": 1, "size": len(BODY), "data": keys.new_id(), "lost": True}),
    ],
    ids=["no entry", "other length", "other bytes", "late", "without a lease", "lost"],
)
async def test_what_does_not_hold_it_is_replaced(records: Records, memory: MemoryStore, there: bytes) -> None:
    """A push heals what is damaged, late, or protects nothing."""
    await memory.put(ENTRY, there)
    await write(records)
    assert decode_entry("blobs", memory.objects[ENTRY].body).is_own_lease
    assert await rely(records) == BLOB


async def test_an_old_one_gets_young_by_a_push(records: Records, memory: MemoryStore, clock: Clock) -> None:
    """Each writing differs, so that a collector that has listed the old one does not delete the new one."""
    await write(records)
    listed = memory.objects[ENTRY].etag
    clock.advance(GRACE_S)
    await write(records)
    assert memory.objects[ENTRY].etag != listed
    assert memory.objects[ENTRY].last_modified == clock()


async def test_a_push_after_a_delete_brings_it_back(records: Records, memory: MemoryStore) -> None:
    """It takes the place of the tombstone, and belongs to its epoch."""
    await write(records)
    assert await records.delete(REPO, "blobs", DIGEST)
    assert await rely(records) is None
    epoch = unframe(memory.objects[ENTRY].body)[0]["epoch"]
    await write(records)
    assert await rely(records) == BLOB
    assert decode_entry("blobs", memory.objects[ENTRY].body).epoch == epoch


async def test_a_renewal_does_not_bring_back_what_was_deleted(
    slow: Records, records: Records, script: Script, clock: Clock
) -> None:
    """A request that read the blob before its DELETE finds that it is gone when it renews it."""
    await write(records)
    clock.advance(GRACE_S)
    parked = script.park("before", "put", ENTRY)
    found: list[BlobValue | None] = []

    async def rely_slowly() -> None:
        found.append(await rely(slow))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(rely_slowly)
        await parked.reached.wait()
        await records.delete(REPO, "blobs", DIGEST)
        parked.go_on.set()
    assert found == [None]
    assert await rely(records) is None


async def test_two_pushes_at_once_are_both_done(slow: Records, records: Records, script: Script) -> None:
    """The one that comes second finds what the first has written."""
    parked = script.park("before", "put", ENTRY)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(write, slow)
        await parked.reached.wait()
        await write(records)
        parked.go_on.set()
    assert await rely(records) == BLOB


async def test_a_push_whose_answer_is_lost_is_repeated(slow: Records, records: Records, script: Script) -> None:
    """The second attempt finds what the first has written."""
    script.fail("after", "put", ENTRY, StoreUnavailable("no answer"))
    with pytest.raises(StoreUnavailable):
        await write(slow)
    await write(slow)
    assert await rely(records) == BLOB


async def test_a_record_of_an_older_release_is_renewed_in_place(
    records: Records, log: CallLog, memory: MemoryStore, clock: Clock
) -> None:
    """Its entry becomes its own lease; the old leases are left to the collector."""
    await write(Records(memory, SETTINGS))
    leases = keys_below(memory, keys.LEASES)
    clock.advance(GRACE_S)
    with log.counted() as calls:
        assert await rely(records) == BLOB
    assert [call.key for call in calls.of("put")] == [ENTRY]
    assert decode_entry("blobs", memory.objects[ENTRY].body).is_own_lease
    assert keys_below(memory, keys.LEASES) == leases


async def test_a_record_that_has_lost_its_entry_is_renewed_by_a_lease(
    records: Records, memory: MemoryStore, clock: Clock
) -> None:
    """A renewal creates no entry that is its own lease: late, it could bring back what was deleted meanwhile."""
    await write(Records(memory, SETTINGS))
    del memory.objects[ENTRY]
    clock.advance(GRACE_S)
    assert await rely(records) == BLOB
    assert len(keys_below(memory, keys.LEASES)) == 2
    assert not decode_entry("blobs", memory.objects[ENTRY].body).is_own_lease


async def test_releases_that_do_not_know_it_renew_it(records: Records, memory: MemoryStore) -> None:
    """To them it is an entry that names no lease: a replica without them writes one, and does not fail."""
    await write(records)
    header, _ = unframe(memory.objects[ENTRY].body)
    assert not isinstance(header["lease"], dict)
    older = Records(memory, SETTINGS)
    assert await older.read(REPO, "blobs", DIGEST) == BLOB


async def test_what_replaces_a_blob_is_never_late(
    slow: Records, records: Records, script: Script, clock: Clock
) -> None:
    """A renewal that takes effect long after its request gave up leaves the blob that others rely on."""
    await write(records)
    clock.advance(GRACE_S / 2)
    parked = script.park("before", "put", ENTRY)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(partial(rely, slow))
        await parked.reached.wait()
        clock.advance(GRACE_S)
        parked.go_on.set()
    assert await records.read(REPO, "blobs", DIGEST) == BLOB


async def test_one_that_is_overtaken_again_and_again_ends_in_try_again(memory: MemoryStore, records: Records) -> None:
    """Others delete the blob before each attempt."""

    async def overtake(moment: str, operation: str, key: str) -> None:
        if (moment, operation, key) == ("before", "put", ENTRY):
            memory.objects.pop(ENTRY, None)
            await records.entries.bury(REPO, "blobs", DIGEST, await records.look(REPO, "blobs", DIGEST))

    with pytest.raises(TryAgain, match="try again"):
        await write(Records(FaultyStore(memory, overtake), SETTINGS, has_own_leases=True))
