"""httpx's transport over our own pool of httpcore's connections."""

from collections.abc import AsyncIterator
from contextlib import suppress
from types import TracebackType
from typing import Self

import httpcore
import httpx
import trio

from zotpy.s3.connection import StoreConnection
from zotpy.s3.pool import ConnectionPool

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

        def connect() -> httpcore.AsyncHTTPConnection:
            return StoreConnection(origin, tls, KEEPALIVE_S)

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
