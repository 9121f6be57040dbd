"""One connection to the service: h11 on a trio stream, with large reads, and bodies sent from where they are.

A request takes as few system calls as the socket has room for: its head and the pieces of its body go out together
(`sendmsg`), and no byte is copied on the way. Bodies are read up to 1 MiB at once, because each read costs some turns
through trio and h11. Nothing else is between httpx's transport and the socket. httpcore's layers there took a third of
the CPU time of each small call.
"""

import math
import os
import ssl
from collections import deque
from collections.abc import AsyncIterable, Callable, Iterable, Sequence
from contextlib import suppress
from itertools import islice
from typing import Any, TypeVar

import h11
import httpx
import trio

from zotpy.core.pieces import Buffer
from zotpy.http import http1
from zotpy.http.slabs import Room, Slabs
from zotpy.http.sockets import LeastReadable, Shares, Unsent, received_bytes, write_in_bites
from zotpy.http.tls import TLSStream
from zotpy.s3.forward_proxy import Proxy
from zotpy.s3.time_limits import TOO_SLOW, time_limit

READ_HEAD_BYTES = 64 * 1024
READ_BYTES = 1024 * 1024
LEAST_BYTES = 2 * 1024 * 1024
"""In the middle of a long body, the connection waits for more rather than read fewer bytes than this."""
LONGEST_HEAD_BYTES = 64 * 1024
TLS_SLICE_BYTES = 1024 * 1024
BUFFERS_AT_ONCE = 256
"""Linux takes up to 1,024 in one call. More than this never fit into a socket anyway."""
MOST_INTERIM_ANSWERS = 16
"""How many answers such as 100 and 103 may come before the final one."""
LONG_BYTES = 1024 * 1024
"""A request of this length is a part or a whole blob."""
_SLABS = Slabs()
_SENT = Shares()
T = TypeVar("T")
_WITHOUT_BODY = frozenset({204, 304})
_PORTS = {"http": 80, "https": 443}


class StoreConnection:
    """A connection that connects at its first use, for one request at a time."""

    def __init__(
        self, url: httpx.URL, tls: ssl.SSLContext | None, keepalive_s: float, proxy: Proxy | None = None
    ) -> None:
        """Connect to the host of `url`, with TLS if a context is given.

        An idle connection is usable for `keepalive_s`.
        """
        self._host, self._port = url.host, url.port or _PORTS[url.scheme]
        self._proxy = proxy
        self._tls = tls
        self._keepalive_s = keepalive_s
        self._idle_until: float | None = None
        self._stream: trio.abc.Stream
        self._secured: TLSStream
        """The same, with TLS."""
        self._socket: trio.socket.SocketType | None = None
        self._is_plain = False
        """The socket carries the bytes as they are, without TLS."""
        self._http = http1.Connection(h11.CLIENT, LONGEST_HEAD_BYTES)
        self._read_timeout_s = 0.0
        self._left_bytes = 0
        """How many bytes of an answer of known length have still to come."""
        self._least = LeastReadable()
        self._room = Room(_SLABS)
        self._unsent = Unsent(_SENT)

    def has_expired(self) -> bool:
        """Whether an idle connection was unused for too long, or was ended by the service."""
        if self._socket is None or self._idle_until is None:
            return False
        return trio.current_time() > self._idle_until or self._socket.is_readable()

    async def send(self, request: httpx.Request) -> h11.Response:
        """Send a request, and receive the head of its answer. Raises `httpx.TransportError`."""
        timeouts: dict[str, float] = request.extensions["timeout"]
        self._idle_until = None
        self._left_bytes = 0
        self._read_timeout_s = timeouts["read"]
        if self._socket is None:
            await self._connect(timeouts["connect"])
        with suppress(httpx.WriteError):  # the service may have answered, and closed, before it read all
            await self._send_request(await self._encoded(request), timeouts["write"])
        for _ in range(MOST_INTERIM_ANSWERS + 1):
            event = await self._next_event(READ_HEAD_BYTES)
            if isinstance(event, h11.Response):
                # the length in an answer to HEAD is that of a body which does not come (RFC 9110, 8.6)
                if request.method != "HEAD" and event.status_code not in _WITHOUT_BODY:
                    self._left_bytes = int(dict(event.headers).get(b"content-length", 0))
                return event
            if not isinstance(event, h11.InformationalResponse):
                msg = f"expected an answer, received {event!r}"
                raise httpx.RemoteProtocolError(msg)
        msg = f"more than {MOST_INTERIM_ANSWERS} interim answers before the final one"
        raise httpx.RemoteProtocolError(msg)

    async def receive(self) -> bytes | memoryview:
        """Receive the next bytes of the answer's body, none at its end. Raises `httpx.TransportError`."""
        if self._is_plain and self._left_bytes and self._http.awaited_bytes:
            room = self._room.offer(self._left_bytes)
            if room is not None:
                return await self._receive_into(room)
        event = await self._next_event(READ_BYTES)
        if not isinstance(event, h11.Data):
            return b""
        self._left_bytes -= len(event.data)
        return bytes(event.data)

    async def _receive_into(self, room: memoryview) -> memoryview:
        """Receive the next bytes of a body of known length where they stay until they are sent."""
        count = await self._read_plain(lambda file: os.readv(file, [room]))
        if not count:
            msg = f"the connection ended {self._left_bytes} bytes before the end of the answer"
            raise httpx.RemoteProtocolError(msg)
        self._http.note_received(count)
        self._left_bytes -= count
        received = self._room.fill(count)
        if not self._left_bytes:
            self._room.leave()
        return received

    def finish(self) -> bool:
        """Become idle if the answer was received completely, and say so. Any other connection must be closed.

        Bytes after the end of an answer, such as a body after the head of an answer to HEAD, would be read as the next
        answer.
        """
        is_done = self._http.our_state is h11.DONE and self._http.their_state is h11.DONE
        has_more = self._http.trailing_data[0] or not (self._is_plain or self._secured.is_empty)
        if is_done and not has_more:
            assert self._socket is not None  # noqa: S101 - for the type checker
            self._least.ask(self._socket, 1)  # any byte that comes now makes the connection unusable: `has_expired`
            self._http.start_next_cycle()
            self._idle_until = trio.current_time() + self._keepalive_s
            return True
        return False

    async def aclose(self) -> None:
        """Close at once: it waits for nothing."""
        self._idle_until = None
        if self._socket is not None:
            await trio.aclose_forcefully(self._stream)

    async def _connect(self, timeout_s: float) -> None:
        host, port = (self._host, self._port) if self._proxy is None else (self._proxy.host, self._proxy.port)
        with time_limit(httpx.ConnectTimeout, httpx.ConnectError, timeout_s):
            stream = await trio.open_tcp_stream(host, port)
            self._stream, self._socket = stream, stream.socket
            write_in_bites(stream.socket)
            if self._proxy is not None and self._proxy.tls is not None:
                await self._secure(self._proxy.tls, host)
            if self._proxy is not None and self._tls is not None:
                named = f"[{self._host}]" if ":" in self._host else self._host
                await self._proxy.tunnel(self._stream, f"{named}:{self._port}")
            if self._tls is not None:
                await self._secure(self._tls, self._host)
        self._is_plain = self._stream is stream

    async def _secure(self, context: ssl.SSLContext, host: str) -> None:
        """Begin TLS on the stream."""
        self._stream = self._secured = TLSStream(self._stream, context, server_hostname=host)
        await self._secured.do_handshake()

    async def _encoded(self, request: httpx.Request) -> list[Buffer]:
        """Return the request as the buffers to send."""
        target, headers = request.extensions.get("target", request.url.raw_path), request.headers.raw
        if self._proxy is not None and self._tls is None:
            target = f"http://{request.headers['host']}".encode() + target
            headers = headers + self._proxy.headers
        assert isinstance(request.stream, AsyncIterable)  # noqa: S101 - for the type checker
        try:
            head = h11.Request(method=request.method, target=target, headers=headers)
            buffers: list[Buffer] = [self._http.send(head)]
            async for block in request.stream:
                buffers += self._http.send_with_data_passthrough(h11.Data(data=block)) or ()
            buffers += self._http.send_with_data_passthrough(h11.EndOfMessage()) or ()
        except h11.LocalProtocolError as error:
            raise httpx.LocalProtocolError(str(error)) from error
        return buffers

    async def _send_request(self, buffers: Sequence[Buffer], timeout_s: float) -> None:
        """Send a request. The system holds more of a long one, so that each turn of the event loop sends many bytes."""
        if self._socket is None or sum(map(len, buffers)) < LONG_BYTES:
            await self._send_all(buffers, timeout_s)
        else:
            with self._unsent.long_body(self._socket):
                await self._send_all(buffers, timeout_s)

    async def _send_all(self, buffers: Iterable[Buffer], timeout_s: float) -> None:
        """Send buffers. At most `timeout_s` may pass without progress."""
        views = deque(memoryview(buffer) for buffer in buffers if buffer)
        if not self._is_plain or self._socket is None:
            for view in views:
                for start in range(0, len(view), TLS_SLICE_BYTES):
                    with time_limit(httpx.WriteTimeout, httpx.WriteError, timeout_s):
                        await self._stream.send_all(view[start : start + TLS_SLICE_BYTES])
            return
        with time_limit(httpx.WriteTimeout, httpx.WriteError, timeout_s) as scope:
            while views:
                sent = await self._socket.sendmsg(islice(views, BUFFERS_AT_ONCE))
                scope.deadline = trio.current_time() + timeout_s
                while sent:
                    if sent < len(views[0]):
                        views[0] = views[0][sent:]
                        break
                    sent -= len(views.popleft())

    async def _next_event(self, read_bytes: int) -> Any:
        try:
            while (event := self._http.next_event()) is h11.NEED_DATA:
                self._http.receive_data(await self._read(read_bytes))
        except h11.RemoteProtocolError as error:
            raise httpx.RemoteProtocolError(str(error)) from error
        return event

    async def _read(self, most_bytes: int) -> bytes:
        """Wait for bytes, and return those that are here, none at the end. Raises `httpx.TransportError`."""
        if self._is_plain and self._socket is not None:
            return await self._read_plain(lambda file: os.read(file, most_bytes))
        await self._gather_records()
        with time_limit(httpx.ReadTimeout, httpx.ReadError, self._read_timeout_s):
            received = await self._stream.receive_some(most_bytes)
        return bytes(received)

    async def _gather_records(self) -> None:
        """Wait until the socket holds many of TLS's records, if many are to come and none is here.

        Afterwards any byte wakes us: the stream itself waits for the rest of a record, which may be the last one.
        """
        if self._socket is None or self._secured.has_bytes:
            return
        self._ask_for_many(self._socket)
        if self._least.least_bytes == 1:
            return
        with (
            time_limit(httpx.ReadTimeout, httpx.ReadError, math.inf),
            trio.move_on_after(self._read_timeout_s) as scope,
        ):
            await trio.lowlevel.wait_readable(self._socket)
        if scope.cancelled_caught and not received_bytes(self._socket):
            raise httpx.ReadTimeout(TOO_SLOW)
        self._least.ask(self._socket, 1)

    async def _read_plain(self, read: Callable[[int], T]) -> T:
        """Read as soon as bytes are here: trio's own `recv` lets all other tasks run before each read."""
        assert self._socket is not None  # noqa: S101 - for the type checker
        plain = self._socket
        self._ask_for_many(plain)
        try:
            while True:
                with trio.move_on_after(self._read_timeout_s) as scope:
                    await trio.lowlevel.wait_readable(plain)
                try:  # also after the timeout: what came in time is taken, even if it is little
                    return read(plain.fileno())
                except BlockingIOError:
                    if scope.cancelled_caught:
                        raise httpx.ReadTimeout(TOO_SLOW) from None
        except (OSError, trio.ClosedResourceError) as error:
            raise httpx.ReadError(str(error)) from error

    def _ask_for_many(self, plain: trio.socket.SocketType) -> None:
        """Let the system wake us when much is here to read, if much is to come."""
        self._least.ask(plain, LEAST_BYTES if self._left_bytes > LEAST_BYTES + READ_HEAD_BYTES else 1)
