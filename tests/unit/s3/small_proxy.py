"""A proxy for HTTP as squid is one, small: it knows the way to one server, whatever host it is asked for."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

import h11
import trio

if TYPE_CHECKING:
    import ssl


@dataclass(slots=True)
class SmallProxy:
    """Leads to `server_port`; `password`: what it asks for in Proxy-Authorization."""

    server_port: int
    password: str | None = None
    port: int = 0
    asked: list[str] = field(default_factory=list)
    """Method and target of each request to the proxy itself."""

    async def start(self, nursery: trio.Nursery, tls: ssl.SSLContext | None = None) -> SmallProxy:
        """Listen on a free port until the nursery is cancelled."""
        (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
        self.port = listener.socket.getsockname()[1]
        served = listener if tls is None else trio.SSLListener(listener, tls, https_compatible=True)
        nursery.start_soon(trio.serve_listeners, self._serve, [served])
        return self

    async def _serve(self, client: trio.abc.Stream) -> None:
        with suppress(trio.BrokenResourceError, trio.ClosedResourceError):
            await self._forward(client)
        await trio.aclose_forcefully(client)

    async def _forward(self, client: trio.abc.Stream) -> None:
        """Read the head of the first request, and lead it, and all that follows, to the server."""
        head = bytearray()
        while b"\r\n\r\n" not in head:
            received = await client.receive_some()
            if not received:
                return
            head += received
        http = h11.Connection(h11.SERVER)
        http.receive_data(bytes(head))
        request = http.next_event()
        assert isinstance(request, h11.Request)
        target = request.target.decode()
        self.asked.append(f"{request.method.decode()} {target}")
        if self.password is not None and dict(request.headers).get(b"proxy-authorization") != self.password.encode():
            await client.send_all(b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n")
            return
        async with await trio.open_tcp_stream("127.0.0.1", self.server_port) as server:
            if request.method == b"CONNECT":
                await client.send_all(b"HTTP/1.1 200 Connection established\r\n\r\n")
            else:
                path = "/" + target.split("/", 3)[3]
                head = head.replace(request.target, path.encode(), 1)
                # One request for each connection: what comes next would need the same.
                head = head.replace(b"\r\n", b"\r\nConnection: close\r\n", 1)
                await server.send_all(head)
            async with trio.open_nursery() as nursery:
                nursery.start_soon(partial(_relay, client, server))
                await _relay(server, client)
                nursery.cancel_scope.cancel()


async def _relay(source: trio.abc.Stream, target: trio.abc.Stream) -> None:
    with suppress(trio.BrokenResourceError, trio.ClosedResourceError):
        while received := await source.receive_some():
            await target.send_all(received)
