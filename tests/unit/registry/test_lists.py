"""Pages of lists: bounded whatever clients ask for and stores answer, and together just what there is."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

import pytest

from tests.unit.registry.support import REPO, open_replica, push
from tests.unit.registry.test_manifests import CONFIG, SUBJECT, image
from zotpy.concurrency import gather
from zotpy.core import keys
from zotpy.core.digests import Digest
from zotpy.core.framing import frame
from zotpy.core.media_types import OCI_IMAGE
from zotpy.core.referrers import KEPT_ANNOTATIONS_BYTES, json_bytes
from zotpy.core.units import KIB, MIB
from zotpy.registry import lists, referrer_lists
from zotpy.registry.lists import Lists
from zotpy.registry.referrer_lists import ReferrerLists, Referrers
from zotpy.settings import ListSettings
from zotpy.store.faulty import FaultyStore
from zotpy.store.interface import StoreUnavailable
from zotpy.store.memory_store import MemoryStore

if TYPE_CHECKING:
    from collections.abc import Sequence

    from zotpy.store.faulty import Moment
    from zotpy.store.interface import Listing

SETTINGS = ListSettings(page_size=10, page_bytes=128 * KIB)
TYPE = "application/octet-stream"


async def with_tags(*names: str) -> MemoryStore:
    """Return a store in which a repository has these tags."""
    store = MemoryStore()
    for name in names:
        await store.put(keys.tags(REPO) + name, b"a tag")
    await store.put(keys.repository(REPO), b"")
    return store


async def with_old_referrers(count: int, annotation_bytes: int) -> MemoryStore:
    """Return a store with referrers as releases wrote them that bounded no annotations."""
    store = MemoryStore()
    for number in range(count):
        digest = Digest.of(b"%d" % number)
        annotations = {"a": "short", "long": "x" * annotation_bytes}
        descriptor = {"mediaType": OCI_IMAGE, "digest": str(digest), "size": 1, "annotations": annotations}
        body = frame({"v": 1, "descriptor": descriptor | {"artifactType": TYPE}})
        await store.put(keys.referrer(REPO, SUBJECT, digest), body)
    return store


async def all_pages(found: ReferrerLists, artifact_type: str | None = None) -> list[Referrers]:
    """Follow the pages of the subject's referrers."""
    pages = [await found.page(REPO, SUBJECT, artifact_type, "")]
    while (last := pages[-1].last) is not None:
        pages.append(await found.page(REPO, SUBJECT, artifact_type, last))
    return pages


def names_of(pages: Sequence[Referrers]) -> list[str]:
    """Return the digests on all pages."""
    return [str(descriptor["digest"]) for page in pages for descriptor in page.descriptors]


async def test_a_list_has_all_tags_though_the_client_follows_no_link() -> None:
    """Some libraries and scripts ask once, without `n`. The store lists a thousand names at a time."""
    names = [f"t{number:05}" for number in range(2500)]
    page = await Lists(await with_tags(*names), ListSettings()).tags(REPO, None, "")
    assert (page.names, page.more) == (names, False)


async def test_a_page_of_referrers_is_bounded_by_bytes() -> None:
    """Together the pages hold each referrer once; no page is longer than the setting, none but the last one empty."""
    registry = await open_replica(MemoryStore())
    await push(registry, CONFIG)
    pushed = [image(subject=SUBJECT, note=str(number) + "x" * 20 * KIB) for number in range(20)]
    for content in pushed:
        await registry.manifests.push(REPO, Digest.of(content), content, OCI_IMAGE)
    pages = await all_pages(ReferrerLists(registry.store, SETTINGS))
    assert sorted(names_of(pages)) == sorted(str(Digest.of(content)) for content in pushed)
    assert len(pages) > 2
    assert all(0 < sum(map(json_bytes, page.descriptors)) <= SETTINGS.page_bytes for page in pages)


async def test_long_annotations_are_written_to_no_list() -> None:
    """The manifest has them; its entry in the list of referrers is short in the bucket, too."""
    store = MemoryStore()
    registry = await open_replica(store, manifest_limit_bytes=4 * MIB)
    await push(registry, CONFIG)
    content = image(subject=SUBJECT, note="x" * 3 * MIB)
    await registry.manifests.push(REPO, Digest.of(content), content, OCI_IMAGE)
    [found] = (await ReferrerLists(store, SETTINGS).page(REPO, SUBJECT, None, "")).descriptors
    assert "annotations" not in found
    assert (found["digest"], found["size"]) == (str(Digest.of(content)), len(content))
    written = store.objects[keys.referrer(REPO, SUBJECT, Digest.of(content))]
    assert len(written.body) < KEPT_ANNOTATIONS_BYTES


async def test_long_descriptors_of_older_releases_are_read_one_at_a_time() -> None:
    """They are listed without what is too long; a replica holds one of them at a time, however many lists it writes."""
    store, at_once, most = await with_old_referrers(12, MIB), 0, 0

    async def count(moment: Moment, operation: str, key: str) -> None:
        nonlocal at_once, most
        del key
        if operation == "get":
            at_once += 1 if moment == "before" else -1
            most = max(most, at_once)

    found = ReferrerLists(FaultyStore(store, count), SETTINGS)
    for pages in await gather(*[partial(all_pages, found)] * 4):
        assert len(names_of(pages)) == len(set(names_of(pages))) == 12
        assert all(descriptor["annotations"] == {"a": "short"} for page in pages for descriptor in page.descriptors)
    assert most == 1


async def test_a_filter_that_matches_none_leads_through_no_empty_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    """Referrers of other types are passed over within one page."""
    monkeypatch.setattr(referrer_lists, "REFERRERS_LISTED", 2)
    store = await with_old_referrers(20, 1)
    found = ReferrerLists(store, replace(SETTINGS, referrers_read=1000))
    assert await all_pages(found, "application/other") == [Referrers([], None)]
    assert len(names_of(await all_pages(found, TYPE))) == 20


async def test_a_page_reads_only_so_many_referrers(monkeypatch: pytest.MonkeyPatch) -> None:
    """One that has found nothing by then is empty, and leads on."""
    monkeypatch.setattr(referrer_lists, "REFERRERS_LISTED", 2)
    gets = 0

    async def count(moment: Moment, operation: str, key: str) -> None:
        nonlocal gets
        del key
        gets += (moment, operation) == ("before", "get")

    found = ReferrerLists(FaultyStore(await with_old_referrers(20, 1), count), replace(SETTINGS, referrers_read=6))
    page = await found.page(REPO, SUBJECT, "application/other", "")
    assert (page.descriptors, gets) == ([], 6)
    assert len(await all_pages(found, "application/other")) == 4


async def test_objects_that_are_not_the_registrys_are_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    """They lie among the referrers, alone on some pages of the store, and hide none of them."""
    monkeypatch.setattr("zotpy.registry.referrer_lists.REFERRERS_LISTED", 2)
    store = await with_old_referrers(5, 0)
    found = ReferrerLists(store, SETTINGS)
    before = names_of(await all_pages(found))
    assert len(before) == 5
    for listed in list(store.objects):
        for copy in ("-copy", "-copy2", "-copy3"):
            await store.put(listed + copy, b"?")
    assert names_of(await all_pages(found)) == before


async def test_a_type_that_is_too_long_to_be_one_matches_nothing() -> None:
    """The store is not asked for it, and no Link repeats it."""
    assert await all_pages(ReferrerLists(await with_old_referrers(3, 1), SETTINGS), "x" * 60_000) == [
        Referrers([], None)
    ]


class Forgetful(MemoryStore):
    """A store that begins each listing anew."""

    async def list(
        self, prefix: str, *, start_after: str = "", limit: int = 1000, directories: bool = False
    ) -> Listing:
        """Take no notice of `start_after`."""
        del start_after
        return await super().list(prefix, limit=min(limit, 3), directories=directories)


class Repeating(MemoryStore):
    """A store that begins a listing with the key that was to come before it."""

    async def list(
        self, prefix: str, *, start_after: str = "", limit: int = 1000, directories: bool = False
    ) -> Listing:
        """Begin with `start_after` itself."""
        before = start_after[:-1] + chr(ord(start_after[-1]) - 1) + "~" if start_after else ""
        return await super().list(prefix, start_after=before, limit=limit, directories=directories)


async def test_a_store_that_repeats_itself_is_not_listed_for_ever() -> None:
    """It is an error that the rest cannot be had, and nothing is told twice."""
    store = Forgetful()
    store.objects = (await with_tags("a", "b", "c", "d", "e")).objects
    with pytest.raises(StoreUnavailable, match="does not list them"):
        await Lists(store, SETTINGS).tags(REPO, None, "")
    assert (await Lists(store, SETTINGS).tags(REPO, 2, "a")).names == ["b", "c"]
    with pytest.raises(StoreUnavailable):
        await Lists(store, SETTINGS).tags(REPO, 2, "c")
    store.objects = (await with_old_referrers(5, 1)).objects
    with pytest.raises(StoreUnavailable):
        await all_pages(ReferrerLists(store, SETTINGS), "application/other")


@pytest.mark.parametrize("n", [1, 2, 3, None])
async def test_a_store_that_repeats_the_last_key_is_listed_without_it(n: int | None) -> None:
    """Each name is told once, also page by page of one."""
    store = Repeating()
    store.objects = (await with_tags("a", "b", "c", "d", "e")).objects
    names: list[str] = []
    while (page := await Lists(store, replace(SETTINGS, page_size=2)).tags(REPO, n, names[-1] if names else "")).more:
        names += page.names
    assert [*names, *page.names] == ["a", "b", "c", "d", "e"]


async def test_pages_above_a_listing_of_the_store_are_put_together(monkeypatch: pytest.MonkeyPatch) -> None:
    """A page may take several calls, of which none asks for more than the page still holds."""
    monkeypatch.setattr(lists, "STORE_PAGE", 2)
    found = Lists(await with_tags("a", "b", "c", "d", "e", "f"), replace(SETTINGS, page_size=5))
    page = await found.tags(REPO, None, "")
    assert (page.names, page.more) == (["a", "b", "c", "d", "e"], True)
    page = await found.tags(REPO, 9, "e")
    assert (page.names, page.more) == (["f"], False)
