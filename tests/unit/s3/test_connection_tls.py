"""A connection to the store with TLS: records gather in the socket, and nothing waits for bytes that do not come."""

from __future__ import annotations

import math
import ssl
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest
import trio
import trio.testing

from tests.unit.still_clock import passing
from tests.unit.web.certificates import write_certificate
from zotpy.core.units import KIB
from zotpy.http.client.connection import READ_BYTES, ClientConnection
from zotpy.http.client.link import LEAST_BYTES
from zotpy.http.client.outgoing import Outgoing
from zotpy.http.client.service import Service
from zotpy.http.client.transport_errors import ReadTimeout
from zotpy.http.tls import TLSStream

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

GET = Outgoing("GET", "/key", {"host": "127.0.0.1"})
SILENCE_S = 10.0
"""How long a read may take. Nothing is asserted about the time; reads that hang end with an error."""


class Store:
    """The other end of a connection: it says how many of its encrypted bytes go out, and when."""

    def __init__(self, connection: ClientConnection, stream: TLSStream) -> None:
        """Have the handshake done, and no request received."""
        self.connection = connection
        self.stream = stream

    async def answer(self, head: bytes) -> None:
        """Receive a request of the connection, and answer with this head."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self.connection.send, GET)
            await self.stream.receive_some()
            await self.stream.send_all(head)

    async def send(self, encrypted: memoryview) -> None:
        """Send bytes as they are."""
        await self.stream.transport_stream.send_all(encrypted)


@asynccontextmanager
async def connected(directory: Path, gather_s: float = math.inf) -> AsyncIterator[Store]:
    """Connect, with a first request that has a short answer."""
    certificate, key = write_certificate(directory)
    ours = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    ours.load_cert_chain(certificate, key)
    trusting = ssl.create_default_context(cafile=str(certificate))
    (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
    async with listener:
        port = listener.socket.getsockname()[1]
        connection = ClientConnection(Service("127.0.0.1", port, trusting, silence_s=SILENCE_S, gather_s=gather_s))
        async with trio.open_nursery() as nursery:
            nursery.start_soon(connection.send, GET)
            stream = TLSStream(await listener.accept(), ours, server_side=True)
            await stream.do_handshake()
            await stream.receive_some()
            await stream.send_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        assert await connection.receive() == b""
        assert connection.finish(trio.current_time())
    async with stream:
        yield Store(connection, stream)
        await connection.aclose()


def content_of(length: int) -> bytes:
    """Return bytes of which none can stand in another's place unseen."""
    return b"".join(number.to_bytes(4, "big") for number in range(length // 4))


@pytest.mark.parametrize("gather_s", [math.inf, SILENCE_S])
async def test_the_end_of_a_body_is_not_waited_for_after_a_read_that_took_all_it_could(
    tmp_path: Path, gather_s: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A read that was filled leaves half a record, and less is to come than was asked of the system before."""
    monkeypatch.setattr("zotpy.http.client.link.trio.move_on_after", trio.fail_after)
    content = content_of(3 * READ_BYTES + READ_BYTES // 2)
    async with connected(tmp_path, gather_s) as store:
        await store.answer(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(content))
        encrypted = memoryview(store.stream.encrypt(content))
        first = 3 * READ_BYTES
        received = bytearray()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(store.send, encrypted[:first])
            while len(received) < first - 64 * KIB:
                received += await store.connection.receive()
            nursery.start_soon(store.send, encrypted[first:])
            while piece := await store.connection.receive():
                received += piece
        assert received == content
        assert store.connection.finish(trio.current_time())


async def test_bytes_before_a_silence_are_read(tmp_path: Path, mock_clock: trio.testing.MockClock) -> None:
    """Where fewer bytes come than are waited for, they are handed on in the end; only then is there a timeout."""
    async with connected(tmp_path) as store:
        length = 8 * LEAST_BYTES
        await store.answer(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % length)
        await store.stream.send_all(content_of(KIB))
        received = bytearray()

        async def receive_all() -> None:
            while True:
                received.extend(await store.connection.receive())

        async with passing(mock_clock):
            with pytest.raises(ReadTimeout):
                await receive_all()
        assert received == content_of(KIB)


async def test_a_connection_that_holds_more_than_an_answer_is_not_used_again(tmp_path: Path) -> None:
    """The beginning of a record that should not be there is in our hands already, and not in the socket."""
    async with connected(tmp_path) as store:
        head = store.stream.encrypt(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
        more = store.stream.encrypt(b"x" * KIB)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(store.connection.send, GET)
            await store.stream.receive_some()
            await store.send(memoryview(head + more[:KIB]))
        assert [await store.connection.receive(), await store.connection.receive()] == [b"ok", b""]
        assert not store.connection.finish(trio.current_time())
