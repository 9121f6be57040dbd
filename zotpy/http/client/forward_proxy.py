"""The proxy between zotpy and the service, if the environment names one, as for curl and for programs written in Go.

Requests to an `https` service go through a tunnel (CONNECT, RFC 9110, 9.3.6), so a proxy sees none of them. Requests to
an `http` service name it in their target (absolute form, RFC 9112, 3.2.2).
"""

import base64
import ipaddress
import os
import ssl
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import NoReturn
from urllib.parse import SplitResult, unquote, urlsplit

import h11
import trio

from zotpy.http.client.transport_errors import ProxyError

LONGEST_HEAD_BYTES = 64 * 1024
MOST_INTERIM_ANSWERS = 16
_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class Proxy:
    """Where a proxy listens, whether it speaks TLS, and which credentials it wants."""

    host: str
    port: int
    tls: ssl.SSLContext | None = None
    authorization: str | None = field(default=None, repr=False)

    @property
    def headers(self) -> dict[str, str]:
        """Headers of each request to the proxy itself."""
        return {} if self.authorization is None else {"proxy-authorization": self.authorization}

    async def tunnel(self, stream: trio.abc.Stream, authority: str) -> None:
        """Let the proxy connect to `host:port`. After that the stream leads there. Raises `ProxyError`."""
        http = h11.Connection(h11.CLIENT, LONGEST_HEAD_BYTES)
        headers = [("host", authority), *self.headers.items()]
        await stream.send_all(http.send(h11.Request(method="CONNECT", target=authority, headers=headers)) or b"")
        try:
            answer = await _answer(http, stream)
        except h11.RemoteProtocolError as error:
            self._fail(f"answered CONNECT {authority} with no HTTP: {error}", error)
        if answer is None or http.trailing_data[0]:
            self._fail(f"did not answer CONNECT {authority} as a proxy does")
        if not 200 <= answer.status_code < 300:  # noqa: PLR2004 - the successes
            self._fail(
                f"answered CONNECT {authority} with {answer.status_code} {answer.reason.decode('latin-1')[:100]}"
            )

    def _fail(self, problem: str, cause: Exception | None = None) -> NoReturn:
        msg = f"the proxy {self.host}:{self.port} {problem}"
        raise ProxyError(msg) from cause


async def _answer(http: h11.Connection, stream: trio.abc.Stream) -> h11.Response | None:
    """Receive the head of the answer; `None` if none comes."""
    answers = 0
    while answers <= MOST_INTERIM_ANSWERS:
        event = http.next_event()
        if event is h11.NEED_DATA:
            http.receive_data(bytes(await stream.receive_some()))
        elif isinstance(event, h11.Response):
            return event
        elif isinstance(event, h11.InformationalResponse):
            answers += 1
        else:
            return None
    return None


def proxy_for(url: SplitResult, environ: Mapping[str, str] = os.environ) -> Proxy | None:
    """Return the proxy for a service: that of HTTPS_PROXY or HTTP_PROXY, except for NO_PROXY and this machine itself.

    If a variable exists in lower and upper case, the one in lower case counts. Raises `ValueError` if a variable does
    not hold the URL of a proxy.
    """
    name = f"{url.scheme}_proxy"
    text = (environ.get(name) or environ.get(name.upper()) or "").strip()
    if not text or _goes_past(url, environ.get("no_proxy") or environ.get("NO_PROXY") or ""):
        return None
    proxy = urlsplit(text if "://" in text else f"http://{text}")
    try:
        host, port = proxy.hostname, proxy.port or _PORTS.get(proxy.scheme)
    except ValueError:  # of the port
        host, port = None, None
    if host is None or port is None or proxy.scheme not in _PORTS:
        msg = f"{name.upper()} does not name a proxy: write a URL such as http://proxy.example.com:3128"
        raise ValueError(msg)
    authorization = None
    if proxy.username is not None:
        pair = f"{unquote(proxy.username)}:{unquote(proxy.password or '')}"
        authorization = f"Basic {base64.b64encode(pair.encode()).decode()}"
    tls = ssl.create_default_context() if proxy.scheme == "https" else None
    return Proxy(host, port, tls, authorization)


def _goes_past(url: SplitResult, exceptions: str) -> bool:
    """Say whether a service is reached directly: it is one of the exceptions, or on this machine."""
    host = (url.hostname or "").lower().rstrip(".")
    address = _address(host)
    if host == "localhost" or (address is not None and address.is_loopback):
        return True
    port = url.port or _PORTS[url.scheme]
    return any(name == "*" or _is_named(name, host, address, port) for name in _names(exceptions))


def _names(exceptions: str) -> Iterator[str]:
    return (name for each in exceptions.lower().replace(",", " ").split() if (name := each.rstrip(".")))


def _is_named(name: str, host: str, address: ipaddress.IPv4Address | ipaddress.IPv6Address | None, port: int) -> bool:
    if address is not None:
        try:
            return address in ipaddress.ip_network(name.strip("[]"), strict=False)
        except ValueError:
            return name in {f"{host}:{port}", f"[{host}]:{port}"}
    name, _, only = name.removeprefix("*").partition(":")
    return (not only or only == str(port)) and (host == name.lstrip(".") or host.endswith(f".{name.lstrip('.')}"))


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None
