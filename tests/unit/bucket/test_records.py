"""Records: what a lease protects, how a lost entry comes back, and deletions that are overtaken."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import trio

from tests.calls import CallLog
from tests.unit.registry.support import NO_CONDITIONS, OTHER, REPO, Clock, Script, keys_below
from zotpy.bucket.records import Records
from zotpy.bucket.reliance import Reliance
from zotpy.core import keys
from zotpy.core.digests import Digest
from zotpy.core.errors import TryAgain
from zotpy.core.media_types import OCI_IMAGE
from zotpy.core.record_values import BlobValue, ManifestValue
from zotpy.settings import GcSettings
from zotpy.store.faulty import FaultyStore
from zotpy.store.interface import ConditionFailed, StoreUnavailable
from zotpy.store.memory_store import MemoryStore

if TYPE_CHECKING:
    from zotpy.core.keys import Kind
    from zotpy.core.record_values import Value

GRACE_S = 1000.0
SETTINGS = GcSettings(grace_s=GRACE_S)
BODY = b"the content"
DIGEST = Digest.of(BODY)
BLOB = BlobValue(len(BODY), None, BODY)
BOTH_KINDS = pytest.mark.parametrize(
    ("kind", "value"), [("blobs", BLOB), ("manifests", ManifestValue(OCI_IMAGE, BODY))]
)
LEASES = keys.leases(REPO, "blobs", DIGEST)
ENTRY = keys.entry(REPO, "blobs", DIGEST)


@pytest.fixture
def records(log: CallLog) -> Records:
    """Return the records in the store."""
    return Records(log, SETTINGS)


@pytest.fixture
def slow(memory: MemoryStore, script: Script) -> Records:
    """Return the records as a replica sees them whose store follows the script."""
    return Records(FaultyStore(memory, script), SETTINGS)


@BOTH_KINDS
async def test_a_lease_is_relied_on_until_half_the_grace(
    records: Records, log: CallLog, clock: Clock, kind: Kind, value: Value
) -> None:
    """A record is relied on with one GET until its lease is half the grace old; then it is renewed, once."""
    await records.write(REPO, kind, DIGEST, value, Reliance(60))
    for seconds, expected in ((GRACE_S / 2 - 1, 1), (1, 3), (1, 1), (GRACE_S / 2 - 2, 1), (1, 3)):
        clock.advance(seconds)
        with log.counted() as calls:
            assert await records.rely(REPO, kind, DIGEST, Reliance(60)) == value
        assert len(calls) == expected, str(calls)


@BOTH_KINDS
async def test_a_renewal_writes_the_lease_before_the_entry(
    records: Records, log: CallLog, clock: Clock, kind: Kind, value: Value
) -> None:
    """A renewal writes a lease under a new key, and only then the entry, which carries the new lease's time."""
    await records.write(REPO, kind, DIGEST, value, Reliance(60))
    clock.advance(GRACE_S)
    with log.counted() as calls:
        await records.rely(REPO, kind, DIGEST, Reliance(60))
    written = [call.key for call in calls.of("put")]
    assert written[0].startswith(keys.leases(REPO, kind, DIGEST))
    assert written[1:] == [keys.entry(REPO, kind, DIGEST)]
    assert len(await records.leases.find(REPO, kind, DIGEST)) == 2


async def test_a_renewal_whose_entry_is_not_written_is_made_again(
    slow: Records, records: Records, memory: MemoryStore, script: Script, clock: Clock
) -> None:
    """A renewal that fails between lease and entry is not relied on: the next one renews again."""
    await records.write(REPO, "blobs", DIGEST, BLOB, Reliance(60))
    clock.advance(GRACE_S)
    script.fail("before", "put", ENTRY, StoreUnavailable("down"))
    with pytest.raises(StoreUnavailable):
        await slow.rely(REPO, "blobs", DIGEST, Reliance(60))
    assert await records.rely(REPO, "blobs", DIGEST, Reliance(60)) == BLOB
    assert len(keys_below(memory, LEASES)) == 3


@BOTH_KINDS
async def test_a_missing_entry_is_rebuilt_from_the_newest_lease(
    records: Records, memory: MemoryStore, log: CallLog, clock: Clock, kind: Kind, value: Value
) -> None:
    """A record without an entry is read from its leases. A request that relies on it writes the entry."""
    await records.write(REPO, kind, DIGEST, value, Reliance(60))
    clock.advance(1)
    await records.write(REPO, kind, DIGEST, value, Reliance(60))
    del memory.objects[keys.entry(REPO, kind, DIGEST)]
    assert await records.read(REPO, kind, DIGEST) == value
    assert keys.entry(REPO, kind, DIGEST) not in memory.objects
    assert await records.rely(REPO, kind, DIGEST, Reliance(60)) == value
    with log.counted() as calls:
        assert await records.rely(REPO, kind, DIGEST, Reliance(60)) == value
    assert len(calls) == 1, str(calls)


@pytest.mark.parametrize("conditions", [True, False])
async def test_a_blob_without_an_entry_is_relied_on_where_it_may_be_acknowledged(
    log: CallLog, memory: MemoryStore, *, conditions: bool
) -> None:
    """Asked for by its entry alone it is not there, unless a collector without conditions may have taken the entry."""
    if not conditions:
        memory = MemoryStore(features=NO_CONDITIONS)
        log = CallLog(memory)
    records = Records(log, SETTINGS)
    await records.write(REPO, "blobs", DIGEST, BLOB, Reliance(60))
    assert await records.rely_on_blob(REPO, DIGEST, Reliance(60), by_entry_alone=True) == BLOB
    del memory.objects[ENTRY]
    with log.counted() as calls:
        assert await records.rely_on_blob(REPO, DIGEST, Reliance(60), by_entry_alone=True) == (
            None if conditions else BLOB
        )
    assert (len(calls) == 1) is conditions, str(calls)
    assert await records.rely_on_blob(REPO, DIGEST, Reliance(60)) == BLOB
    assert ENTRY in memory.objects


async def test_the_newest_lease_says_where_the_data_is(records: Records, memory: MemoryStore, clock: Clock) -> None:
    """Of leases that name different data, an entry is rebuilt from the newest: the collector keeps that one."""
    for data_id in ("b" * 32, "a" * 32):
        await records.write(REPO, "blobs", DIGEST, BlobValue(10, data_id), Reliance(60))
        clock.advance(1)
    del memory.objects[ENTRY]
    assert await records.read_blob(REPO, DIGEST) == BlobValue(10, "a" * 32)


async def test_a_record_belongs_to_its_repository_and_kind(records: Records) -> None:
    """A record of one repository or kind is none of another."""
    await records.write(REPO, "blobs", DIGEST, BLOB, Reliance(60))
    assert await records.read(OTHER, "blobs", DIGEST) is None
    assert await records.rely(OTHER, "blobs", DIGEST, Reliance(60)) is None
    assert await records.read_manifest(REPO, DIGEST) is None
    assert await records.read_blob(REPO, Digest.of(BODY, "sha512")) is None


async def test_a_lease_deleted_after_it_was_listed_is_passed_over(
    slow: Records, records: Records, memory: MemoryStore, script: Script, clock: Clock
) -> None:
    """Where the newest lease goes between the listing and its reading, an older one will do."""
    await records.write(REPO, "blobs", DIGEST, BLOB, Reliance(60))
    clock.advance(1)
    newest = await records.leases.write(REPO, "blobs", DIGEST, BLOB, Reliance(60))
    del memory.objects[ENTRY]
    parked = script.park("before", "get", LEASES + newest.lease_id)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(slow.rely, REPO, "blobs", DIGEST, Reliance(60))
        await parked.reached.wait()
        await memory.delete(LEASES + newest.lease_id)
        parked.go_on.set()
    assert await records.read(REPO, "blobs", DIGEST) == BLOB


async def test_a_record_collected_after_it_was_listed_does_not_exist(
    slow: Records, records: Records, memory: MemoryStore, script: Script
) -> None:
    """Where all leases go between the listing and their reading, there is no record, and none is written."""
    await records.write(REPO, "blobs", DIGEST, BLOB, Reliance(60))
    del memory.objects[ENTRY]
    parked, found = script.park("before", "get", LEASES), list[object]()

    async def rely() -> None:
        found.append(await slow.rely(REPO, "blobs", DIGEST, Reliance(60)))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(rely)
        await parked.reached.wait()
        await memory.delete_many(keys_below(memory, LEASES))
        parked.go_on.set()
    assert found == [None]
    assert memory.objects == {}


@BOTH_KINDS
async def test_a_deleted_record_is_not_there_whatever_leases_are(
    records: Records, memory: MemoryStore, log: CallLog, clock: Clock, kind: Kind, value: Value
) -> None:
    """A delete writes a tombstone, which one GET finds; deleting again finds nothing; the leases stay."""
    for _ in range(3):
        await records.write(REPO, kind, DIGEST, value, Reliance(60))
    with log.counted() as calls:
        assert await records.delete(REPO, kind, DIGEST)
    assert len(calls) == 2, str(calls)
    for seconds in (0, GRACE_S):
        clock.advance(seconds)
        with log.counted() as calls:
            assert await records.rely(REPO, kind, DIGEST, Reliance(60)) is None
            assert await records.read(REPO, kind, DIGEST) is None
        assert len(calls) == 2, str(calls)
    assert len(keys_below(memory, keys.leases(REPO, kind, DIGEST))) == 3
    assert not await records.delete(REPO, kind, DIGEST)


async def test_a_deleted_record_is_written_again(records: Records) -> None:
    """A push after a delete makes the record exist as before."""
    await records.write(REPO, "blobs", DIGEST, BLOB, Reliance(60))
    assert await records.delete(REPO, "blobs", DIGEST)
    await records.write(REPO, "blobs", DIGEST, BLOB, Reliance(60))
    assert await records.rely(REPO, "blobs", DIGEST, Reliance(60)) == BLOB


async def test_a_record_without_an_entry_is_deleted(records: Records, memory: MemoryStore) -> None:
    """A lost entry does not keep a record from being deleted."""
    await records.write(REPO, "blobs", DIGEST, BLOB, Reliance(60))
    del memory.objects[ENTRY]
    assert await records.delete(REPO, "blobs", DIGEST)
    assert await records.rely(REPO, "blobs", DIGEST, Reliance(60)) is None


@pytest.mark.parametrize("entry_is_lost", [False, True])
async def test_a_renewal_does_not_bring_back_what_was_deleted(
    slow: Records, records: Records, memory: MemoryStore, script: Script, clock: Clock, *, entry_is_lost: bool
) -> None:
    """A renewal that looked before a delete and writes after it finds that the record is gone."""
    await records.write(REPO, "blobs", DIGEST, BLOB, Reliance(60))
    clock.advance(GRACE_S)
    if entry_is_lost:
        del memory.objects[ENTRY]
    parked, found = script.park("before", "put", ENTRY), list[object]()

    async def rely() -> None:
        found.append(await slow.rely(REPO, "blobs", DIGEST, Reliance(60)))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(rely)
        await parked.reached.wait()
        assert await records.delete(REPO, "blobs", DIGEST)
        parked.go_on.set()
    assert found == [None]
    assert await records.read(REPO, "blobs", DIGEST) is None


async def test_renewals_at_once_are_both_relied_on(
    slow: Records, records: Records, script: Script, clock: Clock
) -> None:
    """A renewal overtaken by another one looks again and relies on what that wrote."""
    await records.write(REPO, "blobs", DIGEST, BLOB, Reliance(60))
    clock.advance(GRACE_S)
    parked, found = script.park("before", "put", ENTRY), list[object]()

    async def rely() -> None:
        found.append(await slow.rely(REPO, "blobs", DIGEST, Reliance(60)))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(rely)
        await parked.reached.wait()
        assert await records.rely(REPO, "blobs", DIGEST, Reliance(60)) == BLOB
        parked.go_on.set()
    assert found == [BLOB]
    assert len(await records.leases.find(REPO, "blobs", DIGEST)) == 3


async def test_a_delete_buries_only_what_it_saw(
    slow: Records, records: Records, memory: MemoryStore, script: Script
) -> None:
    """A record written again while it is being deleted is looked at again, and deleted as it then is."""
    await records.write(REPO, "blobs", DIGEST, BLOB, Reliance(60))
    parked = script.park("before", "put", ENTRY)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(slow.delete, REPO, "blobs", DIGEST)
        await parked.reached.wait()
        await records.write(REPO, "blobs", DIGEST, BLOB, Reliance(60))
        written = memory.objects[ENTRY].etag
        parked.go_on.set()
    assert memory.objects[ENTRY].etag != written
    assert await records.rely(REPO, "blobs", DIGEST, Reliance(60)) is None


async def test_a_delete_whose_answer_is_lost_is_one(slow: Records, script: Script, records: Records) -> None:
    """A delete that was carried out and then repeated by the client of the store finds its own tombstone."""
    await records.write(REPO, "blobs", DIGEST, BLOB, Reliance(60))
    script.fail("after", "put", ENTRY, ConditionFailed("the first one was done"))
    assert await slow.delete(REPO, "blobs", DIGEST)
    assert await records.read(REPO, "blobs", DIGEST) is None


async def test_an_entry_that_always_changes_ends_in_try_again(memory: MemoryStore, records: Records) -> None:
    """A delete that is overtaken again and again gives up, and says so."""

    async def overtake(moment: str, operation: str, key: str) -> None:
        if (moment, operation, key) == ("before", "put", ENTRY):
            await records.write(REPO, "blobs", DIGEST, BLOB, Reliance(60))

    await records.write(REPO, "blobs", DIGEST, BLOB, Reliance(60))
    with pytest.raises(TryAgain, match="try again"):
        await Records(FaultyStore(memory, overtake), SETTINGS).delete(REPO, "blobs", DIGEST)


async def test_an_entry_whose_lease_cannot_be_told_is_renewed(
    records: Records, memory: MemoryStore, log: CallLog
) -> None:
    """An entry that names no lease is read, but not relied on."""
    await memory.put(ENTRY, BLOB.encode())
    with log.counted() as calls:
        assert await records.read(REPO, "blobs", DIGEST) == BLOB
    assert len(calls) == 1
    assert await records.rely(REPO, "blobs", DIGEST, Reliance(60)) == BLOB
    assert len(keys_below(memory, LEASES)) == 1
