"""Relying on records: young leases are enough, old ones are renewed, lost entries come back from their leases."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from tests.calls import CallLog
from zotpy.bucket.records import Records
from zotpy.bucket.reliance import Reliance
from zotpy.core import keys
from zotpy.core.digests import Digest
from zotpy.core.names import RepositoryName
from zotpy.core.record_values import BlobValue
from zotpy.settings import GcSettings
from zotpy.store.memory_store import MemoryStore

REPO = RepositoryName.parse("team/app")
DIGEST = Digest.of(b"content")
VALUE = BlobValue(7, None, b"content")
GRACE = timedelta(seconds=GcSettings().grace_s)


class Clock:
    """The store's clock, moved by hand."""

    def __init__(self) -> None:
        """Begin on some day."""
        self.now = datetime(2026, 1, 1, tzinfo=UTC)

    def __call__(self) -> datetime:
        """Tell the time."""
        return self.now


@pytest.fixture
def clock() -> Clock:
    """Return the clock of the store."""
    return Clock()


@pytest.fixture
def log(clock: Clock) -> CallLog:
    """Return a counted store on that clock."""
    return CallLog(MemoryStore(clock))


@pytest.fixture
def records(log: CallLog) -> Records:
    """Return the records in that store."""
    return Records(log, GcSettings())


async def test_a_young_lease_is_relied_on_with_one_read(records: Records, log: CallLog, clock: Clock) -> None:
    """Before half the grace has passed, relying costs the entry alone."""
    await records.write(REPO, "blobs", DIGEST, VALUE, Reliance(60))
    clock.now += GRACE / 2 - timedelta(seconds=1)
    with log.counted() as calls:
        assert await records.rely(REPO, "blobs", DIGEST, Reliance(60)) == VALUE
    assert [call.operation for call in calls.made] == ["get"]


async def test_an_old_lease_is_renewed_before_it_is_relied_on(records: Records, log: CallLog, clock: Clock) -> None:
    """From half the grace on, a new lease is written, then the entry that dates it; the next one relies on that."""
    await records.write(REPO, "blobs", DIGEST, VALUE, Reliance(60))
    clock.now += GRACE / 2
    with log.counted() as calls:
        assert await records.rely(REPO, "blobs", DIGEST, Reliance(60)) == VALUE
    assert [call.key.partition("/")[0] for call in calls.made] == ["entries", "leases", "entries"]
    assert len(await records.leases.find(REPO, "blobs", DIGEST)) == 2
    with log.counted() as calls:
        await records.rely(REPO, "blobs", DIGEST, Reliance(60))
    assert len(calls) == 1


async def test_a_read_renews_nothing(records: Records, log: CallLog, clock: Clock) -> None:
    """A plain read costs one call, however old the lease."""
    await records.write(REPO, "blobs", DIGEST, VALUE, Reliance(60))
    clock.now += GRACE * 3
    with log.counted() as calls:
        assert await records.read(REPO, "blobs", DIGEST) == VALUE
    assert len(calls) == 1


async def test_a_lost_entry_comes_back_from_a_lease(records: Records, log: CallLog) -> None:
    """Leases are the authority: one answers a read. A request that relies on it writes the entry anew."""
    await records.write(REPO, "blobs", DIGEST, VALUE, Reliance(60))
    await log.delete(keys.entry(REPO, "blobs", DIGEST))
    with log.counted() as calls:
        assert await records.read(REPO, "blobs", DIGEST) == VALUE
    assert calls.of("put") == []
    assert await records.rely(REPO, "blobs", DIGEST, Reliance(60)) == VALUE
    with log.counted() as calls:
        assert await records.rely(REPO, "blobs", DIGEST, Reliance(60)) == VALUE
    assert len(calls) == 1


async def test_a_record_without_leases_does_not_exist(records: Records) -> None:
    """A record with neither an entry nor a lease does not exist, and a look at it writes nothing."""
    assert await records.rely(REPO, "blobs", DIGEST, Reliance(60)) is None
    assert await records.delete(REPO, "blobs", DIGEST) is False


async def test_a_lease_that_was_not_listed_survives_the_delete(records: Records, log: CallLog) -> None:
    """A delete removes the leases it listed; one written since keeps the record alive."""
    await records.write(REPO, "blobs", DIGEST, VALUE, Reliance(60))
    listed = await records.leases.find(REPO, "blobs", DIGEST)
    await records.leases.write(REPO, "blobs", DIGEST, VALUE, Reliance(60))
    await log.delete(keys.entry(REPO, "blobs", DIGEST))
    await log.delete_many([lease.key for lease in listed])
    assert await records.read(REPO, "blobs", DIGEST) == VALUE
