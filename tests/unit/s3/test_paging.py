"""Listings of stores that page unlike S3: nothing is listed twice, nothing missed, and nothing goes on for ever."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlsplit

import pytest

from tests.unit.s3.scripted import Computed, Reply, ScriptedServer
from zotpy.bucket.sweeps import each_multipart, list_all, pages
from zotpy.core.names import RepositoryName
from zotpy.registry.lists import Lists
from zotpy.s3.client import open_client
from zotpy.settings import ListSettings
from zotpy.store.interface import StoreError, StoreRefused
from zotpy.store.s3 import S3Store
from zotpy.store.s3.listing import follows

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    import trio

    from tests.unit.s3.scripted import Answered, Seen

KEYS = [f"p/{number:02}" for number in range(10)]
DIRECTORIES = [f"p/{number:02}/" for number in range(10)]
MOST_CALLS = 20
Pick = Callable[[list[str], str], list[str]]


def exclusive(names: list[str], marker: str) -> list[str]:
    """Start after the marker, as S3 does."""
    return [name for name in names if name > marker]


def inclusive(names: list[str], marker: str) -> list[str]:
    """Start with the marker."""
    return [name for name in names if name >= marker.removesuffix("~")]


def ignorant(names: list[str], marker: str) -> list[str]:
    """Start at the beginning."""
    del marker
    return names


def listing(names: Sequence[str], *, truncated: bool) -> Reply:
    """Write a page of objects, and of directories."""
    items = "".join(
        f"<CommonPrefixes><Prefix>{name}</Prefix></CommonPrefixes>"
        if name.endswith("/")
        else f"<Contents><Key>{name}</Key><LastModified>2026-11-24T10:00:00Z</LastModified><Size>3</Size></Contents>"
        for name in names
    )
    text = f"<ListBucketResult><IsTruncated>{str(truncated).lower()}</IsTruncated>{items}</ListBucketResult>"
    return Reply(200, text.encode())


def pager(names: list[str], pick: Pick, most: int | None = None) -> Computed:
    """Answer listings as a store with these names does; `most`: at most this many, whatever was asked for."""

    def answer(seen: Seen) -> Reply:
        query = parse_qs(urlsplit(seen.target).query)
        left = pick(names, query.get("start-after", [""])[0])
        limit = most or int(query["max-keys"][0])
        return listing(left[:limit], truncated=len(left) > limit)

    return Computed(answer)


@asynccontextmanager
async def store_on(act: Computed, nursery: trio.Nursery) -> AsyncIterator[tuple[S3Store, ScriptedServer]]:
    """Open a store, and a server that must not be asked for ever."""
    act = Computed(_limited(act.answer))
    server = await ScriptedServer([act]).start(nursery)
    async with open_client(server.config()) as client:
        yield S3Store(client), server


def _limited(answer: Callable[[Seen], Answered]) -> Callable[[Seen], Answered]:
    calls = 0

    def counted(seen: Seen) -> Answered:
        nonlocal calls
        calls += 1
        assert calls <= MOST_CALLS, "asked for ever"
        return answer(seen)

    return counted


@pytest.mark.parametrize(
    ("pick", "most"), [(exclusive, None), (exclusive, 1), (exclusive, 3), (inclusive, None), (inclusive, 3)]
)
async def test_every_key_is_listed_once(pick: Pick, most: int | None, nursery: trio.Nursery) -> None:
    """A store may start after the key or with it, and list few at once: `IsTruncated` says whether to go on."""
    async with store_on(pager(KEYS, pick, most), nursery) as (store, _):
        found = []
        async for page in pages(store, "p/", page_size=4):
            found += [listed.key for listed in page.objects]
    assert found == KEYS


@pytest.mark.parametrize("pick", [exclusive, inclusive])
async def test_every_directory_is_listed_once(pick: Pick, nursery: trio.Nursery) -> None:
    """A listing in pages names each directory once."""
    async with store_on(pager(DIRECTORIES, pick), nursery) as (store, _):
        found = [d async for page in pages(store, "p/", directories=True, page_size=4) for d in page.directories]
    assert found == DIRECTORIES


@pytest.mark.parametrize(("pick", "most"), [(ignorant, None), (inclusive, 1)])
@pytest.mark.parametrize("names", [KEYS, DIRECTORIES], ids=["keys", "directories"])
async def test_a_listing_that_leads_nowhere_is_an_error(
    names: list[str], pick: Pick, most: int | None, nursery: trio.Nursery
) -> None:
    """It names the fault of the store, at the second page, instead of going on for ever."""
    async with store_on(pager(names, pick, most), nursery) as (store, server):
        with pytest.raises(StoreRefused, match="ignores start-after"):
            async for _ in pages(store, "p/", directories=names is DIRECTORIES, page_size=4):
                pass
    assert len(server.seen) == 2


async def test_tags_are_not_listed_for_ever(nursery: trio.Nursery) -> None:
    """A client's list is an error as well, and has no tag twice."""
    tags = [f"tags/app!/{number}" for number in range(9)]
    async with store_on(pager(tags, ignorant, most=4), nursery) as (store, server):
        with pytest.raises(StoreError, match="ignores start-after"):
            await Lists(store, ListSettings()).tags(RepositoryName.parse("app"), 8, "")
    assert len(server.seen) == 2


@pytest.mark.parametrize("knows_marker", [True, False])
async def test_a_store_that_ignores_start_after_is_asked_by_marker(
    knows_marker: bool,  # noqa: FBT001
    nursery: trio.Nursery,
) -> None:
    """It is found out at start; a store that knows neither is asked as S3 is, and refused as above."""
    names = [*KEYS, "meta/probe"]

    def answer(seen: Seen) -> Reply:
        query = parse_qs(urlsplit(seen.target).query)
        marker = query["marker"][0] if "marker" in query and knows_marker else ""
        assert ("list-type" in query) is not ("marker" in query or by_marker())
        left = [name for name in exclusive(names, marker) if name.startswith(query["prefix"][0])]
        limit = int(query["max-keys"][0])
        return listing(left[:limit], truncated=len(left) > limit)

    async with store_on(Computed(answer), nursery) as (store, _):

        def by_marker() -> bool:
            return store.listings.by_marker

        await store.listings.probe("meta/probe")
        assert store.listings.by_marker is knows_marker
        if not knows_marker:
            with pytest.raises(StoreRefused, match="ignores start-after"):
                await store.list("p/", start_after="p/06", limit=4)
            return
        found = [one.key async for page in pages(store, "p/", page_size=4) for one in page.objects]
    assert found == KEYS


async def test_a_store_that_knows_start_after_is_asked_for_it(nursery: trio.Nursery) -> None:
    """One call at start tells."""
    async with store_on(pager(["meta/probe"], exclusive), nursery) as (store, server):
        await store.listings.probe("meta/probe")
        assert not store.listings.by_marker
    assert len(server.seen) == 1


async def test_keys_that_fit_on_one_page_are_paged_here(nursery: trio.Nursery) -> None:
    """Where a store ignores the key to start after, and has no more than one page, the right keys are left out."""
    async with store_on(pager(KEYS, ignorant), nursery) as (store, _):
        page = await store.list("p/", start_after="p/06")
    assert [listed.key for listed in page.objects] == ["p/07", "p/08", "p/09"]
    assert not page.truncated


async def test_a_page_holds_no_more_than_was_asked_for(nursery: trio.Nursery) -> None:
    """A store that ignores `max-keys` lists more; the rest of it is another page."""
    async with store_on(pager(KEYS, exclusive, most=1000), nursery) as (store, _):
        page = await store.list("p/", limit=3)
        assert [listed.key for listed in page.objects] == KEYS[:3]
        assert page.truncated
        assert [listed.key for listed in await list_all(store, "p/")] == KEYS


@pytest.mark.parametrize("names", [["p/1", "q/2"], ["q/"]])
async def test_keys_that_were_not_asked_for_are_an_error(names: list[str], nursery: trio.Nursery) -> None:
    """A store that ignores the prefix has nothing of it taken for ours, and nothing of it deleted."""
    async with store_on(Computed(lambda _: listing(names, truncated=False)), nursery) as (store, _):
        with pytest.raises(StoreRefused, match=r"'q/2?', which does not begin with 'p/'"):
            await store.list("p/")
    async with store_on(multiparts(lambda _key, _id: (["q/2"], "")), nursery) as (store, _):
        with pytest.raises(StoreRefused, match=r"'q/2', which does not begin with 'p/'"):
            await store.list_multiparts("p/")


@pytest.mark.parametrize("text", ["", "<IsTruncated>maybe</IsTruncated>"])
async def test_a_page_that_does_not_say_whether_more_follow_is_no_page(text: str, nursery: trio.Nursery) -> None:
    """It is never taken for the last one, of objects and of multiparts."""
    for document in ("ListBucketResult", "ListMultipartUploadsResult"):
        server = await ScriptedServer([Reply(200, f"<{document}>{text}</{document}>".encode())]).start(nursery)
        async with open_client(server.config()) as client:
            with pytest.raises(StoreError, match="IsTruncated"):
                await (
                    S3Store(client).list("") if document == "ListBucketResult" else S3Store(client).list_multiparts("")
                )


async def _list(store: S3Store, document: str) -> object:
    return await (store.list("") if document == "ListBucketResult" else store.list_multiparts(""))


async def test_an_empty_page_is_not_the_last_one(nursery: trio.Nursery) -> None:
    """A store that says that more follow, and lists nothing, has more: the collector must know."""
    async with store_on(Computed(lambda _: listing([], truncated=True)), nursery) as (store, _):
        with pytest.raises(StoreRefused):
            await list_all(store, "p/")


Uploads = Callable[[str, str], tuple[list[str], str]]
"""From the two markers to the keys of a page, and the elements that say where the next one begins."""


def multiparts(page: Uploads) -> Computed:
    """Answer listings of multiparts, each with an id like its key."""

    def answer(seen: Seen) -> Reply:
        query = parse_qs(urlsplit(seen.target).query)
        assert "max-uploads" not in query  # S3Proxy refuses it
        found, markers = page(query.get("key-marker", [""])[0], query.get("upload-id-marker", [""])[0])
        items = "".join(
            f"<Upload><Key>{key}</Key><UploadId>{key}</UploadId><Initiated>2026-11-24T10:00:00Z</Initiated></Upload>"
            for key in found
        )
        more = f"<IsTruncated>{str(markers != '').lower()}</IsTruncated>{markers.replace('last', '')}"
        return Reply(200, f"<ListMultipartUploadsResult>{more}{items}</ListMultipartUploadsResult>".encode())

    return Computed(answer)


def as_aws(key: str, upload_id: str) -> tuple[list[str], str]:
    """Go on after key and id, three at a time."""
    assert key == upload_id
    left = exclusive(KEYS, key)
    last = left[:3][-1]
    markers = f"<NextKeyMarker>{last}</NextKeyMarker><NextUploadIdMarker>{last}</NextUploadIdMarker>"
    return left[:3], markers if len(left) > 3 else ""


def as_seaweed(key: str, upload_id: str) -> tuple[list[str], str]:
    """Go on after the id, in an order of its own, and take a key for the only one to list."""
    if key:
        return [key], ""
    order = KEYS[5:] + KEYS[:5]
    left = order[order.index(upload_id) + 1 :] if upload_id else order
    return left[:3], f"<NextUploadIdMarker>{left[2]}</NextUploadIdMarker>" if len(left) > 3 else ""


def as_others(key: str, upload_id: str) -> tuple[list[str], str]:
    """Say only that more follow, and list the last one again."""
    del upload_id
    left = inclusive(KEYS, key)
    return left[:3], "last" if len(left) > 3 else ""


@pytest.mark.parametrize("page", [as_aws, as_seaweed, as_others])
async def test_all_multiparts_are_found(page: Uploads, nursery: trio.Nursery) -> None:
    """However short the pages are, and in whatever order: the store says where the next one begins."""
    found: set[str] = set()
    async with store_on(multiparts(page), nursery) as (store, _):
        await each_multipart(store, "p/", lambda one: found.add(one.key))
    assert sorted(found) == KEYS


@pytest.mark.parametrize(
    "ends", [["a", "a"], ["a", "b", "a"], [""]], ids=["the same page", "pages in turn", "no page at all"]
)
async def test_multiparts_that_lead_nowhere_are_an_error(ends: list[str], nursery: trio.Nursery) -> None:
    """A store that ignores the markers it gave is named, and not asked for ever."""
    left = iter(ends * MOST_CALLS)

    def page(key: str, upload_id: str) -> tuple[list[str], str]:
        del key, upload_id
        return [], f"<NextUploadIdMarker>{next(left)}</NextUploadIdMarker>"

    async with store_on(multiparts(page), nursery) as (store, server):
        with pytest.raises(StoreRefused, match="ignores its"):
            await each_multipart(store, "p/", lambda _: None)
    assert len(server.seen) == len(ends)


@pytest.mark.parametrize(
    ("key", "start_after", "does"),
    [
        ("a/b", "", True),
        ("a/b", "a/b", False),
        ("a/b", "a/a", True),
        ("a/a", "a/b", False),
        ("a/x", "a!/x", True),  # in the order of bytes
        ("a!/x", "a/x", True),  # in that of stores that list by directories
        ("a/b/c", "a/b", True),
    ],
)
def test_both_orders_of_keys_are_orders(key: str, start_after: str, does: bool) -> None:  # noqa: FBT001
    """A key is left out only where it comes before in both: SeaweedFS lists directory by directory."""
    assert follows(key, start_after) is does
