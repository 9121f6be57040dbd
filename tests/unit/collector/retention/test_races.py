"""Retention beside pushes: whatever relies on a manifest, or names it, in the moment before it goes, keeps it."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import pytest

from tests.unit.collector.retention.support import (
    BOTH,
    DELAY_S,
    ENTRY,
    MARKERS,
    NEWEST,
    UNTAGGED,
    UNTAGGED_IMAGE,
    Kept,
    meanwhile,
)
from tests.unit.registry.support import NO_CONDITIONS, REPO
from tests.unit.registry.test_manifests import V1, V2, image, referrers_of, tags_of
from zotpy.core import keys
from zotpy.core.digests import Digest
from zotpy.core.media_types import OCI_IMAGE
from zotpy.core.names import Tag

if TYPE_CHECKING:
    from zotpy.store.faulty import Moment
    from zotpy.store.interface import Features


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


async def test_it_goes_where_nothing_happens(kept: Kept) -> None:
    """What the other tests rely on."""
    assert (await kept.collect(UNTAGGED)).manifests_expired == 1
    assert not await kept.has(UNTAGGED_IMAGE)


@stops
async def test_a_manifest_that_is_pushed_again_stays(kept: Kept, moment: Moment, operation: str, key: str) -> None:
    """A push by digest alone, without a tag, makes it young."""
    parked = kept.bucket.script.park(moment, operation, key)
    push = partial(kept.bucket.registry.manifests.push, REPO, UNTAGGED_IMAGE, image(), OCI_IMAGE)
    assert await meanwhile(kept, parked, push) == 0
    assert await kept.has(UNTAGGED_IMAGE)


@stops
async def test_a_manifest_that_a_tag_comes_to_name_stays(kept: Kept, moment: Moment, operation: str, key: str) -> None:
    """The manifest and the tag both stay."""
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


async def test_an_index_that_stays_after_all_keeps_its_manifests() -> None:
    """It was to be deleted with them. At the last moment another index needs it, which has not touched its children."""
    kept = await Kept.open()
    child = await kept.bucket.push_image()
    inner = await kept.push_index(child)
    await kept.bucket.registry.manifests.delete_tag(REPO, V1)
    kept.bucket.clock.advance(DELAY_S + 1)
    parked = kept.bucket.script.park("before", "put", keys.entry(REPO, "manifests", inner))
    assert await meanwhile(kept, parked, partial(kept.push_index, inner, tag="v2")) == 0
    assert (await kept.has(inner), await kept.has(child)) == (True, True)


async def test_referrers_of_a_subject_that_stays_after_all_stay() -> None:
    """They were to be deleted with it."""
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


async def test_two_collections_at_once_do_no_more_than_one(kept: Kept) -> None:
    """The second finds the tombstone of the first."""
    kept_tag = await kept.bucket.push_image(tag="v2", note="kept")
    parked = kept.bucket.script.park("before", "put", ENTRY)
    assert await meanwhile(kept, parked, partial(kept.collect, UNTAGGED)) == 0
    assert (await kept.has(UNTAGGED_IMAGE), await kept.has(kept_tag)) == (False, True)
