"""The way to the service: its host, the proxy before it, TLS, and how patient a connection is."""

import math
import ssl
from collections.abc import Callable
from dataclasses import dataclass, field

import trio

from zotpy.core.chains import refusal_of
from zotpy.http.client.forward_proxy import Proxy
from zotpy.http.client.time_limits import time_limit
from zotpy.http.client.transport_errors import ConnectError, ConnectTimeout
from zotpy.http.slabs import Slabs
from zotpy.http.sockets import Shares, write_in_bites
from zotpy.http.tls import TLSStream

_SLABS = Slabs()

_NO_TLS = "WRONG_VERSION_NUMBER"
"""OpenSSL's reason if the other side answers with something that is no TLS, such as the 400 of a server with HTTP."""
_SYSTEM = "the file of SSL_CERT_FILE"
LAST_PORT = 65535
"""URLs of httpx can have higher ones."""


@dataclass(eq=False, slots=True)
class Service:
    """What all connections to one service have in common; times in seconds."""

    host: str
    port: int
    tls: ssl.SSLContext | None = None
    trusted_in: str = _SYSTEM
    """Where operators name the authorities that may have signed its certificate: an error says so."""
    proxy: Proxy | None = None
    connect_timeout_s: float = 5.0
    silence_s: float = 20.0
    """The longest silence within an answer, or between two writes."""
    keepalive_s: float = 30.0
    """How long an idle connection is usable."""
    sent: Shares = field(default_factory=Shares)
    """What the system holds of all long bodies on their way."""
    slabs: Slabs = _SLABS
    gather_s: float = math.inf
    """How long a read in the middle of a long body waits for many bytes; after that any are enough."""
    check: Callable[[str], None] = lambda _: None
    """Called with the IP address at the other end of a new connection, before anything is sent. What it raises ends the
    connection. It is not called for a proxy."""

    async def connect(self) -> tuple[trio.abc.Stream, trio.socket.SocketType]:
        """Connect. With TLS the stream is a `TLSStream`. Raises `ConnectError`, `ConnectTimeout`, `ProxyError`."""
        proxy = self.proxy
        host, port = (self.host, self.port) if proxy is None else (proxy.host, proxy.port)
        if not 1 <= port <= LAST_PORT:  # the system would take it modulo 65,536
            msg = f"there is no port {port}: the last one is {LAST_PORT}"
            raise ConnectError(msg)
        with time_limit(ConnectTimeout, ConnectError, self.connect_timeout_s):
            tcp = await trio.open_tcp_stream(host, port)
            stream: trio.abc.Stream = tcp
            try:
                write_in_bites(tcp.socket)
                if proxy is None:
                    self.check(tcp.socket.getpeername()[0])
                if proxy is not None and proxy.tls is not None:
                    stream = await _secured(stream, proxy.tls, host, _SYSTEM)
                if proxy is not None and self.tls is not None:
                    named = f"[{self.host}]" if ":" in self.host else self.host
                    await proxy.tunnel(stream, f"{named}:{self.port}")
                if self.tls is not None:
                    stream = await _secured(stream, self.tls, self.host, self.trusted_in)
            except BaseException:
                await trio.aclose_forcefully(tcp)
                raise
        return stream, tcp.socket


async def _secured(stream: trio.abc.Stream, context: ssl.SSLContext, host: str, trusted_in: str) -> TLSStream:
    """Begin TLS on a stream. Raises `ConnectError` if the error has words of ours, otherwise as `TLSStream`."""
    secured = TLSStream(stream, context, server_hostname=host)
    try:
        await secured.do_handshake()
    except trio.BrokenResourceError as error:
        if isinstance(error.__cause__, ssl.SSLCertVerificationError):
            raise ConnectError(refusal_of(error.__cause__, host, trusted_in)) from error
        if isinstance(error.__cause__, ssl.SSLError) and error.__cause__.reason == _NO_TLS:
            msg = f"{host} does not speak TLS at this port: if it speaks plain HTTP, write http:// in its address"
            raise ConnectError(msg) from error
        raise
    return secured
