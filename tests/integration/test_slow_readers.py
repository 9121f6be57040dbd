"""Clients that ask and never read, more than a real store has connections: pushes and other pulls go through."""

from __future__ import annotations

import hashlib
import os
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from tests.unit.registry.support import until
from tests.unit.web.raw import connect_narrow
from tests.unit.web.serving import listening
from zotpy.core.units import MIB
from zotpy.http.server.hypercorn_config import ServerConfig
from zotpy.memory.budget import MemoryBudget
from zotpy.registry.registry import Registry, open_registry
from zotpy.settings import HttpSettings, Settings, UploadSettings
from zotpy.store.opening import open_s3_store

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    import httpx
    import trio

    from tests.servers import Bucket

CONNECTIONS = 4
"""To the store: for calls, and as many again for streamed reads."""
PLACES = 2
CLIENTS = 2 * CONNECTIONS + 3
PART_BYTES = 5 * MIB
LITTLE_MEMORY_BYTES = 64 * MIB
MUCH_MEMORY_BYTES = 256 * MIB
"""A range for each client that does not read, some ahead of them, and room for others."""
UPLOADS = "/v2/r/blobs/uploads/"
DEADLINE_S = 60.0


@dataclass(slots=True)
class Scene:
    """A replica over a store that takes few connections."""

    registry: Registry
    client: httpx.AsyncClient

    async def push(self, size_bytes: int, algorithm: str = "sha256") -> tuple[str, bytes]:
        """Push a blob and return its digest and its bytes; sha512 is learnt at the end only, and read back."""
        content = os.urandom(size_bytes)
        digest = f"{algorithm}:{hashlib.new(algorithm, content).hexdigest()}"
        location = (await self.client.post(UPLOADS)).headers["Location"]
        answer = await self.client.put(f"{location}&digest={digest}", content=content)
        assert answer.status_code == 201, answer.text
        return digest, content

    async def pull(self, digest: str, content: bytes) -> None:
        """Pull a blob and compare."""
        answer = await self.client.get(f"/v2/r/blobs/{digest}")
        assert answer.status_code == 200
        assert answer.content == content

    async def never_read(self, stack: AsyncExitStack, digest: str) -> None:
        """Ask for a blob, and read nothing of the answer."""
        raw = await connect_narrow(self.client.base_url.port or 0)
        await stack.enter_async_context(raw.stream)
        await raw.begin("GET", f"/v2/r/blobs/{digest}", None)


@asynccontextmanager
async def opened(bucket: Bucket, prefix: str, memory_bytes: int, nursery: trio.Nursery) -> AsyncIterator[Scene]:
    """Serve a registry that has few connections to the store."""
    s3 = replace(bucket.config(), max_connections=CONNECTIONS, max_streams=CONNECTIONS)
    settings = Settings(upload=UploadSettings(part_size_bytes=PART_BYTES), http=HttpSettings(paced_reads=PLACES))
    async with open_s3_store(s3, prefix, create_bucket=True) as store:
        registry = await open_registry(store, settings, MemoryBudget(memory_bytes, PART_BYTES + MIB))
        async with listening(nursery, registry, ServerConfig()) as (client, _, _):
            client.timeout = DEADLINE_S
            yield Scene(registry, client)


async def test_without_memory_pushes_go_through(bucket: Bucket, prefix: str, nursery: trio.Nursery) -> None:
    """While clients that never read hold all places and others wait, pushes are made, one that is read back too."""
    async with opened(bucket, prefix, LITTLE_MEMORY_BYTES, nursery) as scene:
        large, content = await scene.push(24 * MIB)
        readers, others = scene.registry.blobs.readers, scene.registry.budget.account()
        await others.acquire(scene.registry.budget.largest_part_bytes)
        async with AsyncExitStack() as stack:
            for _ in range(CLIENTS):
                await scene.never_read(stack, large)
            await until(lambda: readers.waiting == CLIENTS - PLACES)
            small = await scene.push(1000)
            medium = await scene.push(12 * MIB, "sha512")
            assert (await scene.client.head(f"/v2/r/blobs/{medium[0]}")).status_code == 200
            await scene.pull(*small)
            assert readers.waiting == CLIENTS - PLACES
        await scene.pull(large, content)  # after they left, at the client's pace
        others.close()
        await scene.pull(*medium)
        await until(lambda: scene.registry.budget.used_bytes == 0)


async def test_with_memory_pulls_and_pushes_go_through(bucket: Bucket, prefix: str, nursery: trio.Nursery) -> None:
    """Clients that never read hold memory and no connection; with what is left everybody else is served."""
    async with opened(bucket, prefix, MUCH_MEMORY_BYTES, nursery) as scene, AsyncExitStack() as stack:
        large, content = await scene.push(24 * MIB)
        readers = scene.registry.blobs.readers
        for count in range(1, CLIENTS + 1):
            await scene.never_read(stack, large)
            await until(lambda count=count: readers.reserved_bytes >= count * 7 * MIB)  # type: ignore[misc]
        await scene.push(12 * MIB, "sha512")
        await scene.pull(large, content)
        assert readers.waiting == 0
        assert readers.reserved_bytes >= CLIENTS * 7 * MIB
