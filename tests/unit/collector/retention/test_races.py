"""Retention beside pushes: whatever relies on a manifest, or names it, in the moment before it goes, keeps it."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import pytest
import trio

from tests.unit.collector.retention.support import BOTH, DELAY_S, NEWEST, UNTAGGED, Kept, index
from tests.unit.registry.support import BUDGET_BYTES, NO_CONDITIONS, PART_BYTES, REPO
from tests.unit.registry.test_manifests import V1, V2, image, referrers_of, tags_of
from zotpy.core import keys
from zotpy.core.digests import Digest
from zotpy.core.errors import ManifestBlobUnknown
from zotpy.core.manifests import OCI_IMAGE, OCI_INDEX
from zotpy.core.names import Tag
from zotpy.registry.budget import MemoryBudget
from zotpy.registry.registry import Registry, open_registry
from zotpy.store.interface import StoreUnavailable

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from tests.unit.registry.support import Step
    from zotpy.collector import Policy
    from zotpy.store.faulty import Moment
    from zotpy.store.interface import Features

UNTAGGED_IMAGE = Digest.of(image())
ENTRY = keys.entry(REPO, "manifests", UNTAGGED_IMAGE)
MARKERS = keys.tagged(REPO, UNTAGGED_IMAGE)
SEEN_BEFORE_THE_END: list[tuple[Moment, str, str]] = [
    ("after", "list", keys.all_of(keys.LEASES, REPO)),
    ("after", "list", keys.all_of(keys.ENTRIES, REPO)),
    ("after", "list", keys.tags(REPO)),
    ("after", "get", ENTRY),
    ("before", "list", MARKERS),
    ("after", "list", MARKERS),
    ("before", "put", ENTRY),
]
"""Where a collection that has seen an untagged manifest stops, until at last it has just not buried it."""
stops = pytest.mark.parametrize(("moment", "operation", "key"), SEEN_BEFORE_THE_END)


@pytest.fixture
async def kept() -> Kept:
    """Return a bucket in which a manifest is to go: it is old, and no tag names it."""
    made = await Kept.open()
    await made.bucket.push_image(tag="v1")
    await made.bucket.registry.manifests.delete_tag(REPO, V1)
    made.bucket.clock.advance(DELAY_S + 1)
    return made


async def meanwhile(kept: Kept, parked: Step, work: Callable[[], Awaitable[object]], policy: Policy = UNTAGGED) -> int:
    """Do something where the collection was told to stop; returns how many tags and manifests have gone."""
    gone = []

    async def collect() -> None:
        summary = await kept.collect(policy, store=kept.bucket.slow)
        gone.append(summary.manifests_expired + summary.tags_expired)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(collect)
        await parked.reached.wait()
        await work()
        parked.go_on.set()
    return gone[0]


async def test_it_goes_where_nothing_happens(kept: Kept) -> None:
    """What the other tests rely on."""
    assert (await kept.collect(UNTAGGED)).manifests_expired == 1
    assert not await kept.has(UNTAGGED_IMAGE)


@stops
async def test_a_manifest_that_is_pushed_again_stays(kept: Kept, moment: Moment, operation: str, key: str) -> None:
    """By its digest, without any tag: it is young then."""
    parked = kept.bucket.script.park(moment, operation, key)
    push = partial(kept.bucket.registry.manifests.push, REPO, UNTAGGED_IMAGE, image(), OCI_IMAGE)
    assert await meanwhile(kept, parked, push) == 0
    assert await kept.has(UNTAGGED_IMAGE)


@stops
async def test_a_manifest_that_a_tag_comes_to_name_stays(kept: Kept, moment: Moment, operation: str, key: str) -> None:
    """With the tag."""
    parked = kept.bucket.script.park(moment, operation, key)
    assert await meanwhile(kept, parked, kept.bucket.push_image) == 0
    assert (await kept.has(UNTAGGED_IMAGE), await kept.has(V1)) == (True, True)


@stops
async def test_a_manifest_that_an_index_comes_to_name_stays(
    kept: Kept, moment: Moment, operation: str, key: str
) -> None:
    """Also where the index came too late to be seen itself: it has renewed the manifest's lease."""
    parked = kept.bucket.script.park(moment, operation, key)
    assert await meanwhile(kept, parked, partial(kept.push_index, UNTAGGED_IMAGE, tag="v2")) == 0
    assert (await kept.has(UNTAGGED_IMAGE), await kept.has(V2)) == (True, True)


async def _slow_replica(kept: Kept) -> Registry:
    return await open_registry(
        kept.bucket.slow, kept.bucket.registry.settings, MemoryBudget(BUDGET_BYTES, 2 * PART_BYTES)
    )


@pytest.mark.parametrize(
    ("moment", "operation", "key"),
    [
        ("after", "get", ENTRY),
        ("before", "put", keys.leases(REPO, "manifests", UNTAGGED_IMAGE)),
        ("after", "put", keys.leases(REPO, "manifests", UNTAGGED_IMAGE)),
        ("before", "put", keys.tag(REPO, V1)),
        ("after", "put", keys.tag(REPO, V1)),
        ("before", "put", ENTRY),
        ("after", "put", ENTRY),
    ],
)
async def test_a_push_that_a_whole_collection_overtakes_is_acknowledged_rightly(
    kept: Kept, moment: Moment, operation: str, key: str
) -> None:
    """Manifest and tag are there when the push has returned, wherever it was meanwhile."""
    registry = await _slow_replica(kept)
    parked = kept.bucket.script.park(moment, operation, key)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(partial(registry.manifests.push, REPO, V1, image(), OCI_IMAGE))
        await parked.reached.wait()
        await kept.collect(UNTAGGED)
        parked.go_on.set()
    assert (await kept.has(UNTAGGED_IMAGE), await kept.has(V1)) == (True, True)
    kept.bucket.clock.advance(DELAY_S + 1)
    await kept.collect(UNTAGGED)
    assert (await kept.has(UNTAGGED_IMAGE), await kept.has(V1)) == (True, True)


@pytest.mark.parametrize(
    ("moment", "operation", "key"),
    [
        ("after", "get", ENTRY),
        ("after", "put", keys.leases(REPO, "manifests", UNTAGGED_IMAGE)),
        ("after", "put", ENTRY),
        ("before", "put", keys.tag(REPO, V2)),
    ],
)
async def test_the_push_of_an_index_is_refused_or_keeps_its_manifests(
    kept: Kept, moment: Moment, operation: str, key: str
) -> None:
    """Of the push and a whole collection in its middle one comes wholly before the other."""
    registry = await _slow_replica(kept)
    parked = kept.bucket.script.park(moment, operation, key)
    refused = []

    async def push() -> None:
        try:
            await registry.manifests.push(REPO, V2, index(UNTAGGED_IMAGE), OCI_INDEX)
        except ManifestBlobUnknown:
            refused.append(V2)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(push)
        await parked.reached.wait()
        await kept.collect(UNTAGGED)
        parked.go_on.set()
    assert await kept.has(V2) == await kept.has(UNTAGGED_IMAGE) == (not refused)
    assert bool(refused) == (operation == "get")  # else it has shown already that it relies on the manifest


async def test_an_index_that_stays_after_all_keeps_its_manifests() -> None:
    """It was to go with them; in the last moment another index came to need it, which has not touched its children."""
    kept = await Kept.open()
    child = await kept.bucket.push_image()
    inner = await kept.push_index(child)
    await kept.bucket.registry.manifests.delete_tag(REPO, V1)
    kept.bucket.clock.advance(DELAY_S + 1)
    parked = kept.bucket.script.park("before", "put", keys.entry(REPO, "manifests", inner))
    assert await meanwhile(kept, parked, partial(kept.push_index, inner, tag="v2")) == 0
    assert (await kept.has(inner), await kept.has(child)) == (True, True)


async def _cut_push(kept: Kept, body: bytes) -> None:
    """Push an index of which only the lease is written: its replica dies."""
    registry = await _slow_replica(kept)
    kept.bucket.script.fail("after", "put", keys.leases(REPO, "manifests", Digest.of(body)), StoreUnavailable("cut"))
    with pytest.raises(StoreUnavailable):
        await registry.manifests.push(REPO, V2, body, OCI_INDEX)


async def test_what_a_push_left_that_broke_off_keeps_its_manifests_and_goes_with_them(kept: Kept) -> None:
    """Such an index has a lease and no entry, and can be pulled."""
    outer = index(UNTAGGED_IMAGE)
    await _cut_push(kept, outer)
    kept.bucket.clock.advance(DELAY_S / 2)
    assert (await kept.collect(UNTAGGED)).manifests_expired == 0
    assert (await kept.has(Digest.of(outer)), await kept.has(UNTAGGED_IMAGE)) == (True, True)
    kept.bucket.clock.advance(DELAY_S)
    assert (await kept.collect(UNTAGGED)).manifests_expired == 2
    assert (await kept.has(Digest.of(outer)), await kept.has(UNTAGGED_IMAGE)) == (False, False)


async def test_what_a_push_left_that_broke_off_stays_where_something_comes_to_need_it(kept: Kept) -> None:
    """Whoever relies on it writes its entry."""
    outer = index(UNTAGGED_IMAGE)
    await _cut_push(kept, outer)
    kept.bucket.clock.advance(DELAY_S + 1)
    parked = kept.bucket.script.park("before", "put", keys.entry(REPO, "manifests", Digest.of(outer)))
    assert await meanwhile(kept, parked, partial(kept.push_index, Digest.of(outer), tag="v1")) == 0
    assert (await kept.has(V1), await kept.has(Digest.of(outer)), await kept.has(UNTAGGED_IMAGE)) == (True, True, True)


async def test_referrers_of_a_subject_that_stays_after_all_stay() -> None:
    """They were to go with it."""
    kept = await Kept.open()
    subject = await kept.bucket.push_image()
    referrer = image(subject=subject, note="referrer")
    await kept.bucket.registry.manifests.push(REPO, Digest.of(referrer), referrer, OCI_IMAGE)
    signature = Tag(f"sha256-{subject.hex}.sig")
    await kept.bucket.push_image(tag=signature.text, note="signature")
    await kept.bucket.registry.manifests.delete_tag(REPO, V1)
    kept.bucket.clock.advance(DELAY_S + 1)
    parked = kept.bucket.script.park("before", "put", keys.entry(REPO, "manifests", subject))
    assert await meanwhile(kept, parked, kept.bucket.push_image, BOTH) == 0
    assert await referrers_of(kept.bucket.registry, subject) == [str(Digest.of(referrer))]
    assert await tags_of(kept.bucket.registry) == [signature.text, "v1"]


@pytest.mark.parametrize("note", ["", "other"], ids=["same", "another"])
@pytest.mark.parametrize("features", [None, NO_CONDITIONS], ids=["conditions", "no-conditions"])
async def test_a_tag_that_is_pushed_again_stays(features: Features | None, note: str) -> None:
    """It is younger than the one that was judged, and so is what it names."""
    kept = await Kept.open(features)
    await kept.bucket.push_image()
    kept.bucket.clock.advance(1)
    await kept.bucket.push_image(tag="v2", note="newest")
    kept.bucket.clock.advance(DELAY_S + 1)
    parked = kept.bucket.script.park("after", "list", keys.all_of(keys.TAGGED, REPO))
    assert await meanwhile(kept, parked, partial(kept.bucket.push_image, note=note), NEWEST) == 0
    assert await tags_of(kept.bucket.registry) == ["v1", "v2"]
    assert await kept.has(V1)


async def test_a_tag_that_a_push_has_written_is_there_from_then_on(kept: Kept) -> None:
    """Also where the push is not done, and the entry is still the one that the collection has read."""
    registry = await _slow_replica(kept)
    looking = kept.bucket.script.park("before", "list", MARKERS)
    almost: list[Step] = []

    async def push_almost() -> None:
        almost.append(kept.bucket.script.park("before", "put", ENTRY))
        nursery.start_soon(partial(registry.manifests.push, REPO, V1, image(), OCI_IMAGE))
        await almost[0].reached.wait()

    async with trio.open_nursery() as nursery:
        assert await meanwhile(kept, looking, push_almost) == 0
        assert await tags_of(kept.bucket.registry) == ["v1"]
        almost[0].go_on.set()
    assert (await kept.has(UNTAGGED_IMAGE), await kept.has(V1)) == (True, True)


async def test_two_collections_at_once_do_no_more_than_one(kept: Kept) -> None:
    """The second finds the tombstone of the first."""
    kept_tag = await kept.bucket.push_image(tag="v2", note="kept")
    parked = kept.bucket.script.park("before", "put", ENTRY)
    assert await meanwhile(kept, parked, partial(kept.collect, UNTAGGED)) == 0
    assert (await kept.has(UNTAGGED_IMAGE), await kept.has(kept_tag)) == (False, True)


async def test_a_collection_that_breaks_off_anywhere_leaves_everything_whole() -> None:
    """A crash at any of its calls: what stays can be pulled, with its children, and the next collection ends it."""
    call, ends = 0, False
    while not ends:
        kept = await Kept.open()
        child = await kept.bucket.push_image(tag="child", note="child")
        outer = await kept.push_index(await kept.push_index(child), tag="v1")
        await kept.bucket.registry.manifests.delete_tag(REPO, Tag("child"))
        kept.bucket.clock.advance(1)
        await kept.push_index(child, await kept.bucket.push_image(tag="v2", note="other"), tag="v2")
        kept.bucket.clock.advance(DELAY_S + 1)
        ends = await _collect_until_call(kept, call)
        assert await kept.has(V2)
        assert await kept.has(child)
        if await kept.has(outer):
            for digest in {*(await _mentions(kept, outer))}:
                assert await kept.has(digest)
        await kept.collect(NEWEST)
        assert await tags_of(kept.bucket.registry) == ["v2"]
        assert (await kept.has(child), await kept.has(outer)) == (True, False)
        call += 1
    assert call > 20


async def _collect_until_call(kept: Kept, call: int) -> bool:
    """Collect, and crash before this call; returns whether the collection ended before it."""
    count = 0

    class Crash(Exception):
        """The process is gone."""

    async def fault(moment: Moment, operation: str, key: str) -> None:
        nonlocal count
        del operation, key
        count += moment == "before"
        if count > call:
            raise StoreUnavailable

    store = kept.bucket.slow
    store.faults = fault  # type: ignore[attr-defined] # it is a faulty one
    try:
        await kept.collect(NEWEST, store=store)
    except StoreUnavailable:
        return False
    return True


async def _mentions(kept: Kept, digest: Digest) -> list[Digest]:
    found = await kept.bucket.registry.manifests.find(REPO, digest)
    names = [line for line in found.value.content.decode().split('"') if line.startswith("sha256:")]
    return [Digest.parse(name) for name in names]
