"""A bound of bytes over all repositories of a policy: what was used longest ago is deleted first."""

from __future__ import annotations

import re

import pytest

from tests.unit.collector.retention.support import ALL, DELAY_S, UNTAGGED, Kept
from tests.unit.collector.retention.test_pull_history import noted
from tests.unit.collector.support import GRACE_S, LARGE
from tests.unit.registry.support import OTHER, REPO, push
from tests.unit.registry.test_manifests import CONFIG, image, tags_of
from zotpy.core import keys
from zotpy.core.digests import Digest
from zotpy.core.media_types import OCI_IMAGE
from zotpy.core.names import Tag
from zotpy.core.units import MIB
from zotpy.settings import KeepTagsSettings, PolicySettings

SMALL = 4_000
"""More than the manifests and the config of an image together."""


def bound(layers: float, **rules: float) -> PolicySettings:
    """Return a policy that keeps what has as many bytes as some layers, with what belongs to them."""
    most_bytes = int(layers * LARGE + 4 * SMALL)
    return PolicySettings(ALL, keep_tags=(KeepTagsSettings(most_recently_pulled_bytes=most_bytes, **rules),))  # type: ignore[arg-type] # of the rules


@pytest.fixture
async def cache() -> Kept:
    """Return two repositories. Tags `a`, `b` and `c`, pushed one after another, have a layer each; `b` is elsewhere."""
    made = await Kept.open()
    bucket = made.bucket
    await noted(made)
    await push(bucket.registry, CONFIG, OTHER)
    for seed, (tag, repo) in enumerate({"a": REPO, "b": OTHER, "c": REPO}.items()):
        bucket.clock.advance(DELAY_S)
        await bucket.push_image(await bucket.push_large(seed, repo), tag=tag, repo=repo, note=tag)
    bucket.clock.advance(7 * 24 * 3600.0)
    return made


async def tags(kept: Kept) -> str:
    """Return all tags of both repositories."""
    return "".join(sorted([*await tags_of(kept.bucket.registry), *await tags_of(kept.bucket.registry, OTHER)]))


@pytest.mark.parametrize(("layers", "left"), [(3, "abc"), (2, "bc"), (1.9, "c"), (1, "c"), (0.9, "")])
async def test_what_was_used_longest_ago_is_deleted(cache: Kept, layers: float, left: str) -> None:
    """In all repositories of the policy together. After that the same bound deletes nothing more."""
    assert (await cache.collect(bound(layers))).tags_expired == 3 - len(left)
    assert await tags(cache) == left
    assert (await cache.collect(bound(layers))).tags_expired == 0


async def test_its_bytes_are_deleted(cache: Kept) -> None:
    """Once the grace has passed, as after a DELETE."""
    for _ in range(4):
        cache.bucket.clock.advance(GRACE_S / 2)
        await cache.collect(bound(2))
    assert len(cache.bucket.data) == 2


async def test_a_pull_counts_as_a_use(cache: Kept) -> None:
    """`a` was pushed first, and pulled last."""
    await noted(cache, (await cache.bucket.registry.manifests.find(REPO, Tag("a"))).digest)
    await cache.collect(bound(2))
    assert await tags(cache) == "ac"


async def test_shared_bytes_count_once(cache: Kept) -> None:
    """At the newest use of any repository and tag."""
    layer = await cache.bucket.push_large(0)
    await cache.bucket.push_image(layer, tag="d", note="d")
    for repo in (REPO, OTHER):
        mounted = await push(cache.bucket.registry, await _content(cache, layer), repo)
        await cache.bucket.push_image(mounted, tag="e", repo=repo, note="e")
    assert (await cache.collect(bound(3))).tags_expired == 0
    assert (await cache.collect(bound(2))).tags_expired == 2
    assert await tags(cache) == "cdee"


async def _content(kept: Kept, digest: Digest) -> bytes:
    registry = kept.bucket.registry
    value = await registry.blobs.records.read_blob(REPO, digest)
    assert value is not None
    assert value.data_id is not None
    return (await kept.bucket.store.get(keys.data(value.data_id))).body


@pytest.mark.parametrize("is_older", [False, True])
async def test_small_blobs_count(*, is_older: bool) -> None:
    """Also where their entries alone hold them."""
    kept = await Kept.open(is_older=is_older)
    await noted(kept)
    for tag in "ab":
        kept.bucket.clock.advance(DELAY_S)
        layers = [await push(kept.bucket.registry, f"{tag}{number}".encode() * 30_000) for number in range(4)]
        await kept.bucket.push_image(*layers, tag=tag, note=tag)
    kept.bucket.clock.advance(7 * 24 * 3600.0)
    assert (await kept.collect(bound(2.4))).tags_expired == 0
    assert (await kept.collect(bound(2.2))).tags_expired == 1
    assert await tags(kept) == "b"


async def test_a_signature_counts_with_its_image(cache: Kept) -> None:
    """It is as new as the image."""
    subject = (await cache.bucket.registry.manifests.find(REPO, Tag("c"))).digest
    signatures = [image(await cache.bucket.push_large(seed), subject=subject) for seed in range(3, 9)]
    for signature in signatures:
        await cache.bucket.registry.manifests.push(REPO, Digest.of(signature), signature, OCI_IMAGE)
    assert (await cache.collect(bound(8))).tags_expired == 1
    assert await tags(cache) == "bc"
    assert all([await cache.has(Digest.of(signature)) for signature in signatures])


async def test_what_a_mirror_has_not_fetched_takes_no_place(cache: Kept) -> None:
    """A client may have asked for the manifest of an image alone, or for one platform of it."""
    manifests = cache.bucket.registry.manifests
    absent = [Digest.of(bytes([number])) for number in range(3)]
    await manifests.keep(await manifests.accept(REPO, Tag("m"), image(*absent), OCI_IMAGE))
    assert (await cache.collect(bound(3))).tags_expired == 0


async def test_another_rule_keeps_more(cache: Kept) -> None:
    """What any rule keeps stays, whatever its bytes are."""
    await cache.collect(bound(1, most_recently_pushed_count=1))
    assert await tags(cache) == "bc"


async def test_each_section_has_a_bound_of_its_own(cache: Kept) -> None:
    """Tags that another section decides about have other bytes."""
    last = bound(1).keep_tags[0]
    first = KeepTagsSettings((re.compile("[ab]"),), most_recently_pulled_bytes=last.most_recently_pulled_bytes)
    assert (await cache.collect(PolicySettings(ALL, keep_tags=(first, last)))).tags_expired == 1
    assert await tags(cache) == "bc"


async def test_untagged_images_have_one_as_well(cache: Kept) -> None:
    """Clients that pull by digest leave them in a mirror."""
    older, newer = [image(await cache.bucket.push_large(seed), note=f"untagged {seed}") for seed in (3, 4)]
    for manifest in (older, newer):
        await cache.bucket.registry.manifests.push(REPO, Digest.of(manifest), manifest, OCI_IMAGE)
        cache.bucket.clock.advance(DELAY_S + 1)
    policy = PolicySettings(ALL, keep_untagged=bound(1).keep_tags[0])
    assert (await cache.collect(policy)).manifests_expired == 1
    assert (await cache.has(Digest.of(older)), await cache.has(Digest.of(newer))) == (False, True)
    assert await tags(cache) == "abc"


async def test_nothing_is_deleted_before_pulls_were_noted_for_long(cache: Kept) -> None:
    """Otherwise what is pulled each day would count as never used."""
    del cache.bucket.store.objects[keys.PULLS_SINCE]
    await noted(cache)
    assert (await cache.collect(bound(0))).tags_expired == 0


async def test_a_repository_that_cannot_be_read_takes_no_place(cache: Kept) -> None:
    """So others keep more than the bound says. The collection reports it."""
    entry = keys.entry(OTHER, "manifests", (await cache.bucket.registry.manifests.find(OTHER, Tag("b"))).digest)
    await cache.bucket.store.put(entry, b"{")
    summary = await cache.collect(bound(2))
    assert (summary.tags_expired, len(summary.problems)) == (0, 1)


async def test_a_dry_run_says_why(cache: Kept) -> None:
    """With the bound as the configuration has it, and everything stays."""
    rules = PolicySettings(ALL, keep_tags=(KeepTagsSettings(most_recently_pulled_bytes=MIB // 2),))
    await cache.collect(rules, dry_run=True)
    assert [told.partition(": ")[2] for told in cache.told if " a: " in told] == [
        "it is not in the 512KiB pulled or pushed last (keepTags[0])"
    ]
    assert await tags(cache) == "abc"


async def test_without_such_a_rule_nothing_is_read_for_it(cache: Kept) -> None:
    """A collection reads each manifest as often as before."""
    counted, plain = [(await cache.collect(policy, dry_run=True)).manifests_read for policy in (bound(3), UNTAGGED)]
    assert counted - plain == 3
