"""Kept bytes and the collector: no lease is ever written that names deleted bytes."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.collector.support import DEADLINE_S, GRACE_S, Bucket
from tests.unit.registry.support import PART_BYTES, REPO, Sent, content, keys_below, open_replica, pull, push, sent
from tests.unit.registry.test_manifests import CONFIG
from zotpy.core import keys
from zotpy.core.digests import Digest
from zotpy.core.errors import BlobUnknown, TryAgain, UploadUnknown
from zotpy.inspection.checking import Checker
from zotpy.inspection.usage import measure
from zotpy.registry.pushing import states
from zotpy.store.interface import StoreUnavailable

if TYPE_CHECKING:
    from trio.testing import MockClock

    from zotpy.core.record_values import BlobValue
    from zotpy.registry.pushing.sessions import Session
    from zotpy.registry.registry import Registry

BODY = content(PART_BYTES - 1000)
DIGEST = Digest.of(BODY)
SOON_S = 2 * DEADLINE_S + 1


class LateEnd(Sent):
    """A body whose end takes half the grace to come."""

    async def __anext__(self) -> bytes:
        """Wait, then end."""
        await trio.sleep(GRACE_S / 2)
        return await super().__anext__()


@pytest.fixture
async def bucket() -> Bucket:
    """Return a bucket with a config in it."""
    return await Bucket.open()


async def patched(bucket: Bucket) -> Session:
    """Send all of a blob in one chunk, as docker does."""
    uploads = bucket.registry.uploads
    return await uploads.chunk(uploads.begin(REPO, "sha256"), sent(BODY), None, len(BODY))


async def put(registry: Registry, session: Session) -> BlobValue:
    """Send the PUT without a body."""
    return await registry.uploads.finish(session, DIGEST, sent(), None, 0)


async def slow_replica(bucket: Bucket) -> Registry:
    """Open a replica that stops where the script says."""
    return await open_replica(bucket.slow, grace_s=GRACE_S)


async def push_image(bucket: Bucket) -> None:
    """Let a manifest name the blob."""
    await push(bucket.registry, CONFIG)  # the one before may have been collected
    await bucket.push_image(DIGEST)


async def take(bucket: Bucket) -> None:
    """Collect until data that nothing names is deleted."""
    await bucket.collect()
    bucket.clock.advance(SOON_S)
    await bucket.collect()


async def assert_every_lease_has_its_data(bucket: Bucket) -> None:
    """Check that nothing names deleted bytes, now and after everything is deleted that may be."""
    for _ in range(4):
        leases = keys_below(bucket.store, keys.LEASES)
        assert {keys.data_of(key) for key in leases} - {None} <= set(bucket.data)
        assert (await Checker(bucket.store, share_read=1.0).run()).problems == []
        bucket.clock.advance(SOON_S)
        await bucket.collect()


async def test_collections_between_patch_and_put_do_no_harm(bucket: Bucket) -> None:
    """Before half the grace a PUT names what is kept, though collections ran; the collector then leaves it alone."""
    session = await patched(bucket)
    [data_id] = bucket.data
    await bucket.collect()
    bucket.clock.advance(GRACE_S / 2 - 1)
    await bucket.collect()
    assert (await put(bucket.registry, session)).data_id == data_id
    bucket.clock.advance(GRACE_S / 2)
    await take(bucket)
    assert bucket.data == [data_id]
    await push_image(bucket)
    await assert_every_lease_has_its_data(bucket)
    assert await pull(bucket.registry, DIGEST) == BODY


@pytest.mark.parametrize("is_retired", [True, False])
async def test_bytes_kept_for_long_are_written_anew(bucket: Bucket, *, is_retired: bool) -> None:
    """From half the grace on a PUT reads them back and stores them again: those that were kept may go at any time."""
    session = await patched(bucket)
    [kept] = bucket.data
    bucket.clock.advance(GRACE_S + 1 if is_retired else GRACE_S / 2)
    assert (await bucket.collect()).data_retired == is_retired
    value = await put(bucket.registry, session)
    assert value.data_id != kept
    assert bucket.registry.budget.used_bytes == 0
    await push_image(bucket)
    bucket.clock.advance(GRACE_S)
    await take(bucket)
    assert bucket.data == [value.data_id]
    assert await pull(bucket.registry, DIGEST) == BODY


async def test_an_upload_whose_kept_bytes_were_collected_begins_again(bucket: Bucket) -> None:
    """The client learns that the upload does not exist. Nothing was named, and its next push is whole."""
    session = await patched(bucket)
    bucket.clock.advance(GRACE_S + 1)
    await take(bucket)
    assert bucket.data == []
    for _ in range(2):
        with pytest.raises(UploadUnknown):
            await put(bucket.registry, session)
    with pytest.raises(BlobUnknown):
        await bucket.registry.blobs.find(REPO, DIGEST)
    assert bucket.registry.budget.used_bytes == 0
    await put(bucket.registry, await patched(bucket))
    assert await pull(bucket.registry, DIGEST) == BODY


async def test_a_chunk_after_kept_bytes_that_were_collected_begins_again(bucket: Bucket) -> None:
    """The same for a chunk that would continue from them."""
    session = await patched(bucket)
    bucket.clock.advance(GRACE_S + 1)
    await take(bucket)
    with pytest.raises(UploadUnknown):
        await bucket.registry.uploads.chunk(session, sent(b"more"), None, 4)
    assert bucket.registry.budget.used_bytes == 0


async def test_a_put_that_is_about_to_read_back_when_the_bytes_go_begins_again(bucket: Bucket) -> None:
    """A PUT paused before its reading finds nothing, and names nothing."""
    slow = await slow_replica(bucket)
    session = await patched(bucket)
    bucket.clock.advance(GRACE_S + 1)
    await bucket.collect()
    parked = bucket.script.park("before", "open", keys.DATA)
    ended: list[UploadUnknown] = []

    async def late() -> None:
        try:
            await put(slow, session)
        except UploadUnknown as error:
            ended.append(error)
        finally:
            parked.reached.set()  # one that does not read at all must fail the test, not hold it up

    async with trio.open_nursery() as nursery:
        nursery.start_soon(late)
        await parked.reached.wait()
        bucket.clock.advance(SOON_S)
        await bucket.collect()
        assert bucket.data == []
        parked.go_on.set()
    assert len(ended) == 1
    await assert_every_lease_has_its_data(bucket)


@pytest.mark.parametrize("pause_s", [DEADLINE_S, 2 * DEADLINE_S, GRACE_S / 2])
async def test_a_put_paused_before_its_lease_names_what_is_there(bucket: Bucket, pause_s: float) -> None:
    """A PUT at the last moment, paused for a deadline or far longer, with collections meanwhile: its data stays."""
    slow = await slow_replica(bucket)
    session = await patched(bucket)
    bucket.clock.advance(GRACE_S / 2 - 1)
    parked = bucket.script.park("before", "put", keys.LEASES)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(put, slow, session)
        await parked.reached.wait()
        for _ in range(10):
            bucket.clock.advance(pause_s / 10)
            await bucket.collect()
        parked.go_on.set()
    await push_image(bucket)
    await assert_every_lease_has_its_data(bucket)
    bucket.clock.advance(GRACE_S)
    await assert_every_lease_has_its_data(bucket)
    assert await pull(bucket.registry, DIGEST) == BODY


async def test_a_put_that_is_too_slow_writes_no_lease(bucket: Bucket, autojump_clock: MockClock) -> None:
    """A PUT whose store does not answer for a deadline gives up: later it might name deleted bytes."""
    del autojump_clock
    slow = await slow_replica(bucket)
    session = await patched(bucket)
    bucket.script.park("before", "put", keys.LEASES)
    with pytest.raises(TryAgain):
        await put(slow, session)
    assert keys_below(bucket.store, keys.leases(REPO, "blobs", DIGEST)) == []
    await put(bucket.registry, session)
    assert await pull(bucket.registry, DIGEST) == BODY


async def test_the_time_that_a_body_takes_is_counted(
    bucket: Bucket, autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A PUT whose empty body takes half the grace to end writes the bytes anew, young as the state was when read."""
    del autojump_clock
    monkeypatch.setattr(states, "local_s", trio.current_time)
    session = await patched(bucket)
    [kept] = bucket.data
    value = await bucket.registry.uploads.finish(session, DIGEST, LateEnd([]), None, None)
    assert value.data_id != kept
    assert await pull(bucket.registry, DIGEST) == BODY


async def test_a_put_after_the_blob_was_pushed_and_deleted_names_what_is_there(bucket: Bucket) -> None:
    """A PUT whose state outlived its blob, as where a replica died before it deleted it, makes the blob again."""
    session = await patched(bucket)
    [state] = keys_below(bucket.store, keys.UPLOADS)
    left = bucket.store.objects[state]
    await put(bucket.registry, session)
    await bucket.registry.blobs.delete(REPO, DIGEST)
    bucket.store.objects[state] = left
    bucket.clock.advance(GRACE_S / 2 - 1)
    await bucket.collect()
    await put(bucket.registry, session)
    await push_image(bucket)
    bucket.clock.advance(GRACE_S)
    await take(bucket)
    await assert_every_lease_has_its_data(bucket)
    assert await pull(bucket.registry, DIGEST) == BODY


@pytest.mark.parametrize(("age_s", "is_named"), [(GRACE_S / 2 - 1, True), (GRACE_S / 2, False), (GRACE_S + 1, False)])
async def test_joined_parts_without_a_lease_are_named_while_they_are_young(
    bucket: Bucket, age_s: float, *, is_named: bool
) -> None:
    """A PUT whose lease failed may be repeated within half the grace; later the collector may be about to take them."""
    slow = await slow_replica(bucket)
    body = BODY * 3
    session = await slow.uploads.chunk(slow.uploads.begin(REPO, "sha256"), sent(body), None, len(body))
    bucket.script.fail("before", "put", keys.LEASES, StoreUnavailable("down"))
    with pytest.raises(StoreUnavailable):
        await slow.uploads.finish(session, Digest.of(body), sent(), None, 0)
    bucket.clock.advance(age_s)
    await bucket.collect()
    if is_named:
        await slow.uploads.finish(session, Digest.of(body), sent(), None, 0)
        assert await pull(slow, Digest.of(body)) == body
    else:
        with pytest.raises(UploadUnknown):
            await slow.uploads.finish(session, Digest.of(body), sent(), None, 0)
    await assert_every_lease_has_its_data(bucket)


async def test_kept_bytes_are_no_problem_and_no_repositorys(bucket: Bucket) -> None:
    """`fsck` finds nothing wrong with an upload under way, and `du` counts its bytes as what nobody names."""
    await patched(bucket)
    assert (await Checker(bucket.store, share_read=1.0).run()).problems == []
    usage = await measure(bucket.store, lambda _: None)
    assert usage.unnamed_bytes == len(BODY)
    assert [each.logical_bytes < len(BODY) for each in usage.repositories] == [True]


async def test_an_abandoned_upload_leaves_nothing(bucket: Bucket) -> None:
    """Kept bytes of an upload that no client continued are deleted as unnamed data, and its state after its time."""
    await patched(bucket)
    await bucket.collect_until_clean()
    assert bucket.data == keys_below(bucket.store, keys.UPLOADS) == []


@settings(deadline=None, max_examples=150)
@given(
    waits=st.lists(st.integers(0, int(GRACE_S * 1.2)), min_size=1, max_size=6),
    put_after=st.integers(0, 5),
    pauses=st.lists(st.integers(0, int(DEADLINE_S)), max_size=2),
)
def test_no_order_of_collections_and_a_put_names_what_is_gone(
    waits: list[int], put_after: int, pauses: list[int]
) -> None:
    """Collections at any times, and a PUT among them that is paused before its lease: every lease has its data."""

    async def run() -> None:
        bucket = await Bucket.open()
        slow = await slow_replica(bucket)
        session = await patched(bucket)

        async def last() -> None:
            with suppress(UploadUnknown):
                await put(slow, session)
            parked.reached.set()

        for number, wait in enumerate(waits):
            bucket.clock.advance(wait)
            await bucket.collect()
            if number == min(put_after, len(waits) - 1):
                parked = bucket.script.park("before", "put", keys.LEASES)
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(last)
                    await parked.reached.wait()
                    for pause in pauses:
                        bucket.clock.advance(pause)
                        await bucket.collect()
                    parked.go_on.set()
                bucket.script.steps.clear()
        await assert_every_lease_has_its_data(bucket)

    trio.run(run)
