"""A copied bucket: its times are those of the copy, so nothing in it counts until it was made to."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.unit.collector.support import DEADLINE_S, GRACE_S, LARGE, Bucket
from tests.unit.inspection.test_checking import BLOB, BODY, CHILD, INDEX, NUMBERS
from tests.unit.registry.support import REPO, keys_below, pull
from tests.unit.registry.test_manifests import V1
from zotpy.core import keys
from zotpy.core.digests import Digest
from zotpy.core.errors import ManifestUnknown
from zotpy.core.media_types import OCI_IMAGE, OCI_INDEX
from zotpy.inspection.checking import Checker

if TYPE_CHECKING:
    from zotpy.inspection.report import Report


@pytest.fixture
async def copy() -> Bucket:
    """Return a bucket with a tagged index, its image and a large blob, all written anew an hour later, as by a copy."""
    made = await Bucket.open()
    await made.push_large()
    await made.registry.manifests.push(REPO, Digest.of(CHILD), CHILD, OCI_IMAGE)
    await made.registry.manifests.push(REPO, V1, INDEX, OCI_INDEX)
    made.clock.advance(max(3600, 3 * DEADLINE_S))
    for key in keys_below(made.store, ""):
        await made.store.put(key, (await made.store.get(key)).body)
    return made


async def check(copy: Bucket, *, restored: bool) -> Report:
    """Check the copy."""
    copy.clock.advance(DEADLINE_S + 1)
    return await Checker(copy.store, repair=True, share_read=1.0, restored=restored, settings=NUMBERS).run()


async def test_a_copy_counts_for_nothing_and_the_check_says_so(copy: Bucket) -> None:
    """Nothing can be pulled, and the records that are late are counted, as there is nothing else to be seen."""
    report = await check(copy, restored=False)
    assert (report.late, report.manifests, report.blobs) == (3, 0, 1), "a small blob relies on nothing"
    with pytest.raises(ManifestUnknown):
        await copy.registry.manifests.find(REPO, Digest.of(CHILD))


async def test_a_copy_that_was_restored_is_whole(copy: Bucket) -> None:
    """All of it can be pulled, nothing is left to mend, and the collector keeps it, however often it runs."""
    report = await check(copy, restored=True)
    assert (report.late, report.manifests, report.blobs, report.tags) == (0, 2, 2, 1)
    assert (report.problems, report.bytes_read) == ([], LARGE)
    assert report.restored == 3 + 3 + 1, "leases, entries, and a tag; a small blob relies on nothing"
    for seconds in (GRACE_S + 1, 3 * DEADLINE_S, GRACE_S + 1, 3 * DEADLINE_S):
        copy.clock.advance(seconds)
        await copy.collect()
    assert (await copy.registry.manifests.find(REPO, V1)).digest == Digest.of(INDEX)
    assert await pull(copy.registry, BLOB, REPO) == BODY
    again = await check(copy, restored=True)
    assert (again.restored, again.problems) == (0, [])


async def test_what_was_deleted_before_the_copy_stays_deleted(copy: Bucket) -> None:
    """A tombstone hides the leases that are made to count."""
    await check(copy, restored=True)
    await copy.registry.manifests.delete(REPO, Digest.of(INDEX))
    copy.clock.advance(3 * DEADLINE_S)
    for key in keys_below(copy.store, ""):
        await copy.store.put(key, (await copy.store.get(key)).body)
    report = await check(copy, restored=True)
    assert (report.manifests, report.tags) == (1, 0)
    with pytest.raises(ManifestUnknown):
        await copy.registry.manifests.find(REPO, Digest.of(INDEX))


async def test_what_a_push_left_half_written_is_mended_at_once(copy: Bucket) -> None:
    """The lease was copied before the push wrote its entry. No push is under way in a copy, however young it is."""
    del copy.store.objects[keys.entry(REPO, "blobs", BLOB)]
    report = await Checker(copy.store, repair=True, restored=True, settings=NUMBERS).run()
    assert [(problem.what, problem.fate) for problem in report.problems] == [
        ("its entry is lost; a lease has it", "repaired")
    ]
    assert (await check(copy, restored=False)).problems == []


async def test_a_restoring_that_broke_off_goes_on(copy: Bucket) -> None:
    """A lease with both keys is restored all the same: the late one is deleted."""
    [late] = keys_below(copy.store, keys.leases(REPO, "blobs", BLOB))
    assert keys.lease_until(late) is not None
    await copy.store.put(keys.without_until(late), (await copy.store.get(late)).body)
    assert (await check(copy, restored=True)).problems == []
    assert keys_below(copy.store, keys.leases(REPO, "blobs", BLOB)) == [keys.without_until(late)]
