"""Pushes that a whole collection overtakes: acknowledged rightly, wherever they were meanwhile."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import pytest
import trio

from tests.unit.collector.retention.support import (
    DELAY_S,
    ENTRY,
    MARKERS,
    UNTAGGED,
    UNTAGGED_IMAGE,
    Kept,
    index,
    meanwhile,
    slow_replica,
)
from tests.unit.registry.support import REPO
from tests.unit.registry.test_manifests import V1, V2, image, tags_of
from zotpy.core import keys
from zotpy.core.errors import ManifestBlobUnknown
from zotpy.core.media_types import OCI_IMAGE, OCI_INDEX

if TYPE_CHECKING:
    from tests.unit.registry.support import Step
    from zotpy.store.faulty import Moment


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
    registry = await slow_replica(kept)
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
    registry = await slow_replica(kept)
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


async def test_a_tag_that_a_push_has_written_is_there_from_then_on(kept: Kept) -> None:
    """The tag exists even if the push is not done, and the entry is still the one that the collection has read."""
    registry = await slow_replica(kept)
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
