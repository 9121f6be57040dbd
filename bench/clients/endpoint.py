"""Where a registry listens, and what it asks of those who connect: TLS, credentials."""

import ssl
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import urlsplit

HTTPS_PORT, HTTP_PORT = 443, 80
Authorize = Callable[[str], str | None]
"""Returns the Authorization header for a request target."""

NOBODY: Authorize = lambda _: None  # noqa: E731 - a default, not a function that is called by its name


@dataclass(frozen=True)
class Endpoint:
    """One address, with TLS if there is a context."""

    host: str
    port: int
    tls: ssl.SSLContext | None = None
    authorize: Authorize = NOBODY

    @property
    def url(self) -> str:
        """The base of every URL here."""
        return f"{'http' if self.tls is None else 'https'}://{self.authority}"

    @property
    def authority(self) -> str:
        """What the Host header says."""
        default = HTTP_PORT if self.tls is None else HTTPS_PORT
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == default else f"{host}:{self.port}"


def loopback(port: int) -> Endpoint:
    """Return a port of this machine, in the clear."""
    return Endpoint("127.0.0.1", port)


def endpoint_of(url: str, tls: ssl.SSLContext | None = None, authorize: Authorize = NOBODY) -> Endpoint:
    """Return where a URL leads, by default with the authorities of this system. Raises `ValueError` if nowhere."""
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        msg = f"not a URL of HTTP: {url}"
        raise ValueError(msg)
    if parts.scheme == "http":
        return Endpoint(parts.hostname, parts.port or HTTP_PORT, None, authorize)
    return Endpoint(parts.hostname, parts.port or HTTPS_PORT, tls or tls_context(), authorize)


def tls_context(ca_file: str | None = None, *, verify: bool = True) -> ssl.SSLContext:
    """Return what TLS trusts: the authorities in the file, or this system's; or everybody. Raises `OSError`."""
    context = ssl.create_default_context(cafile=ca_file)
    if not verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context
