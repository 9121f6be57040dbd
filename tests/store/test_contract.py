"""The contract of `zotpy.store.interface`, on every store."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from functools import partial

import httpx
import pytest

from zotpy.bucket.sweeps import list_all
from zotpy.concurrency import gather
from zotpy.core.pieces import Pieces
from zotpy.store.interface import ConditionFailed, ContentRejected, KeyMissing, Part, Store, StoreError

PART_BYTES = 5 * 2**20
OTHER_ETAG = '"00000000000000000000000000000000"'


async def read(store: Store, key: str, start: int, end: int) -> bytes:
    """Read a range as a stream."""
    async with store.open(key, start, end) as chunks:
        return b"".join([chunk async for chunk in chunks])


@pytest.mark.parametrize("body", [b"", b"x", b"line\nline\0", os.urandom(200_000)], ids=["empty", "x", "text", "long"])
async def test_what_was_put_is_got(store: Store, body: bytes) -> None:
    """An object comes back whole, with its ETag, and dated by the store."""
    stored = await store.put("a/b!/c.d", body)
    fetched = await store.get("a/b!/c.d")
    assert fetched.body == body
    assert fetched.etag == stored.etag
    assert abs(fetched.last_modified - stored.store_time) < timedelta(seconds=5)
    assert abs(fetched.store_time - datetime.now(UTC)) < timedelta(minutes=5)


async def test_a_long_object_is_read_no_further_than_asked(store: Store) -> None:
    """Its beginning comes with its length; one that is no longer than asked comes whole, also an empty one."""
    body = os.urandom(200_000)
    stored = await store.put("long", body)
    beginning = await store.get("long", most_bytes=1000)
    assert (beginning.body, beginning.total_bytes, beginning.etag) == (body[:1000], 200_000, stored.etag)
    for most_bytes in (200_000, 200_001):
        fetched = await store.get("long", most_bytes=most_bytes)
        assert (fetched.body, fetched.total_bytes) == (body, None)
    await store.put("empty", b"")
    assert ((await store.get("empty", most_bytes=1)).body, (await store.get("empty")).total_bytes) == (b"", None)
    with pytest.raises(KeyMissing):
        await store.get("absent", most_bytes=1)


async def test_bodies_of_pieces_are_joined_by_the_store(store: Store) -> None:
    """Bytes, a bytearray and pieces are the same to a reader."""
    pieces = Pieces(b"one")
    pieces.append(b"two")
    await store.put("pieces", pieces)
    await store.put("array", bytearray(b"onetwo"))
    assert (await store.get("pieces")).body == (await store.get("array")).body == b"onetwo"


async def test_a_second_put_replaces_the_first(store: Store) -> None:
    """A key holds what was written last."""
    first = await store.put("k", b"1")
    second = await store.put("k", b"2")
    assert (await store.get("k")).body == b"2"
    assert first.etag != second.etag


async def test_reading_what_is_not_there_is_key_missing(store: Store) -> None:
    """Neither a read nor a stream of an absent key invents one."""
    with pytest.raises(KeyMissing):
        await store.get("absent")
    with pytest.raises(KeyMissing):
        await read(store, "absent", 0, 1)


async def test_finding_what_may_be_missing_is_no_error(store: Store) -> None:
    """What exists is found as it is read, and what does not is `None`, whole or not."""
    await store.put("k", b"there")
    found, beginning = await store.find("k"), await store.find("k", most_bytes=2)
    assert found is not None
    assert beginning is not None
    assert (found.body, beginning.body, beginning.total_bytes) == (b"there", b"th", 5)
    assert (await store.find("absent"), await store.find("absent", most_bytes=2)) == (None, None)


async def test_deleted_objects_are_gone_and_absent_ones_no_error(store: Store) -> None:
    """One or many are deleted, whether they were there or not."""
    for name in "abc":
        await store.put(f"d/{name}", b"x")
    await store.delete("d/a")
    await store.delete("d/a")
    await store.delete_many(["d/b", "d/absent", "d/c"])
    await store.delete_many([])
    assert await list_all(store, "d/") == []


@pytest.mark.parametrize(("start", "end"), [(0, 1), (0, 300_000), (299_999, 300_000), (100, 200_100)])
async def test_a_range_is_streamed_exactly(store: Store, start: int, end: int) -> None:
    """The bytes asked for come, no more and no fewer."""
    body = os.urandom(300_000)
    await store.put("ranged", body)
    assert await read(store, "ranged", start, end) == body[start:end]


async def test_a_range_past_the_end_is_an_error_not_a_short_answer(store: Store) -> None:
    """A stream never ends cleanly before its end."""
    await store.put("short", b"12345")
    with pytest.raises(StoreError):
        await read(store, "short", 0, 10)


async def test_listing_is_in_order_cut_at_the_limit_and_goes_on(store: Store) -> None:
    """Pages follow one another without gap or repetition."""
    names = [f"l/{number:03}" for number in range(25)]
    await gather(*[partial(store.put, name, b"x") for name in names])
    page = await store.list("l/", limit=10)
    assert [listed.key for listed in page.objects] == names[:10]
    assert page.truncated
    rest = await store.list("l/", start_after=names[9])
    assert [listed.key for listed in rest.objects] == names[10:]
    assert not rest.truncated
    assert {listed.size_bytes for listed in rest.objects} == {1}


async def test_listing_does_not_stray_into_names_that_begin_alike(store: Store) -> None:
    """`a!/` lists the repository `a`, not `a/b` nor `ab`."""
    for key in ("t/a!/1", "t/a/b!/2", "t/ab!/3", "t/a-b!/4"):
        await store.put(key, b"")
    assert [listed.key for listed in (await store.list("t/a!/")).objects] == ["t/a!/1"]


async def test_directories_are_folded_where_asked(store: Store) -> None:
    """With `directories`, what lies deeper is named once."""
    for key in ("f/x!/1", "f/x!/2", "f/y!/deep/3", "f/file"):
        await store.put(key, b"")
    listing = await store.list("f/", directories=True)
    assert sorted(listing.directories) == ["f/x!/", "f/y!/"]
    assert [listed.key for listed in listing.objects] == ["f/file"]


async def test_create_only_puts_refuse_a_second(store: Store) -> None:
    """`if_none_match` writes once."""
    await store.put("once", b"1", if_none_match=True)
    with pytest.raises(ConditionFailed):
        await store.put("once", b"2", if_none_match=True)
    assert (await store.get("once")).body == b"1"


@pytest.mark.usefixtures("atomic_conditions")
async def test_of_racing_creators_exactly_one_wins(store: Store) -> None:
    """Twenty create-only puts at once leave one winner, whose bytes stay."""
    winners: list[int] = []

    async def create(number: int) -> None:
        try:
            await store.put("raced", str(number).encode(), if_none_match=True)
        except ConditionFailed:
            return
        winners.append(number)

    await gather(*[partial(create, number) for number in range(20)])
    assert len(winners) == 1
    assert (await store.get("raced")).body == str(winners[0]).encode()


async def test_replacing_takes_the_current_etag(store: Store) -> None:
    """`if_match` writes over what was read, and over nothing else."""
    stored = await store.put("cas", b"1")
    await store.put("cas", b"2", if_match=stored.etag)
    with pytest.raises(ConditionFailed):
        await store.put("cas", b"3", if_match=stored.etag)
    assert (await store.get("cas")).body == b"2"


async def test_conditional_deletes_leave_what_was_pushed_since(store: Store) -> None:
    """`if_match` deletes what was read, and nothing else, if the store supports it."""
    if not store.features.conditional_delete:
        pytest.skip("this store was seen to ignore If-Match on DELETE")
    stored = await store.put("cad", b"1")
    with pytest.raises(ConditionFailed):
        await store.delete("cad", if_match=OTHER_ETAG)
    assert (await store.get("cad")).body == b"1"
    await store.delete("cad", if_match=stored.etag)
    with pytest.raises(KeyMissing):
        await store.get("cad")


async def test_parts_in_any_order_make_one_object(store: Store) -> None:
    """Parts are joined by number, a part sent again counts as sent last, and the object comes back bit for bit."""
    first, second = os.urandom(PART_BYTES), os.urandom(PART_BYTES)
    multipart = await store.create_multipart("data/m")
    three = await store.put_part("data/m", multipart, 3, b"tail")
    two = await store.put_part("data/m", multipart, 2, Pieces(second))
    await store.put_part("data/m", multipart, 1, os.urandom(PART_BYTES))
    one = await store.put_part("data/m", multipart, 1, bytearray(first))
    await store.complete_multipart("data/m", multipart, [one, two, three])
    whole = first + second + b"tail"
    assert await read(store, "data/m", 0, len(whole)) == whole
    assert (await store.list_multiparts("data/")).multiparts == []


async def test_completing_with_other_parts_than_were_sent_is_refused(store: Store) -> None:
    """An ETag that no part has makes nothing."""
    multipart = await store.create_multipart("data/w")
    part = await store.put_part("data/w", multipart, 1, b"bytes")
    with pytest.raises(ContentRejected):
        await store.complete_multipart("data/w", multipart, [Part(1, OTHER_ETAG, part.crc32c)])
    with pytest.raises(KeyMissing):
        await store.get("data/w")
    await store.abort_multipart("data/w", multipart)


async def test_a_second_completion_with_other_parts_is_never_taken_for_true(store: Store) -> None:
    """Whatever a store answers to a late completion, it is an error or not `verified`."""
    multipart = await store.create_multipart("data/late")
    mine = await store.put_part("data/late", multipart, 1, b"mine")
    theirs = await store.put_part("data/late", multipart, 1, b"theirs")
    await store.complete_multipart("data/late", multipart, [theirs])
    try:
        stored = await store.complete_multipart("data/late", multipart, [mine])
    except StoreError:
        return
    assert (await store.get("data/late")).body == b"mine" or not stored.verified


async def test_an_aborted_multipart_is_gone(store: Store) -> None:
    """Aborting twice is no error; nothing can be added or completed afterwards."""
    multipart = await store.create_multipart("data/a")
    part = await store.put_part("data/a", multipart, 1, b"x")
    assert [found.multipart_id for found in (await store.list_multiparts("data/")).multiparts] == [multipart]
    await store.abort_multipart("data/a", multipart)
    await store.abort_multipart("data/a", multipart)
    with pytest.raises(StoreError):
        await store.complete_multipart("data/a", multipart, [part])
    assert (await store.list_multiparts("data/")).multiparts == []


@pytest.mark.usefixtures("over_http")
async def test_a_presigned_url_reads_without_credentials(store: Store) -> None:
    """Any client with the URL gets the bytes, by plain HTTP."""
    await store.put("data/open", b"for everyone")
    url = await store.presign_get("data/open", expires_s=60)
    async with httpx.AsyncClient() as client:
        assert (await client.get(url)).content == b"for everyone"
