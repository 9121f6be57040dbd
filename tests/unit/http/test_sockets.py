"""What the system holds for a connection of what is sent, and how long bodies share it."""

from __future__ import annotations

import socket
from contextlib import suppress

import httpx
import pytest
import trio

from zotpy.core.pieces import Pieces
from zotpy.core.units import MIB
from zotpy.http.sockets import MOST_BITE_BYTES, SHARED_BYTES, UNSENT_BYTES, Shares, Unsent
from zotpy.s3 import connection as store_connection
from zotpy.s3.connection import LONG_BYTES, StoreConnection
from zotpy.s3.request_body import PiecesBody

NOTSENT_LOWAT = 25
TIMEOUTS = {"connect": 5.0, "read": 5.0, "write": 5.0}


def unsent_bytes(opened: trio.socket.SocketType) -> int:
    """Return how many bytes the system holds at most that are not on their way."""
    return opened.getsockopt(socket.IPPROTO_TCP, NOTSENT_LOWAT)


async def test_long_bodies_share_what_the_system_holds() -> None:
    """One alone has two of the longest bites; of many each has less; the share is given back at any end."""
    shares = Shares()
    with trio.socket.socket() as opened:
        unsent = Unsent(shares)
        with unsent.long_body(opened):
            assert (shares.bodies, unsent_bytes(opened)) == (1, 2 * MOST_BITE_BYTES)
        shares.bodies = 4 * SHARED_BYTES // MOST_BITE_BYTES - 1
        with suppress(ZeroDivisionError), unsent.long_body(opened):
            assert unsent_bytes(opened) == MOST_BITE_BYTES // 2
            raise ZeroDivisionError
        assert shares.bodies == 4 * SHARED_BYTES // MOST_BITE_BYTES - 1


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
        url = f"http://127.0.0.1:{server.socket.getsockname()[1]}/key"
        connection = StoreConnection(httpx.URL(url), None, 30.0)
        body = PiecesBody(Pieces(bytes(size_bytes)))
        headers = {"host": "store", "content-length": str(size_bytes)}
        request = httpx.Request("PUT", url, headers=headers, stream=body, extensions={"timeout": TIMEOUTS})
        assert (await connection.send(request)).status_code == 200
        assert connection._socket is not None
        assert unsent_bytes(connection._socket) == expected
        assert store_connection._SENT.bodies == 0
        await connection.aclose()
