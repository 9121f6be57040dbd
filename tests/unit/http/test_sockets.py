"""What the system holds for a connection of what is sent, and how long bodies share it."""

from __future__ import annotations

import socket
from contextlib import suppress

import pytest
import trio

from zotpy.core.pieces import Pieces
from zotpy.core.units import MIB
from zotpy.http.client.connection import ClientConnection
from zotpy.http.client.link import LONG_BYTES
from zotpy.http.client.outgoing import Outgoing
from zotpy.http.client.service import Service
from zotpy.http.sockets import (
    MOST_BITE_BYTES,
    MOST_UNSENT_BYTES,
    SHARED_BYTES,
    UNSENT_BYTES,
    Shares,
    Unsent,
    longest_send_buffer,
    receive_here,
    send_buffer_of,
)

NOTSENT_LOWAT = 25


def unsent_bytes(opened: trio.socket.SocketType) -> int:
    """Return how many bytes the system holds at most that are not on their way."""
    return opened.getsockopt(socket.IPPROTO_TCP, NOTSENT_LOWAT)


async def test_long_bodies_share_what_the_system_holds() -> None:
    """One alone has what gives most; of many each has two bites; the share is given back at any end."""
    shares = Shares()
    with trio.socket.socket() as opened:
        unsent = Unsent(shares)
        with unsent.long_body(opened):
            assert (shares.bodies, unsent_bytes(opened)) == (1, MOST_UNSENT_BYTES)
        shares.bodies = 4 * SHARED_BYTES // MOST_BITE_BYTES - 1
        with suppress(ZeroDivisionError), unsent.long_body(opened):
            assert unsent_bytes(opened) == MOST_BITE_BYTES // 2
            raise ZeroDivisionError
        assert shares.bodies == 4 * SHARED_BYTES // MOST_BITE_BYTES - 1


async def test_a_long_body_has_a_long_send_buffer_from_its_beginning() -> None:
    """The system lets one grow with what is on its way, which is little if the peer's window is small."""
    with trio.socket.socket() as opened:
        before = opened.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF)
        with Unsent(Shares()).long_body(opened):
            assert opened.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF) == (longest_send_buffer() or before)


@pytest.mark.parametrize(
    ("wmem_max", "expected"), [("4194304\n", 4 * MIB), ("2097152\n", 4 * MIB), ("2097151\n", None), ("212992\n", None)]
)
def test_a_send_buffer_is_never_shorter_than_it_may_grow(wmem_max: str, expected: int | None) -> None:
    """One that was asked for grows no more. If the system gives less than it may grow to, none is asked for."""
    assert send_buffer_of("4096\t16384\t4194304\n", wmem_max) == expected


@pytest.mark.parametrize(("size_bytes", "expected"), [(LONG_BYTES - MIB // 2, UNSENT_BYTES), (LONG_BYTES, 2 * MIB)])
async def test_a_part_on_its_way_to_the_store_has_a_share(size_bytes: int, expected: int) -> None:
    """A small object costs no call to the system more, and no share is left behind."""
    (server,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
    async with server, trio.open_nursery() as nursery:

        async def serve() -> None:
            async with await server.accept() as stream:
                received = b""
                while len(received) < size_bytes:
                    received += bytes(await stream.receive_some(MIB))
                await stream.send_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")

        nursery.start_soon(serve)
        service = Service("127.0.0.1", server.socket.getsockname()[1])
        connection = ClientConnection(service)
        headers = {"host": "store", "content-length": str(size_bytes)}
        answer = await connection.send(Outgoing("PUT", "/key", headers, Pieces(bytes(size_bytes))))
        assert answer.status == 200
        assert connection._link is not None
        assert unsent_bytes(connection._link.socket) == expected
        assert service.sent.bodies == 0
        await connection.aclose()


class Turns(trio.abc.Instrument):
    """Counts the turns of the event loop."""

    def __init__(self) -> None:
        """Begin with none."""
        self.count = 0

    def before_io_wait(self, timeout: float) -> None:
        """Count one."""
        del timeout
        self.count += 1


async def test_a_read_takes_one_turn_of_the_event_loop_and_none_if_one_has_passed() -> None:
    """Tasks that read what is always here would let no other task run. One that has waited adds no turn to that."""
    with socket.create_server(("127.0.0.1", 0)) as listener, socket.create_connection(listener.getsockname()) as far:
        near, _ = listener.accept()
        with trio.socket.from_stdlib_socket(near) as opened:
            far.sendall(b"12345")
            await trio.lowlevel.wait_readable(opened)
            turns = Turns()
            trio.lowlevel.add_instrument(turns)
            assert await receive_here(opened, 2, has_waited=True) == b"12"
            assert turns.count == 0
            assert await receive_here(opened, 2) == b"34"
            assert turns.count == 1
            assert await receive_here(opened, 2, has_waited=True) == b"5"
            far.close()
            assert await receive_here(opened, 2, has_waited=True) == b""
            trio.lowlevel.remove_instrument(turns)
