"""Uploads that were left behind go after their time to live; those that go on stay."""

from __future__ import annotations

import pytest
import trio

from tests.unit.collector.support import GRACE_S, TTL_S, Bucket
from tests.unit.registry.support import REPO, content, cut, keys_below, pull, sent
from zotpy.core import keys
from zotpy.core.digests import Digest
from zotpy.core.errors import ClientStalled, UploadUnknown

BODY = content(400_000)


@pytest.fixture
async def bucket() -> Bucket:
    """Return a bucket with a config in it."""
    return await Bucket.open()


async def test_an_upload_that_rests_is_ended_with_its_parts(bucket: Bucket) -> None:
    """After its time to live nothing is left of it, and the client is told to begin anew."""
    uploads = bucket.registry.uploads
    session = await uploads.chunk(uploads.begin(REPO, "sha256"), sent(BODY), None, len(BODY))
    assert len(bucket.store.multiparts) == 1
    bucket.clock.advance(TTL_S)
    assert (await bucket.collect()).uploads_ended == 0
    bucket.clock.advance(1)
    summary = await bucket.collect()
    assert (summary.uploads_ended, summary.multiparts_aborted) == (1, 1)
    assert bucket.store.multiparts == {}
    assert keys_below(bucket.store, keys.UPLOADS) == []
    with pytest.raises(UploadUnknown):
        await uploads.status(session)


async def test_an_upload_that_goes_on_keeps_its_old_multipart(bucket: Bucket) -> None:
    """A multipart older than the time to live is kept by a state that is not."""
    uploads = bucket.registry.uploads
    session = await uploads.chunk(uploads.begin(REPO, "sha256"), sent(BODY), None, len(BODY))
    bucket.clock.advance(TTL_S - 1)
    session = await uploads.chunk(session, sent(BODY), None, len(BODY))
    bucket.clock.advance(TTL_S - 1)
    summary = await bucket.collect()
    assert (summary.uploads_ended, summary.multiparts_aborted) == (0, 0)
    digest = Digest.of(BODY + BODY)
    await uploads.finish(session, digest, sent(), None, 0)
    assert await pull(bucket.registry, digest) == BODY + BODY


async def test_an_upload_that_goes_on_while_it_is_ended_is_whole(bucket: Bucket) -> None:
    """Of a chunk and the collector, one wins: the state that the chunk wrote is not deleted."""
    uploads = bucket.registry.uploads
    session = await uploads.chunk(uploads.begin(REPO, "sha256"), sent(BODY), None, len(BODY))
    bucket.clock.advance(TTL_S + 1)
    parked = bucket.script.park("before", "delete", keys.UPLOADS)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(lambda: bucket.collect(store=bucket.slow))
        await parked.reached.wait()
        session = await uploads.chunk(session, sent(BODY), None, len(BODY))
        parked.go_on.set()
    await uploads.finish(session, Digest.of(BODY + BODY), sent(), None, 0)
    assert await pull(bucket.registry, Digest.of(BODY + BODY)) == BODY + BODY


async def test_a_multipart_that_nobody_names_is_aborted(bucket: Bucket) -> None:
    """One that a lost answer or a killed replica left behind goes after the time to live, and no sooner."""
    await bucket.store.create_multipart(keys.data("0" * 32))
    bucket.clock.advance(TTL_S)
    assert (await bucket.collect()).multiparts_aborted == 0
    bucket.clock.advance(1)
    assert (await bucket.collect()).multiparts_aborted == 1
    assert bucket.store.multiparts == {}


async def test_a_cancelled_upload_goes(bucket: Bucket) -> None:
    """What tells a late chunk that its upload was cancelled lasts for the time to live."""
    uploads = bucket.registry.uploads
    session = await uploads.chunk(uploads.begin(REPO, "sha256"), sent(BODY), None, len(BODY))
    await uploads.cancel(session)
    bucket.clock.advance(TTL_S + 1)
    assert (await bucket.collect()).uploads_ended == 1
    assert keys_below(bucket.store, keys.UPLOADS) == []


async def test_the_data_of_a_push_that_died_before_its_lease_goes(bucket: Bucket) -> None:
    """Bytes that were stored and never named are garbage like any other."""
    uploads = bucket.registry.uploads
    session = uploads.begin(REPO, "sha256")
    with pytest.raises(ClientStalled):
        await uploads.finish(session, Digest.of(BODY), cut(BODY), None, None)
    await bucket.store.put(keys.data("0" * 32), BODY)
    bucket.clock.advance(GRACE_S + 1)
    await bucket.collect_until_clean()
    assert bucket.data == []
