"""A client over a bare connection: it decides what it sends and reads, and when."""

from __future__ import annotations

import socket
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from unittest.mock import patch

import h11
import pytest
import trio

from tests.unit.web.serving import REPO, push_zeros
from zotpy.core.units import KIB, MIB
from zotpy.http.server.connections import BoundedConnection
from zotpy.store.interface import StoreUnavailable

if TYPE_CHECKING:
    import ssl
    from collections.abc import Iterator

    from tests.unit.web.serving import Replica

PIECE_BYTES = 256 * KIB
SMALL_WINDOW_BYTES = 64 * KIB
"""Asked of the system for clients that do not read, so that it does not read megabytes in their place."""


@dataclass(slots=True)
class RawClient:
    """A client that decides what it sends and reads, and when."""

    stream: trio.SocketStream | trio.SSLStream[trio.SocketStream]
    sent_bytes: int = 0
    http: h11.Connection = field(default_factory=lambda: h11.Connection(h11.CLIENT))

    async def begin(self, method: str, target: str, length: int | None, **headers: str) -> None:
        """Send the header of a request."""
        listed = [("Host", "replica"), *((name.replace("_", "-"), value) for name, value in headers.items())]
        if length is not None:
            listed.append(("Content-Length", str(length)))
        await self._send(h11.Request(method=method, target=target, headers=listed))

    async def send(self, size_bytes: int) -> None:
        """Send this many bytes of the body, as fast as they are taken."""
        for start in range(0, size_bytes, PIECE_BYTES):
            piece = min(PIECE_BYTES, size_bytes - start)
            await self._send(h11.Data(data=bytes(piece)))
            self.sent_bytes += piece

    async def send_until_refused(self, size_bytes: int) -> None:
        """Send this many bytes of the body, or until the connection is closed."""
        try:
            await self.send(size_bytes)
        except trio.BrokenResourceError:
            return

    async def receive(self) -> tuple[int, bytes]:
        """Receive an answer and return its status and body."""
        status, body = 0, bytearray()
        while True:
            event = self.http.next_event()
            if event is h11.NEED_DATA:
                self.http.receive_data(bytes(await self.stream.receive_some(PIECE_BYTES)))
            elif isinstance(event, h11.InformationalResponse):
                continue
            elif isinstance(event, h11.Response):
                status = event.status_code
            elif isinstance(event, h11.Data):
                body += event.data
            else:
                return status, bytes(body)

    async def _send(self, event: h11.Request | h11.Data) -> None:
        if (data := self.http.send(event)) is not None:
            await self.stream.send_all(data)


async def connect(replica: Replica) -> RawClient:
    """Open a connection."""
    return RawClient(await replica.connect())


@contextmanager
def noted_connections() -> Iterator[list[BoundedConnection]]:
    """Note the connections that servers of this process accept in the block, in that order."""
    noted: list[BoundedConnection] = []
    run = BoundedConnection.run

    async def noting(self: BoundedConnection) -> None:
        noted.append(self)
        await run(self)

    with patch.object(BoundedConnection, "run", noting):
        yield noted


async def connect_narrow(port: int, tls: ssl.SSLContext | None = None) -> RawClient:
    """Open a connection whose client takes little that it does not read."""
    opened = trio.socket.socket()
    opened.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SMALL_WINDOW_BYTES)
    await opened.connect(("127.0.0.1", port))
    stream = trio.SocketStream(opened)
    if tls is None:
        return RawClient(stream)
    return RawClient(trio.SSLStream(stream, tls, server_hostname="127.0.0.1", https_compatible=True))


async def pull_that_the_store_cuts(replica: Replica) -> None:
    """Pull a blob of which the store sends only the beginning: the client must not take that for all of it."""
    digest = await push_zeros(replica, 4 * MIB)
    for _ in range(3):
        replica.script.park("before", "read", "data/").go_on.set()
    replica.script.fail("before", "read", "data/", StoreUnavailable("down"))
    client = await connect(replica)
    async with client.stream:
        await client.begin("GET", f"/v2/{REPO}/blobs/{digest}", None)
        client.http.send(h11.EndOfMessage())
        with pytest.raises(h11.RemoteProtocolError):
            await client.receive()
