"""Retention over a registry: what goes, what stays, what is told, and what comes back with it."""

from __future__ import annotations

import pytest

from tests.unit.collector.retention.support import ALL, BOTH, DELAY_S, NEWEST, UNTAGGED, Kept
from tests.unit.registry.support import NO_CONDITIONS, REPO, keys_below
from tests.unit.registry.test_manifests import V1, V2, image, referrers_of, tags_of
from zotpy.core import keys
from zotpy.core.digests import Digest
from zotpy.core.globs import read_glob
from zotpy.core.media_types import OCI_IMAGE
from zotpy.core.names import Tag
from zotpy.settings import KeepTagsSettings, PolicySettings

UNNAMED = "no tag names it, and nothing that stays refers to it"


@pytest.fixture
async def kept() -> Kept:
    """Return a bucket with a config in it."""
    return await Kept.open()


async def test_tags_go_and_with_them_the_manifests_and_blobs_that_only_they_named(kept: Kept) -> None:
    """The tag at once, its manifest after the delay; what others share stays."""
    layer = await kept.bucket.push_large(seed=3)
    old = await kept.bucket.push_image(layer, tag="v1", note="old")
    kept.bucket.clock.advance(1)
    new = await kept.bucket.push_image(tag="v2")
    first = await kept.collect(NEWEST)
    assert (first.tags_expired, first.manifests_expired) == (1, 0)
    assert (await tags_of(kept.bucket.registry), await kept.has(old)) == (["v2"], True)
    kept.bucket.clock.advance(DELAY_S)
    second = await kept.collect(NEWEST)
    assert (second.tags_expired, second.manifests_expired, second.records_deleted) == (0, 1, 1)
    assert (await kept.has(old), await kept.has(new), await kept.has(V2)) == (False, True, True)
    await kept.bucket.collect_until_clean()
    assert (kept.bucket.data, keys_below(kept.bucket.store, keys.tagged(REPO, old))) == ([], [])


async def test_without_a_policy_nothing_goes(kept: Kept) -> None:
    """Nothing is deleted either if the first policy that matches takes nothing: later ones do not count."""
    untagged = await kept.push_index(await kept.bucket.push_image())
    kept.bucket.clock.advance(DELAY_S + 1)
    keep_all = PolicySettings((read_glob("team/*"),), delete_untagged=False)
    for policies in [(), (keep_all, UNTAGGED), (PolicySettings((read_glob("other/**"),)),)]:
        summary = await kept.collect(*policies)
        assert (summary.tags_expired, summary.manifests_expired) == (0, 0)
    assert await kept.has(untagged)


async def test_untagged_manifests_go_after_the_delay_and_children_stay_with_their_index(kept: Kept) -> None:
    """The delay counts from the push, and no shorter than the grace."""
    child = await kept.bucket.push_image(tag="child", note="child")
    await kept.push_index(child, tag="v1")
    untagged = await kept.bucket.push_image(tag="other", note="untagged")
    for tag in (Tag("child"), Tag("other")):
        await kept.bucket.registry.manifests.delete_tag(REPO, tag)
    kept.bucket.clock.advance(DELAY_S)
    assert (await kept.collect(UNTAGGED)).manifests_expired == 0
    kept.bucket.clock.advance(1)
    assert (await kept.collect(UNTAGGED)).manifests_expired == 1
    assert (await kept.has(untagged), await kept.has(child)) == (False, True)
    await kept.bucket.registry.manifests.delete_tag(REPO, V1)
    assert (await kept.collect(UNTAGGED)).manifests_expired == 2
    assert not await kept.has(child)


async def test_referrers_go_with_their_subject_where_the_policy_says_so(kept: Kept) -> None:
    """Those of what stays do not; and the list of referrers is empty afterwards."""
    subject = await kept.bucket.push_image(tag="v1")
    gone = await kept.bucket.push_image(tag="v2", note="goes")
    referrers = [image(subject=each, note="referrer") for each in (subject, gone)]
    for body in referrers:
        await kept.bucket.registry.manifests.push(REPO, Digest.of(body), body, OCI_IMAGE)
    await kept.bucket.registry.manifests.delete_tag(REPO, V2)
    kept.bucket.clock.advance(DELAY_S + 1)
    assert (await kept.collect(UNTAGGED)).manifests_expired == 1
    assert await referrers_of(kept.bucket.registry, gone) == [str(Digest.of(referrers[1]))]
    assert (await kept.collect(BOTH)).manifests_expired == 1
    assert await referrers_of(kept.bucket.registry, gone) == []
    assert await referrers_of(kept.bucket.registry, subject) == [str(Digest.of(referrers[0]))]


async def test_tags_of_signatures_are_judged_by_their_subject_alone(kept: Kept) -> None:
    """They neither count among the newest tags nor go for matching no pattern."""
    subject = await kept.bucket.push_image(tag="v1")
    kept.bucket.clock.advance(1)
    signature = Tag(f"sha256-{subject.hex}.sig")
    await kept.bucket.push_image(tag=signature.text, note="signature")
    kept.bucket.clock.advance(DELAY_S + 1)
    newest = PolicySettings(NEWEST.repositories, delete_referrers=True, keep_tags=NEWEST.keep_tags)
    assert (await kept.collect(newest)).tags_expired == 0
    await kept.bucket.registry.manifests.delete(REPO, subject)
    summary = await kept.collect(newest)
    assert (summary.tags_expired, summary.manifests_expired) == (1, 1)
    assert await tags_of(kept.bucket.registry) == []


async def test_a_tag_that_has_moved_belongs_to_what_it_names_now(kept: Kept) -> None:
    """A marker that it left behind does not keep what it named."""
    old = await kept.bucket.push_image(tag="v1", note="old")
    new = await kept.bucket.push_image(tag="v1", note="new")
    kept.bucket.clock.advance(DELAY_S + 1)
    assert (await kept.collect(UNTAGGED)).manifests_expired == 1
    assert (await kept.has(old), await kept.has(new)) == (False, True)


async def test_a_dry_run_tells_what_would_go_and_why(kept: Kept) -> None:
    """The counts are those of the run after it."""
    old = await kept.bucket.push_image(await kept.bucket.push_large(), tag="v1", note="old")
    kept.bucket.clock.advance(1)
    await kept.bucket.push_image(tag="v2")
    kept.bucket.clock.advance(DELAY_S + 1)
    before = kept.bucket.left
    told = (await kept.collect(NEWEST, dry_run=True)).as_dict()
    assert kept.bucket.left == before
    assert kept.told == [
        "team/app v1: it is not among the 1 pushed last (keepTags[0])",
        f"team/app {old}: no tag names it, and nothing that stays refers to it",
    ]
    done = (await kept.collect(NEWEST)).as_dict()
    assert done | {"dry_run": True} == told
    assert (done["tags_expired"], done["manifests_expired"], done["records_deleted"]) == (1, 1, 1)
    assert len(kept.told) == 2


async def test_retention_can_be_a_dry_run_by_itself(kept: Kept) -> None:
    """The rest of the collection is not: but what retention would let go still counts as needed."""
    await kept.bucket.push_image(await kept.bucket.push_large(), tag="v1", note="old")
    kept.bucket.clock.advance(1)
    await kept.bucket.push_image(tag="v2")
    garbage = await kept.bucket.push_large(seed=5)
    kept.bucket.clock.advance(DELAY_S + 1)
    summary = await kept.collect(NEWEST, only_says=True)
    assert (summary.retention_dry_run, summary.tags_expired, summary.manifests_expired) == (True, 1, 1)
    assert len(kept.told) == 2
    assert summary.records_deleted == 1
    assert keys_below(kept.bucket.store, keys.leases(REPO, "blobs", garbage)) == []
    assert await tags_of(kept.bucket.registry) == ["v1", "v2"]
    assert await kept.has(V1)


async def test_without_conditional_writes_tags_go_and_manifests_stay(kept: Kept) -> None:
    """Such a store cannot tell whether a manifest was pushed again: the summary says how many stay for that."""
    del kept
    kept = await Kept.open(NO_CONDITIONS)
    old = await kept.bucket.push_image(tag="v1", note="old")
    kept.bucket.clock.advance(1)
    await kept.bucket.push_image(tag="v2")
    kept.bucket.clock.advance(DELAY_S + 1)
    summary = await kept.collect(NEWEST)
    assert (summary.tags_expired, summary.manifests_expired, summary.manifests_held) == (1, 0, 1)
    assert (await tags_of(kept.bucket.registry), await kept.has(old)) == (["v2"], True)


async def test_manifests_are_read_once_where_any_may_go_and_else_not_for_retention(kept: Kept) -> None:
    """The sweep of the records uses what retention has read."""
    for name in ("v1", "v2", "v3"):
        await kept.bucket.push_image(tag=name, note=name)
    assert (await kept.collect(UNTAGGED)).manifests_read == 0
    kept.bucket.clock.advance(DELAY_S + 1)
    assert (await kept.collect(UNTAGGED)).manifests_read == 3
    await kept.bucket.registry.manifests.delete_tag(REPO, V1)
    assert (await kept.collect(UNTAGGED)).manifests_read == 3
    assert (await kept.collect(UNTAGGED)).manifests_read == 2


async def test_untagged_manifests_that_a_rule_keeps_stay(kept: Kept) -> None:
    """A build cache: of its exports, each of which takes the tag from the one before, the newest untagged ones stay."""
    exports = []
    for number in range(4):
        child = await kept.bucket.push_image(tag="child", note=f"{number}")
        await kept.bucket.registry.manifests.delete_tag(REPO, Tag("child"))
        exports.append((await kept.push_index(child, tag="cache"), child))
        kept.bucket.clock.advance(1)
    kept.bucket.clock.advance(DELAY_S)
    rule = PolicySettings(ALL, keep_untagged=KeepTagsSettings(most_recently_pushed_count=2))
    dry = await kept.collect(rule, dry_run=True)
    oldest, child = exports[0]
    assert sorted(kept.told) == sorted(
        [
            f"{REPO} {oldest}: {UNNAMED}; it is not among the 2 pushed last (keepUntagged)",
            f"{REPO} {child}: {UNNAMED}",
        ]
    )
    for _ in range(3):
        await kept.collect(rule)
        kept.bucket.clock.advance(DELAY_S)
    assert dry.manifests_expired == 2
    there = [(await kept.has(index), await kept.has(child)) for index, child in exports]
    assert there == [(False, False), (True, True), (True, True), (True, True)]
    await kept.collect(PolicySettings(ALL, keep_untagged=KeepTagsSettings(pushed_within_s=1)))
    assert [await kept.has(index) for index, _ in exports] == [False, False, False, True]


async def test_untagged_manifests_stay_while_it_is_not_known_what_was_pulled(kept: Kept) -> None:
    """Tags stay as well: what nobody has noted is no reason to delete anything."""
    untagged = await kept.push_index()
    kept.bucket.clock.advance(DELAY_S + 1)
    await kept.collect(PolicySettings(ALL, keep_untagged=KeepTagsSettings(pulled_within_s=1)))
    assert await kept.has(untagged)
    await kept.collect(UNTAGGED)
    assert not await kept.has(untagged)


async def test_immutable_tags_stay(kept: Kept) -> None:
    """They stay with what they name, whatever the rules of retention say. So do immutable tags of referrers."""
    old = await kept.bucket.push_image(tag="v1", note="old")
    gone = await kept.bucket.push_image(tag="nightly", note="gone")
    absent = Digest.of(b"never pushed")
    for kind in ("sig", "att"):
        await kept.bucket.push_image(tag=f"sha256-{absent.hex}.{kind}", note=kind)
    kept.bucket.clock.advance(DELAY_S + 1)
    await kept.bucket.push_image(tag="v2", note="new")
    policy = PolicySettings(ALL, delete_referrers=True, keep_tags=(KeepTagsSettings(most_recently_pushed_count=1),))

    def is_immutable(repo: str, tag: str) -> bool:
        return repo == REPO.text and (tag.startswith("v") or tag.endswith(".sig"))

    await kept.collect(policy, is_immutable=is_immutable)
    assert set(await tags_of(kept.bucket.registry)) == {"v1", "v2", f"sha256-{absent.hex}.sig"}
    assert (await kept.has(old), await kept.has(gone)) == (True, False)
