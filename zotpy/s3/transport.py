"""httpx's transport over httpcore, with large reads and without copies of large bodies.

httpcore asks a socket for 64 KiB at a time, and each read is a turn through trio, h11 and httpx. Reading up to 512 KiB
at once takes a third of the CPU for each byte. A body goes out in slices,
because h11 copies what it is given: one slice would be the whole part once more.
"""

import ssl
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import suppress
from types import TracebackType
from typing import Any, Self

import httpcore
import httpx
import trio

from zotpy.core.pieces import Buffer, Pieces
from zotpy.s3.pool import ConnectionPool

READ_BYTES = 512 * 1024
SLICE_BYTES = 1024 * 1024
KEEPALIVE_S = 30.0
STREAMED = "zotpy.streamed"
"""The request extension of a read whose answer is passed on as it comes."""
_PORTS = {"http": 80, "https": 443}
_ERRORS: tuple[tuple[type[Exception], type[httpx.TransportError]], ...] = (
    (httpcore.ConnectTimeout, httpx.ConnectTimeout),
    (httpcore.ReadTimeout, httpx.ReadTimeout),
    (httpcore.WriteTimeout, httpx.WriteTimeout),
    (httpcore.PoolTimeout, httpx.PoolTimeout),
    (httpcore.ConnectError, httpx.ConnectError),
    (httpcore.ReadError, httpx.ReadError),
    (httpcore.WriteError, httpx.WriteError),
    (httpcore.RemoteProtocolError, httpx.RemoteProtocolError),
    (httpcore.LocalProtocolError, httpx.LocalProtocolError),
)
_SOURCES = tuple(source for source, _ in _ERRORS)


class _LargeReads(httpcore.AsyncNetworkStream):
    """A stream that reads more at once than it is asked for; httpcore takes whatever comes."""

    def __init__(self, stream: httpcore.AsyncNetworkStream) -> None:
        self._stream = stream

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:  # noqa: ASYNC109 - httpcore's signature
        return await self._stream.read(max(max_bytes, READ_BYTES), timeout)

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:  # noqa: ASYNC109
        await self._stream.write(buffer, timeout)

    async def aclose(self) -> None:
        await self._stream.aclose()

    async def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,  # noqa: ASYNC109
    ) -> httpcore.AsyncNetworkStream:
        return _LargeReads(await self._stream.start_tls(ssl_context, server_hostname, timeout))

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)


class _LargeReadBackend(httpcore.AsyncNetworkBackend):
    def __init__(self) -> None:
        self._backend = httpcore.TrioBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        return _LargeReads(await self._backend.connect_tcp(host, port, timeout, local_address, socket_options))

    async def sleep(self, seconds: float) -> None:
        await self._backend.sleep(seconds)


class SlicedBody(httpx.AsyncByteStream):
    """A body sent in slices of `SLICE_BYTES`; smaller pieces are put together, because each slice costs a turn."""

    def __init__(self, body: bytes | bytearray | Pieces) -> None:
        """Send `body` once; it must not change meanwhile."""
        self._slices = _slices(body.blocks() if isinstance(body, Pieces) else (body,))

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        for found in self._slices:
            return found  # type: ignore[return-value]  # h11 takes any buffer
        raise StopAsyncIteration


def _slices(pieces: Iterable[Buffer]) -> Iterator[Buffer]:
    gathered: list[memoryview] = []
    room = SLICE_BYTES
    for piece in pieces:
        view = memoryview(piece)
        while view:
            gathered.append(view[:room])
            view = view[room:]
            room -= len(gathered[-1])
            if not room:
                yield gathered[0] if len(gathered) == 1 else b"".join(gathered)
                gathered, room = [], SLICE_BYTES
    if gathered:
        yield gathered[0] if len(gathered) == 1 else b"".join(gathered)


class _ResponseBody(httpx.AsyncByteStream):
    """The bytes of an answer. Not a generator: a reader may stop anywhere, and nothing is left for the collector."""

    def __init__(
        self,
        pool: ConnectionPool,
        request: httpcore.Request,
        answer: httpcore.Response,
        connection: httpcore.AsyncHTTPConnection,
    ) -> None:
        self._pool = pool
        self._request = request
        self._answer = answer
        self._connection = connection
        self._chunks = answer.aiter_stream()
        self._closed = False

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        try:
            return await anext(self._chunks)
        except _SOURCES as error:
            raise _mapped(error) from error

    async def aclose(self) -> None:
        """Give the connection back, closed where bytes of the answer were left."""
        if self._closed:
            return
        self._closed = True
        with trio.CancelScope(shield=True):
            try:
                await self._answer.aclose()
                with suppress(*_SOURCES):  # httpcore's own generators end in the error of a closed connection
                    while await anext(self._chunks, b""):
                        pass
            finally:
                await self._pool.give_back(self._request, self._connection)


def _mapped(error: Exception) -> httpx.TransportError:
    for source, target in _ERRORS:
        if isinstance(error, source):
            return target(str(error))
    raise error


class S3Transport(httpx.AsyncBaseTransport):
    """Two bounded pools of connections to the service at `url`: streamed reads may last, and must not hold up calls."""

    def __init__(self, url: str, *, verify_tls: bool, max_connections: int, max_streams: int) -> None:
        """Connect only when asked to; idle connections are kept for half a minute."""
        target = httpx.URL(url)
        tls = httpx.create_ssl_context(verify=verify_tls) if target.scheme == "https" else None
        origin = httpcore.Origin(target.raw_scheme, target.raw_host, target.port or _PORTS[target.scheme])
        backend = _LargeReadBackend()

        def connect() -> httpcore.AsyncHTTPConnection:
            return httpcore.AsyncHTTPConnection(
                origin, ssl_context=tls, keepalive_expiry=KEEPALIVE_S, network_backend=backend
            )

        self.pool = ConnectionPool(connect, max_connections)
        self.streams = ConnectionPool(connect, max_streams)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None = None,
        exc_value: BaseException | None = None,
        traceback: TracebackType | None = None,
    ) -> None:
        await self.pool.aclose()
        await self.streams.aclose()

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send one request, over the other pool with the extension `STREAMED`; raises `httpx.TransportError`."""
        pool = self.streams if request.extensions.get(STREAMED) else self.pool
        raw = httpcore.Request(
            request.method,
            httpcore.URL(
                scheme=request.url.raw_scheme,
                host=request.url.raw_host,
                port=request.url.port,
                target=request.url.raw_path,
            ),
            headers=request.headers.raw,
            content=request.stream,
            extensions=request.extensions,
        )
        try:
            answer, connection = await pool.send(raw)
        except _SOURCES as error:
            raise _mapped(error) from error
        body = _ResponseBody(pool, raw, answer, connection)
        return httpx.Response(answer.status, headers=answer.headers, stream=body, request=request)
