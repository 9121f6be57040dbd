"""Multiparts in odd orders, on every store."""

from __future__ import annotations

import os
from contextlib import suppress
from functools import partial
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest

from zotpy.bucket.sweeps import each_multipart
from zotpy.concurrency import gather
from zotpy.store.interface import ContentRejected, KeyMissing

if TYPE_CHECKING:
    from zotpy.store.interface import Store

KEY = "data/object"
PART_BYTES = 5 * 2**20


@pytest.fixture
def knows_what_was_aborted(kind: str) -> None:
    """Leave out the store that takes a multipart's absence for a failure of its own."""
    if kind == "moto":
        pytest.skip("moto answers 500 where a multipart is gone")


@pytest.fixture
def counts_multiparts(kind: str) -> None:
    """Leave out the store that has no limit."""
    if kind == "moto":
        pytest.skip("moto ignores max-uploads")


async def read(store: Store, start: int, end: int) -> bytes:
    """Read a range as a stream."""
    async with store.open(KEY, start, end) as chunks:
        return b"".join([chunk async for chunk in chunks])


async def test_twenty_mebibytes_come_back_bit_for_bit(store: Store) -> None:
    """Parts sent at once and ranges read at once, across the edges of the parts, lose and mix up nothing."""
    body = os.urandom(20 * 2**20 + 12_345)
    multipart = await store.create_multipart(KEY)
    cuts = range(0, len(body), PART_BYTES)
    parts = await gather(*[
        partial(store.put_part, KEY, multipart, number, body[cut : cut + PART_BYTES])
        for number, cut in reversed(list(enumerate(cuts, 1)))
    ])  # fmt: skip
    await store.complete_multipart(KEY, multipart, list(reversed(parts)))
    edges = [0, 1, PART_BYTES - 1, PART_BYTES + 1, 3 * PART_BYTES, len(body)]
    ranges = await gather(*[partial(read, store, *edge) for edge in pairwise(edges)])
    assert b"".join(ranges) == body
    [listed] = (await store.list("data/")).objects
    assert (listed.key, listed.size_bytes) == (KEY, len(body))


async def test_a_multipart_is_invisible_until_it_is_completed(store: Store) -> None:
    """Neither a read nor a listing sees an object, and the listing of multiparts does."""
    multipart = await store.create_multipart(KEY)
    part = await store.put_part(KEY, multipart, 1, b"bytes")
    with pytest.raises(KeyMissing):
        await store.get(KEY)
    assert (await store.list("data/")).objects == []
    [listed] = (await store.list_multiparts("data/")).multiparts
    assert (listed.key, listed.multipart_id) == (KEY, multipart)
    await store.complete_multipart(KEY, multipart, [part])
    assert (await store.get(KEY)).body == b"bytes"
    assert (await store.list_multiparts("data/")).multiparts == []


async def test_bytes_slipped_in_under_a_part_never_pass_for_those_that_were_hashed(store: Store) -> None:
    """The ETag of the part as it was first sent is refused, or it still means the bytes that were sent with it."""
    multipart = await store.create_multipart(KEY)
    hashed = await store.put_part(KEY, multipart, 1, b"hashed")
    await store.put_part(KEY, multipart, 1, b"slipped in")
    try:
        stored = await store.complete_multipart(KEY, multipart, [hashed])
    except ContentRejected:
        await store.abort_multipart(KEY, multipart)
        with pytest.raises(KeyMissing):
            await store.get(KEY)
    else:
        assert stored.verified
        assert (await store.get(KEY)).body == b"hashed"


async def test_parts_that_were_sent_and_are_not_named_are_dropped(store: Store) -> None:
    """An object is made of exactly the parts that are named."""
    multipart = await store.create_multipart(KEY)
    await store.put_part(KEY, multipart, 1, os.urandom(PART_BYTES))
    named = await store.put_part(KEY, multipart, 2, b"named")
    await store.put_part(KEY, multipart, 3, b"not named")
    await store.complete_multipart(KEY, multipart, [named])
    assert (await store.get(KEY)).body == b"named"


async def test_a_part_of_another_multipart_is_refused(store: Store) -> None:
    """Two uploads of one key do not share parts; each is listed, and one may finish while the other goes on."""
    first, second = [await store.create_multipart(KEY) for _ in range(2)]
    one = await store.put_part(KEY, first, 1, b"one")
    two = await store.put_part(KEY, second, 1, b"two")
    assert {listed.multipart_id for listed in (await store.list_multiparts("data/")).multiparts} == {first, second}
    with pytest.raises(ContentRejected):
        await store.complete_multipart(KEY, first, [two])
    await store.complete_multipart(KEY, second, [two])
    assert (await store.get(KEY)).body == b"two"
    await store.complete_multipart(KEY, first, [one])
    assert (await store.get(KEY)).body == b"one"


@pytest.mark.usefixtures("knows_what_was_aborted")
async def test_nothing_can_be_added_to_an_aborted_multipart(store: Store) -> None:
    """A part that comes too late learns that its multipart does not exist any more."""
    multipart = await store.create_multipart(KEY)
    await store.abort_multipart(KEY, multipart)
    with pytest.raises(KeyMissing):
        await store.put_part(KEY, multipart, 1, b"late")


@pytest.mark.usefixtures("knows_what_was_aborted")
async def test_an_aborted_multipart_cannot_be_completed(store: Store) -> None:
    """It does not exist any more, and the object that was there before stays."""
    await store.put(KEY, b"before")
    multipart = await store.create_multipart(KEY)
    part = await store.put_part(KEY, multipart, 1, b"after")
    await store.abort_multipart(KEY, multipart)
    with suppress(KeyMissing):
        assert not (await store.complete_multipart(KEY, multipart, [part])).verified
    assert (await store.get(KEY)).body == b"before"


async def test_aborting_what_was_completed_leaves_the_object(store: Store) -> None:
    """A cleanup that comes too late does no harm."""
    multipart = await store.create_multipart(KEY)
    part = await store.put_part(KEY, multipart, 1, b"bytes")
    await store.complete_multipart(KEY, multipart, [part])
    await store.abort_multipart(KEY, multipart)
    assert (await store.get(KEY)).body == b"bytes"


async def test_a_completion_replaces_what_stood_there(store: Store) -> None:
    """A reader sees the one object or the other."""
    await store.put(KEY, b"before")
    multipart = await store.create_multipart(KEY)
    part = await store.put_part(KEY, multipart, 1, b"after")
    assert (await store.get(KEY)).body == b"before"
    stored = await store.complete_multipart(KEY, multipart, [part])
    fetched = await store.get(KEY)
    assert (fetched.body, fetched.etag) == (b"after", stored.etag)


async def test_listing_multiparts_keeps_to_its_prefix(store: Store) -> None:
    """Multiparts below other prefixes are nobody's business; all are found below none."""
    for key in ("data/a", "data/b", "data/c", "other/d"):
        await store.create_multipart(key)
    assert {listed.key for listed in (await store.list_multiparts("data/")).multiparts} == {
        "data/a",
        "data/b",
        "data/c",
    }
    for listed in (await store.list_multiparts("")).multiparts:
        await store.abort_multipart(listed.key, listed.multipart_id)
    assert (await store.list_multiparts("")).multiparts == []


@pytest.mark.usefixtures("counts_multiparts")
async def test_listing_multiparts_stops_at_its_limit(store: Store) -> None:
    """The collector looks at a bounded number at a time."""
    multiparts = {key: await store.create_multipart(key) for key in ("data/a", "data/b", "data/c")}
    assert len((await store.list_multiparts("data/", limit=2)).multiparts) == 2
    for key, multipart in multiparts.items():
        await store.abort_multipart(key, multipart)


async def test_multiparts_of_several_pages_are_all_found(store: Store) -> None:
    """Whatever the order in which a store lists them, the collector sees each of them once."""
    multiparts = {f"data/{name}": await store.create_multipart(f"data/{name}") for name in "abcde"}
    other = await store.create_multipart("other/f")
    found: list[tuple[str, str]] = []
    await each_multipart(store, "data/", lambda one: found.append((one.key, one.multipart_id)), page_size=2)
    assert sorted(found) == sorted(multiparts.items())
    for key, multipart in (multiparts | {"other/f": other}).items():
        await store.abort_multipart(key, multipart)
