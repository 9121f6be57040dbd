"""Single requests over httpx: bounded in time and length, and redirected with care."""

import socket
import ssl
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from http.cookiejar import CookieJar, DefaultCookiePolicy

import httpx
import trio

from zotpy.core.units import KIB
from zotpy.http.client.transport_errors import ConnectTimeout, ReadTimeout, TransportError, WriteTimeout
from zotpy.settings.upstream import UpstreamSettings
from zotpy.upstream.addresses import leads_inside
from zotpy.upstream.bodies import Body
from zotpy.upstream.errors import UpstreamBroken, UpstreamError, UpstreamUnavailable, words_of
from zotpy.upstream.transport import Transport
from zotpy.upstream.trust import tls_context
from zotpy.upstream.waiting import Pace

MOST_REDIRECTIONS = 5
LONGEST_REDIRECTION_BYTES = 16 * KIB
REDIRECTIONS = frozenset({301, 302, 303, 307, 308})
_SCHEMES = {("https", "https"), ("http", "https"), ("http", "http")}
"""The schemes between which a redirection or a challenge may lead: from the first to the second."""


def origin_of(url: httpx.URL) -> str:
    """Return the part of a URL before the path."""
    return f"{url.scheme}://{url.netloc.decode('ascii')}"


@contextmanager
def as_unavailable(url: httpx.URL) -> Iterator[None]:
    """Raise `UpstreamUnavailable` in place of every error that a connection may have.

    httpx reads a redirection even if nobody follows it: one that cannot be read is `UpstreamBroken`.
    """
    try:
        yield
    except httpx.InvalidURL as error:
        raise leads_nowhere(origin_of(url)) from error
    except (ConnectTimeout, ReadTimeout, WriteTimeout, trio.TooSlowError) as error:
        msg = f"{origin_of(url)} does not answer in time"
        raise UpstreamUnavailable(msg) from error
    except (TransportError, httpx.HTTPError, OSError, ValueError) as error:  # the last: a host that cannot be a name
        why = words_of(str(error) or str(error.__cause__ or "") or type(error).__name__)
        msg = f"{origin_of(url)} cannot be reached, or breaks off: {why}"
        raise UpstreamUnavailable(msg) from error


@dataclass(frozen=True, slots=True)
class Sender:
    """Sends requests to one upstream, and to the hosts that it redirects to."""

    settings: UpstreamSettings
    origin: str
    client: httpx.AsyncClient
    pace: Pace

    async def follow(
        self, method: str, target: str, headers: Mapping[str, str], authorization: str | None
    ) -> tuple[httpx.Response, bool]:
        """Send a request and follow redirections, on which only the upstream itself gets the login.

        Return the answer, whose body is not read, and whether it is the upstream's own. Raises `UpstreamError`.
        """
        url = httpx.URL(self.origin + target)
        for _ in range(MOST_REDIRECTIONS + 1):
            is_own = origin_of(url) == self.origin
            login = {"Authorization": authorization} if authorization is not None and is_own else {}
            answer = await self.send(method, url, {**headers, **login})
            if answer.status_code not in REDIRECTIONS:
                return answer, is_own
            with suppress(UpstreamError):  # read to its end, so that the connection serves the next request, too
                await self.body(answer, LONGEST_REDIRECTION_BYTES)
            url = await self.checked(url, answer.headers.get("location", ""))
        msg = f"{self.origin} redirects more than {MOST_REDIRECTIONS} times"
        raise UpstreamBroken(msg)

    async def send_there(self, method: str, target: str, headers: Mapping[str, str]) -> httpx.Response:
        """Send one request to the upstream itself, and follow nothing. Raises `UpstreamUnavailable`."""
        return await self.send(method, httpx.URL(self.origin + target), headers)

    async def send(self, method: str, url: httpx.URL, headers: Mapping[str, str]) -> httpx.Response:
        """Send one request, and return its answer when its head is here. Raises `UpstreamUnavailable`."""
        await self.pace.turn()
        fields = {"Accept-Encoding": "identity", "User-Agent": "zotpy", **headers}
        request = self.client.build_request(method, url, headers=fields)
        with as_unavailable(url), trio.fail_after(self.settings.head_timeout_s):
            return await self.client.send(request, stream=True, follow_redirects=False)

    async def body(self, answer: httpx.Response, most_bytes: int) -> bytes:
        """Read a body to its end, and close the answer.

        Raises `UpstreamUnavailable` if it is cut, `UpstreamBroken` if it is too long.
        """
        content = bytearray()
        body = Body(answer)
        try:
            with as_unavailable(answer.url), trio.fail_after(self.settings.stall_timeout_s):
                while (piece := await body.next()) is not None:
                    content += piece
                    if len(content) > most_bytes:
                        msg = f"{origin_of(answer.url)}{answer.url.path} is longer than {most_bytes} bytes"
                        raise UpstreamBroken(msg)
        finally:
            await body.close()
        return bytes(content)

    async def checked(self, here: httpx.URL, location: str) -> httpx.URL:
        """Return where a redirection or a challenge leads. Raises `UpstreamBroken` if we must not follow it."""
        try:
            url = here.join(location)
            host = url.host
        except (httpx.InvalidURL, ValueError) as error:
            raise leads_nowhere(self.origin) from error
        if not location or not host or (here.scheme, url.scheme) not in _SCHEMES:
            msg = f"{self.origin} leads to {words_of(str(url))!r}: not a URL of HTTP, or one without TLS"
            raise UpstreamBroken(msg)
        own = httpx.URL(self.origin).host
        if host != own and leads_inside(await _addresses(host), await _addresses(own)):
            msg = f"{self.origin} leads to {host}, which is an address inside this machine or its cloud"
            raise UpstreamBroken(msg)
        return url


def leads_nowhere(origin: str) -> UpstreamBroken:
    """Return the error for a redirection or a challenge with a URL that cannot be read."""
    return UpstreamBroken(f"{origin} leads to a URL that cannot be read")


def check_settings(settings: UpstreamSettings) -> tuple[str, ssl.SSLContext]:
    """Return the part of the address before the path, and the certificates. It reads files.

    Raises `ValueError` with a sentence that says what is wrong.
    """
    try:
        origin = origin_of(httpx.URL(settings.url))
    except httpx.InvalidURL as error:
        msg = f"{settings.url!r} is not a URL: write one such as https://registry.example"
        raise ValueError(msg) from error
    return origin, tls_context(settings)


@asynccontextmanager
async def open_sender(settings: UpstreamSettings) -> AsyncIterator[Sender]:
    """Open a client, and close its connections at the end. Raises `ValueError` for settings that cannot be used."""
    origin, tls = await trio.to_thread.run_sync(check_settings, settings)
    client = httpx.AsyncClient(
        transport=Transport(settings, tls),
        cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),  # none are kept
    )
    async with client:
        yield Sender(settings, origin, client, Pace(settings.requests_per_second))


async def _addresses(host: str) -> list[str]:
    """Return the host, and its addresses if this machine can resolve it."""
    try:
        found = await trio.socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        return [host]  # a forward proxy may know it
    return [str(address[0]) for *_, address in found]
