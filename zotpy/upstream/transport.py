"""What carries httpx's requests to an upstream: the connections of `zotpy.http.client`.

httpx's own transport reads 64 KiB at once, and hands each piece through several generators. That was half of what a
mirrored blob cost. Here a read takes up to 2 MiB, and the reader of the body gets it from the socket itself.

A connection is refused before a byte is sent if the address at its other end is inside, although the upstream is not
(`zotpy.upstream.addresses`). The name may come to stand for another one between the look at it and the connection.
"""

import ssl
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from urllib.parse import urlsplit

import httpx
import trio

from zotpy.http.client.answer_parser import AnswerParser
from zotpy.http.client.connection import ClientConnection
from zotpy.http.client.forward_proxy import proxy_for
from zotpy.http.client.outgoing import Outgoing
from zotpy.http.client.service import Service
from zotpy.http.client.transport_errors import ReadError, RemoteProtocolError
from zotpy.http.slabs import Slabs
from zotpy.settings.upstream import UpstreamSettings
from zotpy.upstream.addresses import leads_inside
from zotpy.upstream.errors import UpstreamBroken

CONNECT_TIMEOUT_S = 10.0
TRUSTED_IN = "certDir of extensions.sync, or in --cert-dir of zotpy import"
KEPT_CONNECTIONS = 16
"""How many idle connections stay open, at most."""
KEEPALIVE_S = 55.0
"""How long an idle connection is used again: many servers and balancers end one after 60 s."""
_AGAIN = frozenset({"GET", "HEAD"})
"""What may be sent twice (RFC 9110, section 9.2.2)."""
GATHER_S = 0.1
"""How long a read waits for many bytes. A slow upstream's bytes reach clients no later than this."""
MOST_ADDRESSES = 64
"""How many addresses of the upstream itself are remembered."""
_NO_SLABS = Slabs(0)
"""A slab would stay in use for as long as slow readers are behind a copy."""
_PORTS = {"http": 80, "https": 443}
BODY = "zotpy.received"
"""The extension of an answer that has its body, a `Received`."""
Origin = tuple[str, str, int]
"""Scheme, host and port."""


class Transport(httpx.AsyncBaseTransport):
    """Connections to one upstream, and to where it leads. Its user bounds how many there are."""

    def __init__(self, settings: UpstreamSettings, tls: ssl.SSLContext) -> None:
        """Connect to nothing yet."""
        self._settings = settings
        self._own = origin_of(httpx.URL(settings.url))
        self._tls = tls
        self._tls.set_alpn_protocols(["http/1.1"])
        self._idle = deque[tuple[Origin, ClientConnection]]()
        self._own_addresses = set[str]()

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request, and receive the head of its answer. Raises `TransportError`, `ValueError`."""
        origin = origin_of(request.url)
        headers = {name.decode("ascii").lower(): value.decode("latin-1") for name, value in request.headers.raw}
        outgoing = Outgoing(request.method, request.url.raw_path.decode("ascii"), headers, await request.aread())
        connection, answer = await self._send(origin, outgoing)
        fields = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in answer.headers.items()]
        received = Received(connection, partial(self._keep, origin))
        return httpx.Response(answer.status, headers=fields, stream=received, extensions={BODY: received})

    async def _send(self, origin: Origin, outgoing: Outgoing) -> tuple[ClientConnection, AnswerParser]:
        """Send a request over an idle connection or a new one.

        An upstream may end an idle connection at the moment in which a request is sent. Then it is sent again.
        """
        while True:
            connection = await self._take(origin)
            try:
                return connection, await connection.send(outgoing)
            except (ReadError, RemoteProtocolError):
                await _close(connection)
                if not connection.is_unheard or outgoing.method not in _AGAIN:
                    raise
            except BaseException:
                await _close(connection)
                raise

    async def aclose(self) -> None:
        """Close the idle connections."""
        while self._idle:
            await _close(self._idle.pop()[1])

    async def _take(self, origin: Origin) -> ClientConnection:
        """Return the connection to this origin that was used last, or a new one."""
        for place in range(len(self._idle) - 1, -1, -1):
            if self._idle[place][0] == origin:
                connection = self._idle[place][1]
                del self._idle[place]
                if not connection.has_expired(trio.current_time()):
                    return connection
                await _close(connection)
        return ClientConnection(self._service(origin))

    async def _keep(self, origin: Origin, connection: ClientConnection) -> None:
        """Let a connection serve other requests if its answer was read to the end; otherwise close it."""
        now = trio.current_time()
        if not connection.finish(now):
            await _close(connection)
            return
        self._idle.append((origin, connection))
        while len(self._idle) > KEPT_CONNECTIONS or (self._idle and self._idle[0][1].has_expired(now)):
            await _close(self._idle.popleft()[1])

    def _service(self, origin: Origin) -> Service:
        scheme, host, port = origin
        named = f"[{host}]" if ":" in host else host
        return Service(
            host=host,
            port=port,
            tls=self._tls if scheme == "https" else None,
            trusted_in=TRUSTED_IN,
            proxy=proxy_for(urlsplit(f"{scheme}://{named}:{port}")),
            connect_timeout_s=CONNECT_TIMEOUT_S,
            silence_s=self._settings.stall_timeout_s,
            keepalive_s=KEEPALIVE_S,
            gather_s=GATHER_S,
            slabs=_NO_SLABS,
            check=partial(self._check, origin),
        )

    def _check(self, origin: Origin, address: str) -> None:
        """Raise `UpstreamBroken` if nobody should be connected to this IP address."""
        _, host, _ = origin
        _, own, _ = self._own
        if host == own:
            if len(self._own_addresses) < MOST_ADDRESSES:
                self._own_addresses.add(address)
        elif leads_inside([address], self._own_addresses or {own}):
            msg = f"{self._settings.url} leads to {host}, which is an address inside this machine or its cloud"
            raise UpstreamBroken(msg)


class Received(httpx.AsyncByteStream):
    """The body of an answer. It is no generator: its reader may leave at any byte, and nothing has to be finished."""

    def __init__(self, connection: ClientConnection, keep: Callable[[ClientConnection], Awaitable[None]]) -> None:
        """Receive nothing yet. `keep` is called with the connection at the end."""
        self._connection: ClientConnection | None = connection
        self._keep = keep

    async def receive(self) -> bytes:
        """Return the next bytes, none at the end. Raises `TransportError`."""
        if self._connection is None:
            return b""
        return bytes(await self._connection.receive())

    async def aclose(self) -> None:
        """Give the connection back. If bytes of the answer are left, it is closed."""
        connection, self._connection = self._connection, None
        if connection is not None:
            await self._keep(connection)

    async def __aiter__(self) -> AsyncIterator[bytes]:
        """Iterate over the bytes, as httpx does."""
        while piece := await self.receive():
            yield piece


def origin_of(url: httpx.URL) -> Origin:
    """Return where a request goes."""
    port = _PORTS[url.scheme] if url.port is None else url.port
    return url.scheme, url.raw_host.decode("ascii"), port


async def _close(connection: ClientConnection) -> None:
    with trio.CancelScope(shield=True):  # closing waits for no peer
        await connection.aclose()
