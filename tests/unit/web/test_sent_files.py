"""Bytes in the cache go from its files to the socket, and answers, cuts and counts are those of bytes in memory."""

from __future__ import annotations

import os
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import h11
import pytest
import trio
import trio.testing

from tests.unit.cache.support import Events, settled
from tests.unit.registry.support import Script
from tests.unit.still_clock import passing
from tests.unit.web.certificates import write_certificate
from tests.unit.web.raw import RawClient, connect_narrow
from tests.unit.web.serving import BUDGET_BYTES, PART_BYTES, REPO, SETTINGS, digest_of, listening
from zotpy.cache.memory_shelf import MemoryShelf
from zotpy.core.units import KIB, MIB
from zotpy.http.server.cuts import Cut
from zotpy.http.server.hypercorn_config import ServerConfig
from zotpy.memory.budget import MemoryBudget
from zotpy.registry.registry import Registry, open_registry
from zotpy.store.faulty import FaultyStore
from zotpy.store.interface import StoreUnavailable
from zotpy.store.memory_store import MemoryStore

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    import httpx

    from zotpy.cache.shelf import CachedFile
    from zotpy.http.server.sending import Answered

CONTENT = os.urandom(24 * MIB + 5)
"""More than all buffers on the way hold."""
URL = f"/v2/{REPO}/blobs/{digest_of(CONTENT)}"
SOON_S = 0.5
RANGES = ("bytes=0-99", "bytes=-7", f"bytes=5-{3 * MIB}", f"bytes={len(CONTENT) - 1}-")


@dataclass(slots=True)
class Cached:
    """A replica whose cache has the blob, and a client of it."""

    client: httpx.AsyncClient
    port: int
    store: MemoryStore
    script: Script
    registry: Registry
    ended: trio.MemoryReceiveChannel[Answered]
    shelf: MemoryShelf
    """Its files are like those on a disk whose bytes the system has in memory, on every file system."""

    @property
    def file(self) -> CachedFile | None:
        """Return the file of the blob, if the cache has it."""
        (data_id,) = {key.removeprefix("data/") for key in self.store.objects if key.startswith("data/")}
        return self.shelf.find(data_id, len(CONTENT))

    def truncate(self, size_bytes: int) -> None:
        """Cut the file of the blob."""
        assert self.file is not None
        descriptor = self.shelf.open_file(self.file)
        os.ftruncate(descriptor, size_bytes)
        os.close(descriptor)

    async def pulling(self) -> RawClient:
        """Ask for the blob with a small window, and read nothing."""
        client = await connect_narrow(self.port)
        await client.begin("GET", URL, None)
        client.http.send(h11.EndOfMessage())
        return client


@asynccontextmanager
async def caching(nursery: trio.Nursery, config: ServerConfig | None = None) -> AsyncIterator[Cached]:
    """Serve a blob that is in the cache. At the end nothing uses its file, and no memory is held."""
    shelf, store, script = MemoryShelf(64 * MIB), MemoryStore(), Script()
    budget = MemoryBudget(BUDGET_BYTES, 2 * PART_BYTES)
    registry = await open_registry(FaultyStore(store, script), SETTINGS, budget, cached=(shelf, Events()))
    assert registry.blobs.cache is not None
    nursery.start_soon(registry.blobs.cache.keep_filling)
    async with listening(nursery, registry, config or ServerConfig()) as (client, ended, _):
        client.timeout = 60.0
        pushed = await client.post(f"/v2/{REPO}/blobs/uploads/", params={"digest": digest_of(CONTENT)}, content=CONTENT)
        assert pushed.status_code == 201
        assert (await client.get(URL)).content == CONTENT
        await settled()
        while (await ended.receive()).method != "GET":
            pass
        cached = Cached(client, client.base_url.port or 0, store, script, registry, ended, shelf)
        assert cached.shelf.used_bytes == len(CONTENT)
        yield cached
        await settled()
        assert budget.used_bytes == 0
        file = cached.file
        assert file is None or (file.users, file.descriptor) == (0, None)
    shelf.close()


@pytest.fixture
def from_files(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Note how many bytes each call has sent from a file."""
    noted, send = list[int](), os.sendfile

    def noting(out: int, into: int, offset: int, count: int) -> int:
        noted.append(0)
        noted[-1] = send(out, into, offset, count)
        return noted[-1]

    monkeypatch.setattr(os, "sendfile", noting)
    return noted


async def test_a_pull_is_sent_from_the_file(nursery: trio.Nursery, from_files: list[int]) -> None:
    """All of it, and each range, takes no copy; what is reported is what was sent."""
    async with caching(nursery) as cached:
        from_files.clear()
        assert (await cached.client.get(URL)).content == CONTENT
        assert sum(from_files) == len(CONTENT)
        assert (await cached.ended.receive()).sent_bytes == len(CONTENT)
        for asked in RANGES:
            from_files.clear()
            answer = await cached.client.get(URL, headers={"Range": asked})
            assert answer.status_code == 206
            span = answer.headers["Content-Range"].removeprefix("bytes ").partition("/")[0]
            start, end = map(int, span.split("-"))
            assert answer.content == CONTENT[start : end + 1]
            assert sum(from_files) == (await cached.ended.receive()).sent_bytes == len(answer.content)


async def test_what_has_no_single_run_of_bytes_is_copied(nursery: trio.Nursery, from_files: list[int]) -> None:
    """HEAD sends no body. Several ranges, and requests that go through hypercorn, are sent from memory."""
    async with caching(nursery) as cached:
        from_files.clear()
        assert (await cached.client.head(URL)).headers["Content-Length"] == str(len(CONTENT))
        several = await cached.client.get(URL, headers={"Range": "bytes=0-9,1000-1009"})
        assert CONTENT[1000:1010] in several.content
        assert (await cached.client.get(URL, headers={"Connection": "close"})).content == CONTENT
        assert from_files == []


async def test_tls_encrypts_here(nursery: trio.Nursery, tmp_path: Path, from_files: list[int]) -> None:
    """With TLS the same bytes come, and none from the file by itself."""
    config = ServerConfig()
    config.certfile, config.keyfile = map(str, write_certificate(tmp_path))
    async with caching(nursery, config) as cached:
        assert (await cached.client.get(URL)).content == CONTENT
        assert from_files == []


async def test_a_file_that_is_cut_in_the_middle(nursery: trio.Nursery, from_files: list[int]) -> None:
    """The client gets the rest from the store, and the file is on no shelf any more."""
    async with caching(nursery) as cached:
        from_files.clear()
        client = await cached.pulling()
        async with client.stream:
            while not any(from_files):
                await trio.lowlevel.checkpoint()
            cached.truncate(sum(from_files) + 3)
            assert await client.receive() == (200, CONTENT)
        assert 0 < sum(from_files) < len(CONTENT)
        await settled()
        assert cached.file is None
        assert (await cached.ended.receive()).sent_bytes == len(CONTENT)


async def test_a_file_that_is_cut_while_the_store_is_down(nursery: trio.Nursery, from_files: list[int]) -> None:
    """Then the answer ends with what was sent, as a pull from the store would."""
    async with caching(nursery) as cached:
        from_files.clear()
        cached.script.fail("before", "read", "data/", StoreUnavailable("down"))
        client = await cached.pulling()
        async with client.stream:
            while not any(from_files):
                await trio.lowlevel.checkpoint()
            cached.truncate(sum(from_files))
            with pytest.raises((h11.RemoteProtocolError, trio.BrokenResourceError)):
                await client.receive()
        assert (await cached.ended.receive()).cut is Cut.STORE_FAILED


async def test_a_client_that_reads_nothing_is_cut(nursery: trio.Nursery, mock_clock: trio.testing.MockClock) -> None:
    """After the stall timeout, as one that is sent bytes from memory."""
    config = ServerConfig()
    config.send_stall_s = SOON_S
    async with caching(nursery, config) as cached:
        client = await cached.pulling()
        async with client.stream, passing(mock_clock):
            assert (await cached.ended.receive()).cut is Cut.READS_NO_MORE


async def test_a_client_that_leaves(nursery: trio.Nursery) -> None:
    """Its file is closed, and it is reported as gone."""
    async with caching(nursery) as cached:
        client = await cached.pulling()
        async with client.stream:
            await client.stream.receive_some(KIB)
        assert (await cached.ended.receive()).cut is Cut.GONE


async def test_a_slow_client_holds_no_memory(nursery: trio.Nursery, from_files: list[int]) -> None:
    """While it reads nothing, others pull and push with all memory; then it gets the rest."""
    async with caching(nursery) as cached:
        from_files.clear()
        client = await cached.pulling()
        async with client.stream:
            while not any(from_files):
                await trio.lowlevel.checkpoint()
            assert cached.registry.budget.used_bytes == 0
            assert (await cached.client.get(URL)).content == CONTENT
            assert await client.receive() == (200, CONTENT)
