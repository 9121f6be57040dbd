"""Two pools of connections to the service, and the answers that come over them."""

import ssl
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self
from urllib.parse import SplitResult, urlsplit

import httpx

from zotpy.core.pieces import Buffer
from zotpy.http.client.connection import ClientConnection
from zotpy.http.client.forward_proxy import Proxy, proxy_for
from zotpy.http.client.outgoing import Outgoing
from zotpy.http.client.service import Service
from zotpy.http.sockets import Shares
from zotpy.s3.config import S3Config
from zotpy.s3.errors import S3Error
from zotpy.s3.pool import ConnectionPool

_PORTS = {"http": 80, "https": 443}


class Response(Protocol):
    """An answer whose body has still to be received."""

    @property
    def status(self) -> int:
        """The status code, from 200."""
        ...

    @property
    def is_success(self) -> bool:
        """Whether the status is one of the successes, 200 to 299."""
        ...

    @property
    def headers(self) -> Mapping[str, str]:
        """The names are in lower case."""
        ...

    @property
    def receive(self) -> Callable[[], Awaitable[Buffer]]:
        """Receives the next bytes of the body, none at its end. Raises `TransportError`."""
        ...

    @property
    def aclose(self) -> Callable[[], Awaitable[None]]:
        """Gives the connection back, once. If bytes of the answer are left, it is closed."""
        ...


class Transport(Protocol):
    """What carries the client's requests."""

    async def send(self, request: Outgoing, *, streamed: bool) -> Response:
        """Send a request and receive the head of its answer. `streamed`: its body is passed on as it comes.

        Raises `TransportError`.
        """
        ...


def _tls(ca_bundle: Path | None, *, verify: bool) -> ssl.SSLContext:
    if ca_bundle is None or not verify:
        return httpx.create_ssl_context(verify=verify)  # trusts what programs with httpx trust
    try:
        return ssl.create_default_context(cafile=str(ca_bundle))
    except OSError as error:  # an `ssl.SSLError` is one
        msg = f"the file {ca_bundle} holds no usable certificates: {error}"
        raise S3Error(msg) from error


def _proxy(url: SplitResult) -> Proxy | None:
    try:
        return proxy_for(url)
    except ValueError as error:
        raise S3Error(str(error)) from error


class S3Transport:
    """Two bounded pools of connections: streamed reads may last, and must not hold up calls."""

    def __init__(self, config: S3Config) -> None:
        """Connect only when asked to.

        Raises `S3Error` if the certificates cannot be read, or if the environment names a proxy wrongly.
        """
        url = urlsplit(config.bucket_url)
        self.service = service = Service(
            host=url.hostname or "",
            port=url.port or _PORTS[url.scheme],
            tls=_tls(config.ca_bundle, verify=not config.skip_verify) if url.scheme == "https" else None,
            trusted_in="storage.storageDriver.cabundle",
            proxy=_proxy(url),
            connect_timeout_s=config.connect_timeout_s,
            silence_s=config.read_timeout_s,
            sent=Shares(config.sent_bytes),
        )

        def connect() -> ClientConnection:
            return ClientConnection(service)

        self.pool = ConnectionPool(connect, config.max_connections)
        self.streams = ConnectionPool(connect, config.max_streams)

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

    def send(self, request: Outgoing, *, streamed: bool) -> Coroutine[Any, Any, Response]:
        """See `Transport`."""
        return (self.streams if streamed else self.pool).send(request)
