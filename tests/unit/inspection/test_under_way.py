"""`fsck` beside requests and collectors: what is half done is no problem, and a repair takes nothing from anybody."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import pytest
import trio
import trio.testing

from tests.unit.collector.support import GRACE_S, LARGE, Bucket
from tests.unit.inspection.test_checking import BLOB, BODY, CHILD, INDEX, bucket, check, look
from tests.unit.registry.support import REPO, keys_below, open_replica, pull, push
from tests.unit.registry.test_manifests import V1, image
from zotpy.core import keys
from zotpy.core.digests import Digest
from zotpy.core.errors import BlobUnknown
from zotpy.core.media_types import OCI_IMAGE
from zotpy.store.interface import StoreRefused, StoreUnavailable

if TYPE_CHECKING:
    from zotpy.store.faulty import Moment

__all__ = ["bucket"]

NEW = image(BLOB, note="new")


@pytest.mark.parametrize(
    ("moment", "operation", "prefix"),
    [("after", "put", keys.LEASES), ("after", "put", keys.TAGS), ("before", "put", keys.ENTRIES)],
)
@pytest.mark.parametrize("repair", [False, True])
async def test_a_push_under_way_is_no_problem(
    bucket: Bucket, moment: Moment, operation: str, prefix: str, *, repair: bool
) -> None:
    """Whichever of its objects it has written; a repair leaves them to it, and it ends well."""
    bucket.clock.advance(GRACE_S)
    replica = await open_replica(bucket.slow, grace_s=GRACE_S)
    step = bucket.script.park(moment, operation, f"{prefix}{REPO}!/manifests" if prefix != keys.TAGS else prefix)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(partial(replica.manifests.push, REPO, V1, NEW, OCI_IMAGE))
        await trio.testing.wait_all_tasks_blocked()
        before = dict(bucket.store.objects)
        assert (await look(bucket, repair=repair)).problems == []
        assert bucket.store.objects == before
        step.go_on.set()
    assert (await bucket.registry.manifests.find(REPO, V1)).digest == Digest.of(NEW)


async def test_a_deletion_under_way_is_no_problem(bucket: Bucket) -> None:
    """The manifest is buried, its tag not yet deleted; left so by a crash it is one, after the deadline."""
    replica = await open_replica(bucket.slow, grace_s=GRACE_S)
    bucket.script.park("before", "delete", keys.TAGS)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(partial(replica.manifests.delete, REPO, Digest.of(INDEX)))
        await trio.testing.wait_all_tasks_blocked()
        assert (await look(bucket, repair=True)).problems == []
        nursery.cancel_scope.cancel()
    [problem] = (await check(bucket)).problems
    assert "which does not exist" in problem.what


async def test_a_tag_that_moves_meanwhile_is_no_problem(bucket: Bucket) -> None:
    """It is listed before it moves, and read after."""
    step = bucket.script.park("before", "get", keys.TAGS)
    async with trio.open_nursery() as nursery:

        async def run() -> None:
            assert (await look(bucket, store=bucket.slow)).problems == []

        nursery.start_soon(run)
        await trio.testing.wait_all_tasks_blocked()
        await bucket.registry.manifests.push(REPO, V1, NEW, OCI_IMAGE)
        step.go_on.set()


async def test_what_is_deleted_meanwhile_is_no_problem(bucket: Bucket) -> None:
    """An index that was read, then deleted with all that it needs."""
    step = bucket.script.park("before", "list", keys.HINTS)
    read = bucket.script.park("after", "get", keys.entry(REPO, "manifests", Digest.of(INDEX)))
    async with trio.open_nursery() as nursery:

        async def run() -> None:
            assert (await look(bucket, store=bucket.slow, repair=True)).problems == []

        child = bucket.script.park("before", "get", keys.entry(REPO, "manifests", Digest.of(CHILD)))
        nursery.start_soon(run)
        await trio.testing.wait_all_tasks_blocked()
        await bucket.registry.manifests.delete(REPO, Digest.of(INDEX))
        await bucket.registry.manifests.delete(REPO, Digest.of(CHILD))
        for parked in (read, child, step):
            parked.go_on.set()


async def test_an_entry_is_rebuilt_after_a_new_lease(bucket: Bucket) -> None:
    """An old lease may be about to be collected: an entry that stood on it alone would lead pushes to lost data."""
    before = set(keys_below(bucket.store, keys.leases(REPO, "blobs", BLOB)))
    await bucket.store.delete(keys.entry(REPO, "blobs", BLOB))
    bucket.clock.advance(GRACE_S + 1)
    await check(bucket, repair=True)
    assert len(set(keys_below(bucket.store, keys.leases(REPO, "blobs", BLOB))) - before) == 1
    await bucket.store.delete_many(sorted(before))
    assert (await check(bucket)).problems == []
    assert await pull(bucket.registry, BLOB) == BODY


async def test_a_damaged_blob_can_be_pushed_again(bucket: Bucket) -> None:
    """A repair makes the blob one that is not there, and drops the hint that would lead the push to the old data."""
    damaged = bucket.data[0]
    await bucket.store.put(keys.data(damaged), BODY[:-1] + b"?")
    [problem] = (await check(bucket, repair=True)).problems
    assert problem.fate == "left"
    assert problem.what.startswith("damaged: ")
    with pytest.raises(BlobUnknown):
        await bucket.registry.blobs.stat(REPO, BLOB)
    [again] = (await check(bucket, repair=True)).problems
    assert again.what.endswith("push it again")
    await push(bucket.registry, BODY)
    assert await pull(bucket.registry, BLOB) == BODY
    assert (await check(bucket)).problems == []


async def test_data_that_has_come_back_makes_its_blob_right(bucket: Bucket) -> None:
    """The entry that says that the data is missing has everything that is needed."""
    [key] = keys_below(bucket.store, keys.DATA)
    await bucket.store.delete(key)
    await check(bucket, repair=True)
    await bucket.store.put(key, BODY)
    assert [problem.fate for problem in (await check(bucket)).problems] == ["left"]
    assert [problem.fate for problem in (await check(bucket, repair=True)).problems] == ["repaired"]
    assert await pull(bucket.registry, BLOB) == BODY
    assert (await check(bucket)).problems == []


async def test_one_object_that_cannot_be_read_does_not_end_the_check(bucket: Bucket) -> None:
    """A store that answers errors for it is damaged there; one that answers nothing at all ends the check."""
    for operation, prefix in (("get", keys.ENTRIES), ("get", keys.TAGS), ("open", keys.DATA)):
        bucket.script.fail("before", operation, prefix, StoreRefused("500 InternalError"))
        problems = (await check(bucket, store=bucket.slow)).problems
        assert [problem.what for problem in problems if "damaged: " in problem.what], problems
        assert all("500 InternalError" in problem.what or "not there" in problem.what for problem in problems)
    bucket.script.fail("before", "get", keys.ENTRIES, StoreUnavailable("down"))
    bucket.script.fail("before", "get", keys.LAYOUT, StoreUnavailable("down"))
    with pytest.raises(StoreUnavailable):
        await check(bucket, store=bucket.slow)


async def test_children_that_may_be_missing_are_no_problem(bucket: Bucket) -> None:
    """Where replicas accept sparse indexes."""
    await bucket.registry.manifests.delete(REPO, Digest.of(CHILD))
    assert [problem.fate for problem in (await check(bucket)).problems] == ["left"]
    assert (await check(bucket, sparse=True)).problems == []


async def test_data_that_nothing_names_is_counted(bucket: Bucket) -> None:
    """Once no push can be about to name it; it is the collector's, and no problem."""
    await bucket.store.put(keys.data(keys.new_id()), b"x" * LARGE)
    assert (await look(bucket)).data_unnamed == 0
    bucket.clock.advance(GRACE_S + 1)
    report = await look(bucket)
    assert (report.problems, report.data_unnamed, report.data_unnamed_bytes) == ([], 1, LARGE)
