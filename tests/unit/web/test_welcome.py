"""What `/` says to a browser, and to everybody else."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from ipaddress import ip_network
from typing import TYPE_CHECKING

import pytest

from tests.unit.web.raw import connect
from tests.unit.web.serving import Replica, codes_of, serving
from zotpy.http.server.proxies import TrustedProxies

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    import trio

BROWSER = {"Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8"}


class Parsed(HTMLParser):
    """A page as a browser reads it."""

    def __init__(self, page: str) -> None:
        """Read all of it."""
        super().__init__()
        self.tags: set[str] = set()
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note an element; none of them may refer to anything."""
        self.tags.add(tag)
        assert not {name for name, _ in attrs} - {"lang", "charset", "name", "content"}

    def handle_data(self, data: str) -> None:
        """Note text."""
        self.text += data


@pytest.fixture
async def proxied(nursery: trio.Nursery) -> AsyncIterator[Replica]:
    """Return a replica behind a proxy that it believes."""
    async with serving(nursery, proxies=TrustedProxies([ip_network("127.0.0.0/8")])) as opened:
        yield opened


async def test_a_browser_is_shown_how_to_push(replica: Replica) -> None:
    """The page names the host as the browser does, needs nothing else, and nothing else may be loaded or run."""
    answer = await replica.client.get("/", headers=BROWSER)
    assert answer.status_code == 200
    assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
    page = Parsed(answer.text)
    assert f"docker push 127.0.0.1:{replica.port}/team/app:1.0" in page.text
    assert f"http://127.0.0.1:{replica.port}/v2/" in page.text
    assert page.tags <= {"html", "head", "meta", "title", "style", "body", "h1", "p", "pre", "code"}
    policy = dict(rule.split(" ", 1) for rule in answer.headers["Content-Security-Policy"].split("; "))
    assert policy.pop("style-src").startswith("'sha256-")
    assert policy == dict.fromkeys(("default-src", "base-uri", "form-action", "frame-ancestors"), "'none'")
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Vary"] == "Accept"


@pytest.mark.parametrize("accept", [None, "*/*", "application/json", "text/plain", "text/plain, text/html", ";;,q=x"])
async def test_others_read_text(replica: Replica, accept: str | None) -> None:
    """curl, a balancer's probe and clients of the API get a few lines."""
    headers = {"Accept": accept} if accept is not None else {}
    answer = await replica.client.get("/", headers=headers)
    assert answer.status_code == 200
    assert answer.headers["Content-Type"] == "text/plain; charset=utf-8"
    assert f"docker push 127.0.0.1:{replica.port}/team/app:1.0\n" in answer.text
    assert "<" not in answer.text


async def test_head_and_other_methods(replica: Replica) -> None:
    """HEAD has the head alone; nothing can be changed."""
    for headers in (BROWSER, {"Accept": "*/*"}):
        got, head = [await replica.client.request(method, "/", headers=headers) for method in ("GET", "HEAD")]
        assert (head.status_code, head.content) == (200, b"")
        assert head.headers["Content-Type"] == got.headers["Content-Type"]
        assert head.headers["Content-Length"] == got.headers["Content-Length"]
    for method in ("POST", "PUT", "PATCH", "DELETE"):
        answer = await replica.client.request(method, "/")
        assert (answer.status_code, codes_of(answer)) == (405, ["UNSUPPORTED"])


@pytest.mark.parametrize(
    ("prefix", "image", "api"),
    [
        ("", "/team/app:1.0", "/v2/"),
        ("/registry", "/team/app:1.0", "/registry/v2/"),
        ("/v2/images", "/images/team/app:1.0", "/v2/images/"),
    ],
)
async def test_behind_a_proxy_the_names_are_those_of_its_clients(
    proxied: Replica, prefix: str, image: str, api: str
) -> None:
    """Host, scheme and prefix are what a trusted proxy says."""
    said = {"X-Forwarded-Host": "registry.test:8443", "X-Forwarded-Proto": "https", "X-Forwarded-Prefix": prefix}
    answer = await proxied.client.get("/", headers=BROWSER | said)
    text = Parsed(answer.text).text
    assert f"docker push registry.test:8443{image}" in text
    assert f"https://registry.test:8443{api}" in text


@pytest.mark.parametrize(
    "host",
    ["<script>alert(1)</script>", "a'b", "a&b;c", "$(id)", "a b", "", "x" * 300, "x" * 70 + ".example", "a..b", "[::1"],
)
async def test_any_host_is_answered(replica: Replica, host: str) -> None:
    """No endpoint needs the name by which it is asked, and what is no name of a host is no 500."""
    for path, status in (("/", 200), ("/v2/", 200), ("/v2/_catalog", 200), ("/v2/team//app/tags/list", 400)):
        async with (await connect(replica)).stream as stream:
            await stream.send_all(f"GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
            answer = b"".join([bytes(piece) async for piece in stream]).decode()
        assert answer.startswith((f"HTTP/1.1 {status} ", "HTTP/1.1 400 ")), answer


@pytest.mark.parametrize("host", ["<script>alert(1)</script>", "a'b", "a&b;c", "$(id)", "a b", ""])
async def test_a_host_that_is_none_is_not_shown(replica: Replica, host: str) -> None:
    """Nobody can put markup or a command into the page by a header."""
    for accept in ("text/html", "*/*"):
        async with (await connect(replica)).stream as stream:
            head = f"GET / HTTP/1.1\r\nHost: {host}\r\nAccept: {accept}\r\nConnection: close\r\n\r\n"
            await stream.send_all(head.encode())
            answer = b"".join([bytes(piece) async for piece in stream]).decode()
        assert re.match(r"HTTP/1\.1 (200|400) ", answer)
        assert not host or host not in answer
        if answer.startswith("HTTP/1.1 200"):
            assert "docker push registry.example.com/team/app:1.0" in answer
