"""Pulls as a reason to keep tags: counted from all replicas, put together by collections, and never lost by them."""

from __future__ import annotations

from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING

import pytest
import trio

from tests.unit.collector.retention.support import ALL, NEWEST, PULLED, PULLED_S, Kept
from tests.unit.registry.support import OTHER, REPO, keys_below
from tests.unit.registry.test_manifests import V1, V2, tags_of
from zotpy.core import keys
from zotpy.core.digests import Digest
from zotpy.core.pulls import decode_pulls
from zotpy.registry.pull_log import PullLog
from zotpy.settings import KeepTagsSettings, PolicySettings
from zotpy.store.interface import StoreUnavailable

if TYPE_CHECKING:
    from zotpy.store.faulty import Moment


@pytest.fixture
async def kept() -> Kept:
    """Return a bucket with two tags, pushed long ago, and replicas that have noted pulls since before that."""
    made = await Kept.open()
    await noted(made)
    await made.bucket.push_image(tag="v1", note="one")
    await made.bucket.push_image(tag="v2", note="two")
    made.bucket.clock.advance(PULLED_S + 1)
    return made


async def noted(kept: Kept, *digests: Digest) -> None:
    """Let a replica write down that these were pulled now."""
    log = PullLog(kept.bucket.store, 1.0)
    for digest in digests:
        log.note(REPO, digest)
    await log.write()


async def digest_of(kept: Kept, tag: str) -> Digest:
    """Return what a tag names."""
    return (await kept.bucket.registry.manifests.find(REPO, V1 if tag == "v1" else V2)).digest


def written(kept: Kept) -> list[list[Digest]]:
    """Return the manifests of each object that tells of pulls."""
    objects = [kept.bucket.store.objects[key] for key in pull_keys(kept)]
    return [[pull.digest for pull in decode_pulls(each.body, each.last_modified)] for each in objects]


def pull_keys(kept: Kept) -> list[str]:
    """Return the keys of those objects."""
    return [key for key in keys_below(kept.bucket.store, keys.PULLS) if key != keys.PULLS_SINCE]


async def test_a_tag_whose_manifest_was_pulled_stays(kept: Kept) -> None:
    """By any replica, by tag or by digest; the last pull counts."""
    one = await digest_of(kept, "v1")
    await noted(kept, one)
    kept.bucket.clock.advance(PULLED_S / 2)
    await noted(kept, one)
    kept.bucket.clock.advance(PULLED_S / 2 + 1)
    assert (await kept.collect(PULLED)).tags_expired == 1
    assert await tags_of(kept.bucket.registry) == ["v1"]
    kept.bucket.clock.advance(PULLED_S / 2)
    assert (await kept.collect(PULLED)).tags_expired == 1


async def test_collections_put_together_what_may_matter_later(kept: Kept) -> None:
    """One object is left, without what is gone, or too long ago, or of no policy; a dry run leaves all as it is."""
    one, two = await digest_of(kept, "v1"), await digest_of(kept, "v2")
    await noted(kept, two)
    kept.bucket.clock.advance(PULLED_S + 1)
    await noted(kept, one, Digest.of(b"gone"))
    await noted(kept, one)
    before = kept.bucket.left
    await kept.collect(PULLED, dry_run=True)
    assert kept.bucket.left == before
    await kept.collect(PULLED)
    assert written(kept) == [[one]]
    await kept.collect(PULLED)
    assert written(kept) == [[one]]
    elsewhere = PullLog(kept.bucket.store, 1.0)
    elsewhere.note(OTHER, one)
    await elsewhere.write()
    await kept.collect(PULLED)
    assert written(kept) == [[one]]


async def test_the_times_survive_being_put_together(kept: Kept) -> None:
    """They are of the pulls, not of the collections."""
    one = await digest_of(kept, "v1")
    await noted(kept, one)
    await noted(kept, one)
    for _ in range(3):
        await kept.collect(PULLED)
        kept.bucket.clock.advance(PULLED_S / 3)
    await noted(kept, await digest_of(kept, "v1"))
    assert (await tags_of(kept.bucket.registry)) == ["v1"]
    kept.bucket.clock.advance(PULLED_S + 1)
    assert (await kept.collect(PULLED)).tags_expired == 1


async def test_those_pulled_last_are_known_however_long_ago() -> None:
    """A rule that counts has no end of time."""
    kept = await Kept.open()
    await noted(kept)
    await kept.bucket.push_image(tag="v1", note="one")
    await kept.bucket.push_image(tag="v2", note="two")
    await noted(kept, await digest_of(kept, "v1"))
    await noted(kept)
    kept.bucket.clock.advance(1)
    await noted(kept, await digest_of(kept, "v1"))
    kept.bucket.clock.advance(timedelta(days=400).total_seconds())
    last = PolicySettings(ALL, delete_untagged=False, keep_tags=(KeepTagsSettings(most_recently_pulled_count=1),))
    assert (await kept.collect(last)).tags_expired == 1
    assert await tags_of(kept.bucket.registry) == ["v1"]
    assert len(written(kept)) == 1


async def test_who_stops_asking_starts_anew(kept: Kept) -> None:
    """A collection without such a rule forgets all, so that a later one does not take the gap for a lack of pulls."""
    await noted(kept, await digest_of(kept, "v1"))
    await kept.collect(NEWEST, dry_run=True)
    assert keys_below(kept.bucket.store, keys.PULLS) != []
    await kept.collect(PolicySettings(ALL, delete_untagged=False))
    assert keys_below(kept.bucket.store, keys.PULLS) == []
    assert (await kept.collect(PULLED)).tags_expired == 0
    await noted(kept)
    kept.bucket.clock.advance(PULLED_S - 1)
    assert (await kept.collect(PULLED)).tags_expired == 0
    kept.bucket.clock.advance(1)
    assert (await kept.collect(PULLED)).tags_expired == 2


@pytest.mark.parametrize(("moment", "operation"), [("before", "put"), ("after", "put"), ("before", "delete_many")])
async def test_a_collection_that_breaks_off_forgets_no_pull(kept: Kept, moment: Moment, operation: str) -> None:
    """What it read is deleted only after it was written anew."""
    one = await digest_of(kept, "v1")
    await noted(kept, one)
    await noted(kept, one)
    kept.bucket.script.fail(moment, operation, keys.PULLS, StoreUnavailable("down"))
    with pytest.raises(StoreUnavailable):
        await kept.collect(PULLED, store=kept.bucket.slow)
    assert (await kept.collect(PULLED)).tags_expired == 0
    assert await tags_of(kept.bucket.registry) == ["v1"]
    assert written(kept) == [[one]]


@pytest.mark.parametrize(("moment", "operation"), [("after", "list"), ("before", "get"), ("before", "put")])
async def test_pulls_that_another_collection_puts_together_meanwhile_count(
    kept: Kept, moment: Moment, operation: str
) -> None:
    """What was listed but deleted meanwhile is found again in what the other one has written."""
    one = await digest_of(kept, "v1")
    await noted(kept, one)
    await noted(kept, one)
    parked = kept.bucket.script.park(moment, operation, keys.PULLS)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(partial(kept.collect, PULLED, store=kept.bucket.slow))
        await parked.reached.wait()
        await kept.collect(PULLED)
        parked.go_on.set()
    assert await tags_of(kept.bucket.registry) == ["v1"]
    await noted(kept, one)
    await kept.collect(PULLED)
    assert written(kept) == [[one]]


async def test_damage_keeps_everything_and_is_told(kept: Kept) -> None:
    """Where it cannot be read what was pulled, no tag is deleted for a lack of pulls."""
    await kept.bucket.store.put(keys.pulls("damaged"), b"?")
    summary = await kept.collect(PULLED)
    assert (summary.tags_expired, len(summary.problems)) == (0, 1)
    assert summary.problems[0].startswith("pulls/: ")
    assert pull_keys(kept) == [keys.pulls("damaged")]


async def test_pulls_stay_where_a_repository_cannot_be_looked_at(kept: Kept) -> None:
    """They are put together when all could be."""
    one = await digest_of(kept, "v1")
    await noted(kept, one)
    await noted(kept, one)
    await kept.bucket.store.put(keys.tag(OTHER, V1), b"?")
    summary = await kept.collect(PULLED)
    assert len(summary.problems) == 1
    assert written(kept) == [[one], [one]]
