"""A store that breaks off in the middle of a pull, over real connections on both sides."""

from __future__ import annotations

import hashlib
import os
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import h11
import httpx
import pytest
import trio

from tests.unit.s3.scripted import AT_ONCE
from tests.unit.web.raw import RawClient
from tests.unit.web.serving import listening
from zotpy.core.units import MIB
from zotpy.http.server.hypercorn_config import ServerConfig
from zotpy.memory.budget import MemoryBudget
from zotpy.registry.registry import Registry, open_registry
from zotpy.settings import Settings, UploadSettings
from zotpy.store.opening import open_s3_store

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.servers import Bucket

PART_BYTES = 5 * MIB
BUDGET_BYTES = 64 * MIB
CONTENT = os.urandom(24 * MIB)
DIGEST = f"sha256:{hashlib.sha256(CONTENT).hexdigest()}"
URL = f"/v2/r/blobs/{DIGEST}"
NO_LIMIT = 1 << 60


@dataclass(slots=True)
class Cutter:
    """A proxy before the store that closes connections after this many bytes of its answers."""

    endpoint: str
    port: int = 0
    each_bytes: int = NO_LIMIT
    """How much one connection may bring."""
    all_bytes: int = NO_LIMIT
    """How much all of them may bring together. After that none is served any more."""
    cuts: int = 0

    async def start(self, nursery: trio.Nursery) -> None:
        """Listen until the nursery is cancelled."""
        listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
        self.port = listeners[0].socket.getsockname()[1]
        nursery.start_soon(trio.serve_listeners, self._pass_on, listeners)

    async def _pass_on(self, client: trio.SocketStream) -> None:
        url = httpx.URL(self.endpoint)
        async with await trio.open_tcp_stream(url.host, url.port or 80) as store, trio.open_nursery() as nursery:
            nursery.start_soon(self._send, client, store)
            await self._receive(store, client)
            nursery.cancel_scope.cancel()

    async def _send(self, client: trio.SocketStream, store: trio.SocketStream) -> None:
        try:
            async for data in client:
                await store.send_all(data)
            await store.send_eof()
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            return

    async def _receive(self, store: trio.SocketStream, client: trio.SocketStream) -> None:
        left = self.each_bytes
        try:
            while (room := max(0, min(left, self.all_bytes))) and (data := await store.receive_some(min(room, 65536))):
                left -= len(data)
                self.all_bytes -= len(data)
                await client.send_all(data)
            self.cuts += not room
        except trio.BrokenResourceError:
            return


@dataclass(slots=True)
class Scene:
    """A replica, its store behind a cutter, and one blob."""

    cutter: Cutter
    registry: Registry
    client: httpx.AsyncClient


@asynccontextmanager
async def opened(bucket: Bucket, prefix: str, nursery: trio.Nursery, *, memory: bool) -> AsyncIterator[Scene]:
    """Serve a registry with one blob, with or without memory for pulls."""
    cutter = Cutter(bucket.endpoint)
    await cutter.start(nursery)
    s3 = replace(bucket.config(), endpoint=f"http://127.0.0.1:{cutter.port}", retry=AT_ONCE)
    async with open_s3_store(s3, prefix, create_bucket=True) as store:
        budget = MemoryBudget(BUDGET_BYTES, PART_BYTES + MIB)
        registry = await open_registry(store, Settings(upload=UploadSettings(part_size_bytes=PART_BYTES)), budget)
        async with listening(nursery, registry, ServerConfig()) as (client, _, _):
            client.timeout = 60.0
            answer = await client.post("/v2/r/blobs/uploads/", params={"digest": DIGEST}, content=CONTENT)
            assert answer.status_code == 201, answer.text
            account = budget.account()
            if not memory:
                await account.acquire(budget.largest_part_bytes)
            yield Scene(cutter, registry, client)


@pytest.mark.parametrize("memory", [True, False])
async def test_a_pull_goes_on_from_the_byte_reached(
    bucket: Bucket,
    prefix: str,
    nursery: trio.Nursery,
    memory: bool,  # noqa: FBT001
) -> None:
    """However often the store closes a connection early, the client gets every byte, once and in order."""
    async with opened(bucket, prefix, nursery, memory=memory) as scene:
        scene.cutter.each_bytes = 3 * MIB
        answer = await scene.client.get(URL)
        assert answer.status_code == 200
        assert answer.content == CONTENT
        assert scene.cutter.cuts >= 6  # each of three ranges takes three connections


@pytest.mark.parametrize("memory", [True, False])
async def test_a_pull_that_cannot_go_on_is_cut(
    bucket: Bucket,
    prefix: str,
    nursery: trio.Nursery,
    memory: bool,  # noqa: FBT001
) -> None:
    """If the store is down for ever, the client has fewer bytes than it was promised, and can see that."""
    async with opened(bucket, prefix, nursery, memory=memory) as scene:
        used_before = scene.registry.budget.used_bytes
        scene.cutter.all_bytes = 10 * MIB
        raw = RawClient(await trio.open_tcp_stream("127.0.0.1", scene.client.base_url.port or 0))
        async with raw.stream:
            await raw.begin("GET", URL, None)
            raw.http.send(h11.EndOfMessage())
            with pytest.raises((h11.RemoteProtocolError, trio.BrokenResourceError)):
                await raw.receive()
        scene.cutter.all_bytes = NO_LIMIT
        assert (await scene.client.get(URL)).content == CONTENT
        assert scene.registry.budget.used_bytes == used_before
