"""Listening and the drain, on real connections."""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING

import pytest
import trio
import trio.testing

from tests.unit.registry.support import until
from tests.unit.web.serving import UPLOADS, digest_of
from zotpy.bucket.health import Health
from zotpy.core.units import MIB
from zotpy.listening import _cannot_listen, bind, listen
from zotpy.memory.budget import MemoryBudget
from zotpy.registry.registry import open_registry
from zotpy.settings import HttpSettings, Settings
from zotpy.store.memory_store import MemoryStore
from zotpy.web.app import create_app

if TYPE_CHECKING:
    from trio.testing import MockClock

    from zotpy.registry.registry import Registry

SETTINGS = HttpSettings(port=0, drain_timeout_s=3600.0)
DEADLINE_S = 60.0
CONTENT = b"content"


class Listening:
    """A replica that listens until it is told to stop."""

    def __init__(self, registry: Registry, store: MemoryStore) -> None:
        self.health = Health(store)
        self.app = create_app(registry, self.health, lambda: b"")
        self.stop = trio.Event()
        self.is_last = True
        """Nobody else listens at the address."""
        self.ended = trio.Event()

    async def run(self, listener: int | None, task_status: trio.TaskStatus[int]) -> None:
        """Listen, and tell the port."""

        def tell(binds: list[str]) -> None:
            task_status.started(int(binds[0].rpartition(":")[2]))

        async def until_stopped() -> bool:
            await self.stop.wait()
            return self.is_last

        await listen(self.app, self.health, SETTINGS, until_stopped, tell, listener)
        self.ended.set()


async def new_listening() -> Listening:
    """Make a replica on a store of its own."""
    store = MemoryStore()
    registry = await open_registry(store, Settings(), MemoryBudget(64 * MIB, 9 * MIB))
    return Listening(registry, store)


async def test_the_drain_ends_with_the_last_request(nursery: trio.Nursery) -> None:
    """A request under way at the stop is answered; one sent right behind it on its connection holds nothing up."""
    listening = await new_listening()
    port = await nursery.start(listening.run, None)
    head = f"POST {UPLOADS}?digest={digest_of(CONTENT)} HTTP/1.1\r\nHost: z\r\nContent-Length: {len(CONTENT)}\r\n\r\n"
    async with await trio.open_tcp_stream("127.0.0.1", port) as stream:
        await stream.send_all(head.encode() + CONTENT[:3])
        await until(lambda: listening.app.under_way > 0)
        listening.stop.set()
        await until(lambda: listening.health.draining)
        assert not listening.ended.is_set()
        await stream.send_all(CONTENT[3:] + b"GET /v2/ HTTP/1.1\r\nHost: z\r\n\r\n")
        answer = await stream.receive_some()
        assert answer.startswith(b"HTTP/1.1 201")
        assert b"connection: close" in answer.lower()
        with trio.fail_after(DEADLINE_S):
            await listening.ended.wait()


async def asked(port: int, path: str) -> bytes:
    """Ask on a connection of its own, and return the answer."""
    async with await trio.open_tcp_stream("127.0.0.1", port) as stream:
        await stream.send_all(f"GET {path} HTTP/1.1\r\nHost: z\r\n\r\n".encode())
        answer = b""
        while b"\r\n\r\n" not in answer or answer.endswith(b"\r\n\r\n"):
            answer += await stream.receive_some()
        return answer


async def test_a_balancer_that_asks_is_given_notice(nursery: trio.Nursery, mock_clock: MockClock) -> None:
    """From the stop on the replica is not ready, but answers every client until the notice is over; then it ends."""
    listening = await new_listening()
    port = await nursery.start(listening.run, None)
    assert (await asked(port, "/readyz")).startswith(b"HTTP/1.1 200")
    listening.stop.set()
    while not listening.app.draining:
        await trio.testing.wait_all_tasks_blocked()
    mock_clock.jump(SETTINGS.drain_notice_s - 0.1)
    await trio.testing.wait_all_tasks_blocked()
    assert (await asked(port, "/readyz")).endswith(b"draining\n")
    late = await asked(port, "/v2/")
    assert late.startswith(b"HTTP/1.1 200")
    assert b"connection: close" in late.lower()
    mock_clock.jump(0.1)
    await trio.testing.wait_all_tasks_blocked()
    with pytest.raises(OSError, match="all attempts to connect"):
        await trio.open_tcp_stream("127.0.0.1", port)
    while not listening.ended.is_set():
        mock_clock.jump(0.1)
        await trio.testing.wait_all_tasks_blocked()


async def test_a_worker_that_leaves_alone_stays_ready(nursery: trio.Nursery) -> None:
    """Where others accept at the address, a balancer that asks must not hear from one of them that all are leaving."""
    listening = await new_listening()
    listening.is_last = False
    port = await nursery.start(listening.run, None)
    assert (await asked(port, "/readyz")).startswith(b"HTTP/1.1 200")
    listening.stop.set()
    with trio.fail_after(DEADLINE_S):
        await listening.ended.wait()
    assert listening.app.draining
    assert not listening.health.draining


async def test_workers_listen_on_one_socket(nursery: trio.Nursery) -> None:
    """Connections are refused until the first listener of a bound socket, and taken by those that are left."""
    with bind(SETTINGS) as listener:
        port = listener.getsockname()[1]
        with pytest.raises(OSError, match="all attempts to connect"):
            await trio.open_tcp_stream("127.0.0.1", port)
        first, second = await new_listening(), await new_listening()
        for listening in (first, second):
            assert await nursery.start(listening.run, listener.dup().detach()) == port
        first.stop.set()
        with trio.fail_after(DEADLINE_S):
            await first.ended.wait()
        async with await trio.open_tcp_stream("127.0.0.1", port) as stream:
            await stream.send_all(b"GET /livez HTTP/1.1\r\nHost: z\r\n\r\n")
            assert (await stream.receive_some()).startswith(b"HTTP/1.1 200")
        second.stop.set()


@pytest.mark.parametrize(
    ("number", "remedy"),
    [
        (errno.EADDRINUSE, "in use. Stop the program that uses it, or set another http.port"),
        (errno.EADDRNOTAVAIL, "This machine does not have that address"),
        (errno.EACCES, "Only root may use ports below 1024"),
        (errno.ENETDOWN, "Network is down"),
    ],
)
def test_an_address_that_cannot_be_used_comes_with_a_remedy(number: int, remedy: str) -> None:
    """One line says what the system said, and what to do."""
    said = str(_cannot_listen(SETTINGS, OSError(number, os.strerror(number))))
    assert said.startswith(f"cannot listen on 127.0.0.1:0: {os.strerror(number)}")
    assert remedy in said
