"""httpx's transport over our own pools of connections."""

import ssl
from collections.abc import AsyncIterator
from pathlib import Path
from types import TracebackType
from typing import Self

import httpx

from zotpy.s3.connection import StoreConnection
from zotpy.s3.errors import S3Error
from zotpy.s3.forward_proxy import proxy_for
from zotpy.s3.pool import ConnectionPool

KEEPALIVE_S = 30.0
STREAMED = "zotpy.streamed"
"""The request extension of a read whose answer is passed on as it comes."""


class _ResponseBody(httpx.AsyncByteStream):
    """The bytes of an answer.

    It is not a generator: a reader may stop anywhere, and the garbage collector finds nothing.
    """

    def __init__(self, pool: ConnectionPool, request: httpx.Request, connection: StoreConnection) -> None:
        self._pool = pool
        self._request = request
        self._connection = connection
        self._is_closed = False

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        if piece := await self._connection.receive():
            return piece  # type: ignore[return-value]  # a view of bytes, maybe
        raise StopAsyncIteration

    async def aclose(self) -> None:
        """Give the connection back. If bytes of the answer are left, it is closed."""
        if not self._is_closed:
            self._is_closed = True
            await self._pool.give_back(self._request, self._connection)


def _tls(ca_bundle: Path | None, *, verify: bool) -> ssl.SSLContext:
    if ca_bundle is None or not verify:
        return httpx.create_ssl_context(verify=verify)
    try:
        return ssl.create_default_context(cafile=str(ca_bundle))
    except OSError as error:  # an `ssl.SSLError` is one
        msg = f"the file {ca_bundle} holds no usable certificates: {error}"
        raise S3Error(msg) from error


class S3Transport(httpx.AsyncBaseTransport):
    """Two bounded pools of connections to the service at `url`: streamed reads may last, and must not hold up calls."""

    def __init__(
        self, url: str, *, verify_tls: bool, max_connections: int, max_streams: int, ca_bundle: Path | None = None
    ) -> None:
        """Connect only when asked to. Idle connections are kept for half a minute.

        `ca_bundle` holds the certificates of authorities to trust; `None`: the public ones. Raises `S3Error` if it
        cannot be read, or if the environment names a proxy wrongly.
        """
        target = httpx.URL(url)
        tls = _tls(ca_bundle, verify=verify_tls) if target.scheme == "https" else None
        proxy = proxy_for(target)

        def connect() -> StoreConnection:
            return StoreConnection(target, tls, KEEPALIVE_S, proxy)

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
        """Send one request, over the other pool with the extension `STREAMED`. Raises `httpx.TransportError`."""
        pool = self.streams if request.extensions.get(STREAMED) else self.pool
        answer, connection = await pool.send(request)
        headers = answer.headers.raw_items()
        return httpx.Response(
            answer.status_code, headers=headers, stream=_ResponseBody(pool, request, connection), request=request
        )
