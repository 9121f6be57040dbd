"""A replica with a cache on a real store: what the store sends in a storm, and answers as without a cache."""

from __future__ import annotations

import hashlib
import os
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, TypeVar

import trio

from tests.unit.cache.support import Events, settled
from tests.unit.web.serving import listening
from zotpy.cache.shelf import Shelf
from zotpy.core.units import MIB
from zotpy.http.server.hypercorn_config import ServerConfig
from zotpy.memory.budget import MemoryBudget
from zotpy.registry.registry import open_registry
from zotpy.settings import Settings, UploadSettings
from zotpy.store.opening import open_s3_store
from zotpy.store.wrapper import StoreWrapper

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from pathlib import Path

    import httpx

    from tests.servers import Bucket

PART_BYTES = 5 * MIB
CONTENT = os.urandom(24 * MIB + 5)
DIGEST = f"sha256:{hashlib.sha256(CONTENT).hexdigest()}"
URL = f"/v2/r/blobs/{DIGEST}"
T = TypeVar("T")
RANGES = ("bytes=0-99", "bytes=-7", f"bytes=5-{MIB}", "bytes=1-2,900-1000", f"bytes={len(CONTENT)}-", "bytes=9-3")


class CountingStore(StoreWrapper):
    """Counts the bytes of blobs that the store sends."""

    sent_bytes = 0

    async def call(self, operation: str, key: str, run: Callable[[], Awaitable[T]]) -> T:
        """Run any operation."""
        del operation, key
        return await run()

    async def read(self, key: str, receive: Callable[[], Awaitable[bytes]]) -> bytes:
        """Count what is received."""
        chunk = await receive()
        self.sent_bytes += len(chunk) if key.startswith("data/") else 0
        return chunk


@asynccontextmanager
async def serving(
    bucket: Bucket, prefix: str, nursery: trio.Nursery, directory: Path | None
) -> AsyncIterator[tuple[httpx.AsyncClient, CountingStore]]:
    """Serve a registry on the bucket, with a cache in `directory` or without one."""
    async with open_s3_store(bucket.config(), prefix, create_bucket=True) as s3:
        store, budget = CountingStore(s3), MemoryBudget(64 * MIB, PART_BYTES + MIB)
        shelf = None if directory is None else Shelf.open(directory, 64 * MIB)
        settings = Settings(upload=UploadSettings(part_size_bytes=PART_BYTES))
        registry = await open_registry(store, settings, budget, cached=None if shelf is None else (shelf, Events()))
        if registry.blobs.cache is not None:
            nursery.start_soon(registry.blobs.cache.keep_filling)
        async with listening(nursery, registry, ServerConfig()) as (client, _, _):
            client.timeout = 60.0
            yield client, store
        if shelf is not None:
            shelf.close()


async def push(client: httpx.AsyncClient) -> None:
    """Push the blob."""
    answer = await client.post("/v2/r/blobs/uploads/", params={"digest": DIGEST}, content=CONTENT)
    assert answer.status_code == 201, answer.text


async def test_a_storm_costs_the_store_one_blob(
    bucket: Bucket, prefix: str, nursery: trio.Nursery, tmp_path: Path
) -> None:
    """Sixteen clients at once: the store sends the blob once, and nothing for a second storm or after a restart."""
    got = list[bool]()

    async def storm(client: httpx.AsyncClient) -> None:
        async def pull() -> None:
            answer = await client.get(URL)
            got.append(answer.status_code == 200 and answer.content == CONTENT)

        async with trio.open_nursery() as clients:
            for _ in range(16):
                clients.start_soon(pull)

    async with serving(bucket, prefix, nursery, tmp_path) as (client, store):
        await push(client)
        await storm(client)
        await storm(client)
        assert store.sent_bytes == len(CONTENT)
    async with serving(bucket, prefix, nursery, tmp_path) as (client, store):
        await storm(client)
        assert store.sent_bytes == 0
    assert got == [True] * 48


async def test_answers_are_those_without_a_cache(
    bucket: Bucket, prefix: str, nursery: trio.Nursery, tmp_path: Path
) -> None:
    """HEAD, ranges, conditions and a deleted blob are answered with the same status, head and bytes."""
    async with (
        serving(bucket, prefix, nursery, tmp_path) as (cached, store),
        serving(bucket, prefix, nursery, None) as (plain, _),
    ):
        await push(plain)
        for _ in range(2):  # the second time the cache verifies what it has
            assert (await cached.get(URL)).content == CONTENT
            await settled()
        before = store.sent_bytes
        asked = [{"Range": text} for text in RANGES]
        asked += [{"If-None-Match": f'"{DIGEST}"'}, {"Range": "bytes=0-9", "If-Range": '"other"'}, {}]
        for method in ("GET", "HEAD"):
            for headers in asked:
                answers = [await client.request(method, URL, headers=headers) for client in (cached, plain)]
                one, other = [(answer.status_code, *said(answer)) for answer in answers]
                assert one == other
        assert store.sent_bytes == before
        assert (await plain.delete(URL)).status_code == 202
        assert [(await client.get(URL)).status_code for client in (cached, plain)] == [404, 404]


async def test_the_entry_decides_whether_lost_data_is_served(
    bucket: Bucket, prefix: str, nursery: trio.Nursery, tmp_path: Path
) -> None:
    """Data that the store has lost is served from the cache until somebody notes the loss: then it is lost everywhere.

    A push heals the blob at both, and the cache fills anew.
    """
    async with (
        serving(bucket, prefix, nursery, tmp_path) as (cached, store),
        serving(bucket, prefix, nursery, None) as (plain, _),
    ):
        await push(plain)
        assert (await cached.get(URL)).content == CONTENT
        await settled()
        [data] = (await store.list("data/", limit=2)).objects
        await store.delete(data.key)
        assert (await cached.get(URL)).content == CONTENT
        assert (await plain.get(URL)).status_code == 404
        assert [(await client.get(URL)).status_code for client in (cached, plain)] == [404, 404]
        await push(plain)
        for _ in range(2):
            assert [(await client.get(URL)).content == CONTENT for client in (cached, plain)] == [True, True]


def said(answer: httpx.Response) -> tuple[dict[str, str], bytes]:
    """Return head and body, without the date and the boundary, which is drawn for each answer."""
    kind = answer.headers.get("content-type", "")
    boundary = kind.partition("boundary=")[2]
    head = {name: value for name, value in answer.headers.items() if name not in {"date", "content-type"}}
    return head, answer.content.replace(boundary.encode(), b"") if boundary else answer.content
