"""Objects and listings in odd orders, on every store."""

from __future__ import annotations

import os
from functools import partial
from typing import TYPE_CHECKING

import pytest
import trio

from zotpy.bucket.repositories import repositories_below
from zotpy.bucket.sweeps import delete_all, list_all
from zotpy.concurrency import gather
from zotpy.core import keys
from zotpy.core.digests import Digest
from zotpy.core.names import RepositoryName, Tag
from zotpy.store.interface import ConditionFailed, KeyMissing
from zotpy.store.opening import open_s3_store

if TYPE_CHECKING:
    from tests.servers import Bucket
    from zotpy.store.interface import Store

REPOS = [RepositoryName.parse(text) for text in ("a", "a/b", "a-b", "a.b", "a__b", "ab", "a/b/c", "a" * 200)]
OTHER_ETAG = '"00000000000000000000000000000000"'


def every_key(repo: RepositoryName) -> list[str]:
    """Return one key of each kind of the bucket's."""
    digest, long = Digest.of(repo.text.encode()), Digest.of(repo.text.encode(), "sha512")
    return [
        keys.entry(repo, "blobs", digest),
        keys.entry(repo, "manifests", long),
        keys.lease(repo, "blobs", digest, keys.new_id(), keys.new_id()),
        keys.lease(repo, "manifests", long, keys.new_id(), None),
        keys.tag(repo, Tag.parse("v1.0_a-b")),
        keys.tagged(repo, digest) + "v1.0_a-b",
        keys.referrer(repo, digest, long),
        keys.repository(repo),
        keys.upload(repo, keys.new_id()),
        keys.data(keys.new_id()),
        keys.Hint(keys.new_id(), 1).key(digest),
    ]


@pytest.mark.parametrize("page_size", [1, 2, 1000])
async def test_every_repository_is_found_by_its_directories(store: Store, page_size: int) -> None:
    """Each once, however many a page holds, and whatever order the store has for nested names."""
    written = [keys.lease(repo, "blobs", Digest.of(b""), keys.new_id(), None) for repo in REPOS for _ in range(3)]
    await gather(*[partial(store.put, key, b"") for key in written])
    found = [repo async for repo in repositories_below(store, keys.LEASES, page_size)]
    assert sorted(found) == sorted(REPOS)


async def test_every_kind_of_key_holds_its_own_object(store: Store) -> None:
    """Repositories that begin alike, nested ones, and names with every separator do not get in each other's way."""
    written = [key for repo in REPOS for key in every_key(repo)]
    await gather(*[partial(store.put, key, key.encode()) for key in written])
    fetched = await gather(*[partial(store.get, key) for key in written])
    assert [found.body.decode() for found in fetched] == written
    for repo in REPOS:
        assert [listed.key for listed in await list_all(store, keys.tags(repo))] == [keys.tag(repo, Tag("v1.0_a-b"))]
    assert {listed.key for listed in await list_all(store, "")} == set(written)
    await delete_all(store, written)
    assert await list_all(store, "") == []


async def test_a_flat_directory_lists_in_the_order_of_bytes(store: Store) -> None:
    """The catalog pages by name; `!` stands for `/` in it and sorts before all else."""
    written = [keys.repository(repo) for repo in REPOS]
    await gather(*[partial(store.put, key, b"") for key in written])
    assert [listed.key for listed in (await store.list(keys.REPOS)).objects] == sorted(written)


async def test_pages_of_one_visit_every_object_once(store: Store) -> None:
    """Whatever the limit, following the last key leads through all of them, and the last page says so."""
    names = [f"tags/a!/{name}" for name in ("1", "A", "_", "a", "a-1", "a.1", "b")]
    for name in names:
        await store.put(name, b"x")
    seen: list[str] = []
    truncated = True
    while truncated:
        page = await store.list("tags/a!/", start_after=seen[-1] if seen else "", limit=1)
        truncated = page.truncated
        seen.extend(listed.key for listed in page.objects)
        assert len(page.objects) == 1
    assert seen == names


async def test_a_listing_goes_on_after_a_key_that_is_not_there(store: Store) -> None:
    """The key that a client goes on after may have been deleted since."""
    for name in ("a", "c", "e"):
        await store.put(f"tags/a!/{name}", b"")
    page = await store.list("tags/a!/", start_after="tags/a!/b")
    assert [listed.key for listed in page.objects] == ["tags/a!/c", "tags/a!/e"]
    assert (await store.list("tags/a!/", start_after="tags/a!/z")).objects == []


async def test_a_listing_names_size_etag_and_age(store: Store) -> None:
    """What the collector decides by is in the listing, by the clock of the store."""
    stored = await store.put("leases/one", b"12345")
    listing = await store.list("leases/")
    [listed] = listing.objects
    assert (listed.size_bytes, listed.etag) == (5, stored.etag)
    assert abs((listing.store_time - listed.last_modified).total_seconds()) < 60
    assert listed.last_modified.tzinfo is not None
    assert listing.truncated is False


async def test_nothing_is_listed_below_an_absent_prefix(store: Store) -> None:
    """An empty listing is no error, with directories or without."""
    for directories in (False, True):
        listing = await store.list("absent/", directories=directories)
        assert (list(listing.objects), list(listing.directories), listing.truncated) == ([], [], False)


async def test_a_thousand_objects_go_in_one_call(store: Store) -> None:
    """One call deletes as many as S3 takes, whether they exist or not."""
    await gather(*[partial(store.put, f"many/{number}", b"") for number in range(20)])
    await store.delete_many([f"many/{number}" for number in range(1000)])
    assert await list_all(store, "many/") == []


async def test_an_object_that_was_deleted_can_be_created_again(store: Store) -> None:
    """Create-only looks at what is there, not at what was."""
    await store.put("again", b"1", if_none_match=True)
    await store.delete("again")
    await store.put("again", b"2", if_none_match=True)
    assert (await store.get("again")).body == b"2"


async def test_replacing_what_is_not_there_writes_nothing(store: Store) -> None:
    """An upload that was cancelled and cleaned up does not come back."""
    with pytest.raises((ConditionFailed, KeyMissing)):
        await store.put("gone", b"back", if_match=OTHER_ETAG)
    with pytest.raises(KeyMissing):
        await store.get("gone")


@pytest.mark.usefixtures("atomic_conditions")
async def test_of_racing_replacements_exactly_one_wins(store: Store) -> None:
    """Twenty writers that read the same ETag leave one winner, whose bytes stay."""
    etag = (await store.put("raced", b"before")).etag
    winners: list[int] = []

    async def replace(number: int) -> None:
        try:
            await store.put("raced", str(number).encode(), if_match=etag)
        except ConditionFailed:
            return
        winners.append(number)

    await gather(*[partial(replace, number) for number in range(20)])
    assert len(winners) == 1
    assert (await store.get("raced")).body == str(winners[0]).encode()


async def test_readers_see_one_write_or_another_never_a_mixture(store: Store) -> None:
    """While an object is written over and over, every read is the whole of one version."""
    versions = [bytes([number]) * 50_000 for number in range(10)]
    await store.put("k", versions[0])
    seen: list[bytes] = []

    async def write() -> None:
        for version in versions:
            await store.put("k", version)

    async def watch() -> None:
        while versions[-1] not in seen:
            seen.append((await store.get("k")).body)

    await gather(write, watch, watch)
    assert set(seen) <= set(versions)
    assert (await store.get("k")).body == versions[-1]


async def test_a_stream_that_is_left_half_read_harms_nobody(store: Store) -> None:
    """The next read of the same object gets all of it."""
    body = os.urandom(2 * 2**20)
    await store.put("data/half", body)
    for _ in range(3):
        async with store.open("data/half", 0, len(body)) as chunks:
            first = await anext(aiter(chunks))
        assert body.startswith(first)
    assert (await store.get("data/half")).body == body


async def test_a_call_that_was_cancelled_harms_no_other(store: Store) -> None:
    """After a client gave up, the store goes on; the object is there whole or not at all."""
    body = os.urandom(2**20)
    with trio.move_on_after(0):
        await store.put("given-up", body)
    async with trio.open_nursery() as nursery:
        for _ in range(5):
            nursery.start_soon(store.put, "given-up", body)
        await trio.lowlevel.checkpoint()
        nursery.cancel_scope.cancel()
    assert {listed.size_bytes for listed in await list_all(store, "given-up")} <= {len(body)}
    await store.put("other", b"sent after all")
    assert (await store.get("other")).body == b"sent after all"
    await store.put("given-up", b"sent anew")  # a call that was cancelled may still be carried out, also after this one
    assert (await store.get("given-up")).body in {body, b"sent anew"}


@pytest.mark.usefixtures("over_http")
async def test_two_prefixes_of_one_bucket_know_nothing_of_each_other(
    store: Store, store_bucket: Bucket, prefix: str
) -> None:
    """The same keys below two prefixes, of which one begins like the other, are different objects."""
    await store.put("a/k", b"one")
    multipart = await store.create_multipart("data/one")
    async with open_s3_store(store_bucket.config(), f"/{prefix}2/") as other:
        await other.put("a/k", b"two", if_none_match=True)
        assert (await store.get("a/k")).body == b"one"
        assert [listed.key for listed in (await other.list("")).objects] == ["a/k"]
        folded = (await other.list("", directories=True)).directories
        assert set(folded) - {"meta/"} == {"a/"}  # SeaweedFS also names a directory that has become empty
        assert (await other.list_multiparts("")).multiparts == []
        await other.delete_many(["a/k"])
        assert await list_all(other, "") == []
    assert [listed.key for listed in await list_all(store, "")] == ["a/k"]
    await store.abort_multipart("data/one", multipart)
