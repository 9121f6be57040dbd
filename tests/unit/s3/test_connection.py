"""One connection: long bodies come in few reads, and what came before a silence is not lost."""

from __future__ import annotations

import os
import socket
import struct
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING

import pytest
import trio
import trio.testing

from tests.unit.still_clock import passing
from zotpy.http.client.connection import LONG_READ_BYTES, ClientConnection
from zotpy.http.client.link import LEAST_BYTES
from zotpy.http.client.outgoing import Outgoing
from zotpy.http.client.service import Service
from zotpy.http.client.transport_errors import ReadError, ReadTimeout
from zotpy.http.slabs import LEAST_ROOM_BYTES, Slabs

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

LENGTH = 8 * LEAST_BYTES
SILENCE_S = 10.0
GATHER_S = 0.5
ENDLESS_S = 1000.0
"""For bytes that come anyway: the wait for them never ends before."""
GET = Outgoing("GET", "/key", {"host": "127.0.0.1"})
TRICKLE = bytes(4096)


@asynccontextmanager
async def connected(**changed: float | Slabs) -> AsyncIterator[tuple[ClientConnection, trio.SocketListener]]:
    """Yield a connection, not yet made, and the listener that it will reach."""
    (server,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
    async with server:
        port = server.socket.getsockname()[1]
        connection = ClientConnection(Service("127.0.0.1", port, silence_s=SILENCE_S, **changed))  # type: ignore[arg-type]
        yield connection, server
        await connection.aclose()


async def answer(connection: ClientConnection, stream: trio.SocketStream, length: int, body: bytes = b"") -> None:
    """Send a GET, answered with a head that promises `length` bytes, and then these."""

    async def serve() -> None:
        await stream.receive_some()
        await stream.send_all(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % length + body)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(connection.send, GET)
        nursery.start_soon(serve)


async def accepted(connection: ClientConnection, server: trio.SocketListener) -> trio.SocketStream:
    """Make the connection by a first request, answered shortly, and return the other end of it."""
    async with trio.open_nursery() as nursery:
        nursery.start_soon(connection.send, GET)
        stream = await server.accept()
        await stream.receive_some()
        await stream.send_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
    assert await connection.receive() == b""
    connection.finish(trio.current_time())
    return stream


async def trickle(stream: trio.SocketStream, length: int) -> None:
    """Send a body of this length in many pieces."""
    for _ in range(length // len(TRICKLE)):
        await stream.send_all(TRICKLE)


async def test_bytes_before_a_silence_are_read(mock_clock: trio.testing.MockClock) -> None:
    """Where fewer bytes come than are waited for, they are handed on in the end; only then is there a timeout."""
    async with connected() as (connection, server), await accepted(connection, server) as stream:
        await answer(connection, stream, LENGTH, b"x" * 1000)
        received = bytearray()

        async def receive_all() -> None:
            while True:
                received.extend(await connection.receive())

        async with passing(mock_clock):
            with pytest.raises(ReadTimeout):
                await receive_all()
        assert received == b"x" * 1000


async def test_a_long_body_that_trickles_in_is_read_in_large_pieces() -> None:
    """The middle of it comes in pieces of 1 MiB or more, its end at once, and the connection is idle."""
    async with connected() as (connection, server), await accepted(connection, server) as stream:
        await answer(connection, stream, LENGTH)
        left = LENGTH
        async with trio.open_nursery() as nursery:
            nursery.start_soon(trickle, stream, LENGTH)
            while piece := await connection.receive():
                assert len(piece) >= LEAST_ROOM_BYTES or left <= LEAST_BYTES
                left -= len(piece)
        assert left == 0
        assert connection.finish(trio.current_time())
        # What the connection carries next is not waited for until there is much of it.
        await answer(connection, stream, 2, b"ok")
        assert await connection.receive() == b"ok"


async def test_bytes_that_are_passed_on_at_once_wait_for_others_for_a_limited_time(
    mock_clock: trio.testing.MockClock,
) -> None:
    """The first ones do not wait at all; later ones wait for more, but not until the connection counts as silent."""
    async with connected(gather_s=GATHER_S) as (connection, server), await accepted(connection, server) as stream:
        await answer(connection, stream, LENGTH)
        await stream.send_all(b"first")
        assert await connection.receive() == b"first"
        assert trio.current_time() == 0.0
        await stream.send_all(b"second")
        async with passing(mock_clock):
            assert await connection.receive() == b"second"
        assert GATHER_S <= trio.current_time() < SILENCE_S


async def test_the_end_of_a_long_body_that_is_passed_on_is_waited_for_as_a_whole(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Otherwise the last 2 MiB come in as many pieces as they were sent in. The first bytes are not waited for."""
    length, received, waits = 2 * LEAST_BYTES + LEAST_BYTES // 2, 0, list[tuple[int, int]]()
    wait_readable = trio.lowlevel.wait_readable

    async def watched(opened: trio.socket.SocketType) -> None:
        if received and opened.getpeername()[1] == port:
            waits.append((opened.getsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT), length - received))
        await wait_readable(opened)

    async with connected(gather_s=ENDLESS_S) as (connection, server), await accepted(connection, server) as stream:
        port = server.socket.getsockname()[1]
        await answer(connection, stream, length)
        await stream.send_all(TRICKLE)
        received += len(await connection.receive())
        assert received == len(TRICKLE)
        monkeypatch.setattr(trio.lowlevel, "wait_readable", watched)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(trickle, stream, length - len(TRICKLE))
            while piece := await connection.receive():
                received += len(piece)
    assert received == length
    assert all(least == min(left, LEAST_BYTES) for least, left in waits)
    assert any(left < LEAST_BYTES for _, left in waits)


async def test_a_long_body_is_cut_at_multiples_of_2_mib() -> None:
    """Parts are whole numbers of MiB. A piece that two of them share is copied."""
    service = connected(gather_s=ENDLESS_S, slabs=Slabs(0))
    async with service as (connection, server), await accepted(connection, server) as stream:
        await answer(connection, stream, LENGTH)
        at = 0
        async with trio.open_nursery() as nursery:
            nursery.start_soon(trickle, stream, LENGTH)
            while piece := await connection.receive():
                assert at // LONG_READ_BYTES == (at + len(piece) - 1) // LONG_READ_BYTES
                at += len(piece)
    assert at == LENGTH


async def test_fewer_bytes_than_are_waited_for_are_taken_if_the_system_has_no_room_for_more(
    monkeypatch: pytest.MonkeyPatch, mock_clock: trio.testing.MockClock
) -> None:
    """It calls the socket readable then, but perhaps not any more a moment later, as its room grows."""
    waits: list[int] = []

    async def readable_once(opened: trio.socket.SocketType) -> None:
        waits.append(opened.getsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT))
        if len(waits) > 1:
            await trio.sleep_forever()

    async with connected(gather_s=GATHER_S) as (connection, server), await accepted(connection, server) as stream:
        await answer(connection, stream, LENGTH)
        await stream.send_all(b"first")
        assert await connection.receive() == b"first"
        await stream.send_all(b"second")
        with monkeypatch.context() as patched:
            patched.setattr(trio.lowlevel, "wait_readable", readable_once)
            async with passing(mock_clock):
                assert await connection.receive() == b"second"
        assert waits == [LEAST_BYTES]
        assert trio.current_time() == 0.0


async def test_bytes_behind_an_answer_are_seen_after_a_long_last_read() -> None:
    """They would be read as the next answer. The system still waited for many bytes before it told of any."""
    async with connected() as (connection, server), await accepted(connection, server) as stream:
        length = LEAST_BYTES + LEAST_BYTES // 4
        await answer(connection, stream, length)
        received = 0

        async def receive() -> None:
            nonlocal received
            while piece := await connection.receive():
                received += len(piece)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(receive)
            await trio.testing.wait_all_tasks_blocked()
            view = memoryview(bytes(length))
            with suppress(BlockingIOError):  # as much as the system holds, which mostly is all: the reader has no turn
                while view:
                    view = view[os.write(stream.socket.fileno(), view) :]
            await stream.send_all(view)
        assert received == length
        assert connection.finish(trio.current_time())
        assert not connection.has_expired(trio.current_time())
        await stream.send_all(b"more")
        assert connection.has_expired(trio.current_time())


async def test_a_wake_up_with_nothing_to_read_is_no_silence(monkeypatch: pytest.MonkeyPatch) -> None:
    """The system may say that there are bytes, and then there are none: they are waited for again."""
    reads: list[int] = []
    read = os.read

    def first_nothing(descriptor: int, length: int) -> bytes:
        reads.append(length)
        if len(reads) == 1:
            raise BlockingIOError
        return read(descriptor, length)

    async with connected() as (connection, server), await accepted(connection, server) as stream:
        monkeypatch.setattr("zotpy.http.client.link.os.read", first_nothing)
        await answer(connection, stream, 2, b"ok")
        assert await connection.receive() == b"ok"
    assert len(reads) > 1


async def test_a_read_that_is_cancelled_takes_no_bytes() -> None:
    """The next reader gets them all."""
    async with connected() as (connection, server), await accepted(connection, server) as stream:
        await answer(connection, stream, LENGTH)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(connection.receive)
            await trio.testing.wait_all_tasks_blocked()
            await stream.send_all(b"x" * 1000)
            nursery.cancel_scope.cancel()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(stream.send_all, b"x" * (LENGTH - 1000))
            received = b""
            while piece := await connection.receive():
                received += piece
        assert received == b"x" * LENGTH


async def test_a_reset_in_the_middle_is_an_error() -> None:
    """It is never the end of the body."""
    async with connected() as (connection, server), await accepted(connection, server) as stream:
        await answer(connection, stream, LENGTH)
        stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        await stream.aclose()
        with pytest.raises(ReadError):
            await connection.receive()
