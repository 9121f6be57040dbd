"""Collections and pushes that break off: whatever stays is whole, and what was left goes in the end."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import pytest

from tests.unit.collector.retention.support import (
    DELAY_S,
    NEWEST,
    UNTAGGED,
    UNTAGGED_IMAGE,
    Kept,
    index,
    meanwhile,
    slow_replica,
)
from tests.unit.registry.support import REPO
from tests.unit.registry.test_manifests import V1, V2, tags_of
from zotpy.core import keys
from zotpy.core.digests import Digest
from zotpy.core.media_types import OCI_INDEX
from zotpy.core.names import Tag
from zotpy.store.interface import StoreUnavailable

if TYPE_CHECKING:
    from zotpy.store.faulty import Moment


async def _cut_push(kept: Kept, body: bytes) -> None:
    """Push an index of which only the lease is written: its replica dies."""
    registry = await slow_replica(kept)
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
