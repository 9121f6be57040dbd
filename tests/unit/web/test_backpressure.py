"""With nobody taking the bytes, the socket is not read: the client waits, and memory stays within the budget."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import trio
import trio.testing

from tests.unit.registry.support import until
from zotpy.bucket.health import Health
from zotpy.core.units import MIB
from zotpy.http.server.hypercorn_config import ServerConfig
from zotpy.http.server.serving import serve
from zotpy.memory.budget import MemoryBudget
from zotpy.registry.registry import open_registry
from zotpy.settings import Settings, UploadSettings
from zotpy.store.memory_store import MemoryStore
from zotpy.web.app import create_app

if TYPE_CHECKING:
    from zotpy.store.interface import Body, Part

PART = 5 * MIB
CLIENTS = 8
SOCKET_BUFFERS = 16 * MIB
"""What the kernel may hold for one connection, both sides together."""


class HangingStore(MemoryStore):
    """Takes no part until it is told to."""

    def __init__(self) -> None:
        """Hang at first."""
        super().__init__()
        self.recovered = trio.Event()

    async def put_part(self, key: str, multipart_id: str, number: int, body: Body) -> Part:
        """Take a part, after it has recovered."""
        await self.recovered.wait()
        return await super().put_part(key, multipart_id, number, body)


async def test_clients_of_a_store_that_hangs_are_slowed_down_and_served_when_it_recovers() -> None:
    """Eight clients send 64 MiB each: no more is taken than budget and sockets hold, and all once the store works."""
    store = HangingStore()
    settings = Settings(upload=UploadSettings(part_size_bytes=PART, parts_in_flight=2))
    budget = MemoryBudget(6 * PART, 2 * PART)
    registry = await open_registry(store, settings, budget)
    app = create_app(registry, Health(store), lambda: b"")
    config = ServerConfig()
    config.bind = ["127.0.0.1:0"]
    config.accesslog = config.errorlog = None
    sent = [0] * CLIENTS
    answers: list[bytes] = []
    length = 64 * MIB

    async def send(client: int, port: int) -> None:
        async with await trio.open_tcp_stream("127.0.0.1", port) as stream:
            head = f"POST /v2/r{client}/blobs/uploads/?digest=sha256:{'0' * 64} HTTP/1.1\r\nHost: r\r\n"
            await stream.send_all(f"{head}Content-Length: {length}\r\n\r\n".encode())
            piece = bytes(256 * 1024)
            while sent[client] < length:
                await stream.send_all(piece)
                sent[client] += len(piece)
            answers.append(await stream.receive_some())

    async with trio.open_nursery() as nursery:
        stop = trio.Event()
        binds = await nursery.start(partial(serve, app, config, stop=stop))
        port = int(binds[0].rpartition(":")[2])
        async with trio.open_nursery() as clients:
            for client in range(CLIENTS):
                clients.start_soon(send, client, port)
            await until(lambda: budget.waiting > 0)
            await trio.testing.wait_all_tasks_blocked(0.1)  # any more would have come
            assert budget.used_bytes <= budget.total_bytes
            assert sum(sent) <= budget.total_bytes + CLIENTS * SOCKET_BUFFERS < CLIENTS * length
            store.recovered.set()
        stop.set()
    assert sent == [length] * CLIENTS
    assert all(b"DIGEST_INVALID" in answer or answer.startswith(b"HTTP/1.1 400") for answer in answers)
    assert budget.peak_bytes <= budget.total_bytes
    assert budget.used_bytes == 0
    assert store.multiparts == {}
