"""One connection to the service: httpcore's, with large reads, and bodies sent from where they are.

httpcore asks a socket for 64 KiB at a time, and each read is a turn through trio, h11 and httpx; reading up to 1 MiB at
once takes a third of the CPU for each byte. A request goes out in as few system calls as the socket has room for: its
head and the pieces of its body together (`sendmsg`), and no byte of it is copied on the way.
"""

import ssl
from collections import deque
from collections.abc import AsyncIterator, Iterable
from itertools import islice

import h11
import httpcore
import httpx
import trio

from zotpy import http1
from zotpy.core.pieces import Buffer, Pieces

READ_BYTES = 1024 * 1024
TLS_SLICE_BYTES = 1024 * 1024
BUFFERS_AT_ONCE = 256
"""Linux takes up to 1,024 in one call; more than this never fit into a socket anyway."""


class PiecesBody(httpx.AsyncByteStream):
    """A body given whole, as the pieces in which it lies; it must not change while it is sent."""

    def __init__(self, body: bytes | bytearray | Pieces) -> None:
        """Send `body` once."""
        self._blocks = iter(body.blocks() if isinstance(body, Pieces) else (body,))

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        for block in self._blocks:
            return block  # type: ignore[return-value]  # any buffer does
        raise StopAsyncIteration


class StoreConnection(httpcore.AsyncHTTPConnection):
    """A connection that is made when it is used first."""

    def __init__(self, origin: httpcore.Origin, tls: ssl.SSLContext | None, keepalive_s: float) -> None:
        """Connect to `origin`, by TLS where there is a context; an idle connection is of use for `keepalive_s`."""
        super().__init__(origin, tls, keepalive_s, network_backend=httpcore.TrioBackend())

    async def handle_async_request(self, request: httpcore.Request) -> httpcore.Response:
        """Send a request, and receive the head of its answer. Raises httpcore's errors."""
        if self._connection is None:
            try:
                stream = await self._connect(request)
            except BaseException:
                self._connect_failed = True
                raise
            self._connection = _Http1Connection(self._origin, stream, self._keepalive_expiry)
        return await self._connection.handle_async_request(request)


class _Http1Connection(httpcore.AsyncHTTP11Connection):
    """HTTP/1.1 once connected."""

    READ_NUM_BYTES = READ_BYTES

    def __init__(
        self, origin: httpcore.Origin, stream: httpcore.AsyncNetworkStream, keepalive_expiry: float | None
    ) -> None:
        super().__init__(origin, stream, keepalive_expiry)
        self._h11_state = http1.Connection(h11.CLIENT, self.MAX_INCOMPLETE_EVENT_SIZE)
        self._unsent: list[Buffer] = []

    async def _send_event(self, event: h11.Event, timeout: float | None = None) -> None:  # noqa: ASYNC109 - httpcore's
        """Gather all of a request, and send it when it is complete."""
        self._unsent += self._h11_state.send_with_data_passthrough(event) or []
        if isinstance(event, h11.EndOfMessage):
            buffers, self._unsent = self._unsent, []
            await _send_all(self._network_stream, buffers, timeout)


async def _send_all(
    stream: httpcore.AsyncNetworkStream,
    buffers: Iterable[Buffer],
    timeout: float | None,  # noqa: ASYNC109
) -> None:
    """Send buffers; `timeout` seconds may pass without progress. Raises `httpcore.WriteError`, `WriteTimeout`."""
    views = deque(memoryview(buffer) for buffer in buffers if buffer)
    if stream.get_extra_info("ssl_object") is not None:
        for view in views:
            for start in range(0, len(view), TLS_SLICE_BYTES):
                await stream.write(view[start : start + TLS_SLICE_BYTES], timeout)  # type: ignore[arg-type]
        return
    socket: trio.socket.SocketType = stream.get_extra_info("socket")
    try:
        while views:
            with trio.fail_after(float("inf") if timeout is None else timeout):
                sent = await socket.sendmsg(islice(views, BUFFERS_AT_ONCE))
            while sent:
                if sent < len(views[0]):
                    views[0] = views[0][sent:]
                    break
                sent -= len(views.popleft())
    except trio.TooSlowError as error:
        raise httpcore.WriteTimeout from error
    except (OSError, trio.ClosedResourceError) as error:
        raise httpcore.WriteError(error) from error
