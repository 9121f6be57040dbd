"""The proxy of the environment: which requests go through it, and that they arrive as they are."""

from __future__ import annotations

import base64
import ssl
from dataclasses import replace
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest

from tests.unit.s3.scripted import AT_ONCE, Reply, ScriptedServer
from tests.unit.s3.small_proxy import SmallProxy
from tests.unit.web.certificates import write_certificate
from zotpy.http.client.forward_proxy import Proxy, proxy_for
from zotpy.s3.client import Request, open_client
from zotpy.s3.errors import S3Refused, S3Unavailable

if TYPE_CHECKING:
    from pathlib import Path

    import trio

    from zotpy.s3.config import S3Config

BODY = bytes(range(256)) * 12 * 1024
HOST = "store.example"
"""Known to the proxy alone."""
NAMES = ("http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "no_proxy", "NO_PROXY", "ALL_PROXY")
AUTHORIZATION = "Basic " + base64.b64encode(b"me:p@ss").decode()


@pytest.fixture(autouse=True)
def bare(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no variable of the machine count."""
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)


def config_of(server: ScriptedServer, endpoint: str) -> S3Config:
    """Return how a server is reached by this name, with two attempts."""
    return replace(server.config(retry=replace(AT_ONCE, attempts=2)), endpoint=endpoint)


async def put(config: S3Config, calls: int = 1) -> None:
    """Make calls with a body."""
    async with open_client(config) as client:
        for _ in range(calls):
            await client.call(Request("PutObject", "PUT", "a!/key", body=BODY, checksum=True))


@pytest.mark.parametrize("name", ["HTTP_PROXY", "http_proxy"])
async def test_requests_to_an_http_service_name_it_in_their_target(
    name: str, nursery: trio.Nursery, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The proxy reads where to go; the service gets what was signed, and every byte of it."""
    server = await ScriptedServer([Reply()]).start(nursery)
    proxy = await SmallProxy(server.port).start(nursery)
    monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.port}")
    await put(config_of(server, f"http://{HOST}:9000"), calls=2)
    assert proxy.asked == [f"PUT http://{HOST}:9000/bucket/a%21/key"] * 2
    assert [seen.body for seen in server.seen] == [BODY] * 2
    assert [seen.headers["host"] for seen in server.seen] == [f"{HOST}:9000"] * 2


@pytest.mark.parametrize("name", ["HTTPS_PROXY", "https_proxy"])
@pytest.mark.parametrize("secure_proxy", [False, True])
async def test_requests_to_an_https_service_go_through_a_tunnel(
    name: str,
    secure_proxy: bool,  # noqa: FBT001
    nursery: trio.Nursery,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    """The proxy is told host and port, and sees nothing else; one tunnel serves several calls."""
    certificate, key = write_certificate(tmp_path, HOST)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate, key)
    server = await ScriptedServer([Reply()]).start(nursery, tls=context)
    proxy = await SmallProxy(server.port).start(nursery, context if secure_proxy else None)
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    monkeypatch.setenv(name, f"{'https' if secure_proxy else 'http'}://127.0.0.1:{proxy.port}")
    await put(config_of(server, f"https://{HOST}"), calls=3)
    assert proxy.asked == [f"CONNECT {HOST}:443"]
    assert [seen.body for seen in server.seen] == [BODY] * 3


async def test_the_proxys_password_is_sent_to_it_alone(nursery: trio.Nursery, monkeypatch: pytest.MonkeyPatch) -> None:
    """It stands in the variable, percent-encoded."""
    server = await ScriptedServer([Reply()]).start(nursery)
    proxy = await SmallProxy(server.port, password=AUTHORIZATION).start(nursery)
    monkeypatch.setenv("HTTP_PROXY", f"http://me:p%40ss@127.0.0.1:{proxy.port}")
    await put(config_of(server, f"http://{HOST}"))
    assert len(server.seen) == 1
    assert "p@ss" not in repr(proxy_for(urlsplit(f"http://{HOST}"), {"http_proxy": "http://me:p%40ss@proxy"}))


async def test_a_proxy_that_refuses_is_named(nursery: trio.Nursery, monkeypatch: pytest.MonkeyPatch) -> None:
    """The operator reads which proxy, and what it said, whether the service speaks TLS or not."""
    server = await ScriptedServer([Reply()]).start(nursery)
    proxy = await SmallProxy(server.port, password=AUTHORIZATION).start(nursery)
    for name in ("HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.port}")
    with pytest.raises(S3Unavailable, match=rf"proxy 127\.0\.0\.1:{proxy.port} answered CONNECT {HOST}:443 with 407"):
        await put(config_of(server, f"https://{HOST}"))
    with pytest.raises(S3Refused, match=r"407 \(the proxy in HTTP_PROXY asks for a name and a password"):
        await put(config_of(server, f"http://{HOST}"))
    assert server.seen == []


async def test_a_service_on_this_machine_is_reached_directly(
    nursery: trio.Nursery, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The embedded store above all, whatever proxies there are."""
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    server = await ScriptedServer([Reply()]).start(nursery)
    await put(server.config())
    assert len(server.seen) == 1


@pytest.mark.parametrize(
    ("url", "exceptions", "direct"),
    [
        ("https://s3.example", "", False),
        ("https://s3.example", "*", True),
        ("https://s3.example", "other.example, s3.example", True),
        ("https://s3.example", "example", True),
        ("https://s3.example", ".example", True),
        ("https://s3.example", "*.example", True),
        ("https://S3.Example", "s3.EXAMPLE", True),
        ("https://s3.example", "3.example", False),
        ("https://s3.example", "s3.example:443", True),
        ("https://s3.example:9000", "s3.example:443", False),
        ("https://10.1.2.3", "10.0.0.0/8", True),
        ("https://10.1.2.3", "10.1.2.3", True),
        ("https://10.1.2.3", "10.1.2.3:443", True),
        ("https://11.1.2.3", "10.0.0.0/8,.cluster.local", False),
        ("https://[fd00::1]:9000", "fd00::/8", True),
        ("https://[fd00::1]:9000", "[fd00::1]:9000", True),
        ("https://[fd00::1]:9000", "::1", False),
        ("https://localhost:9000", "", True),
        ("https://127.0.0.2", "", True),
        ("https://[::1]", "", True),
        ("https://s3.example", "10.0.0.0/33", False),
    ],
)
def test_exceptions_are_reached_directly(url: str, exceptions: str, direct: bool) -> None:  # noqa: FBT001
    """NO_PROXY names hosts with all below them, addresses, networks, and ports."""
    for name in ("no_proxy", "NO_PROXY"):
        found = proxy_for(urlsplit(url), {"https_proxy": "http://proxy:3128", name: exceptions})
        assert (found is None) is direct


@pytest.mark.parametrize(
    ("environ", "proxy"),
    [
        ({"HTTPS_PROXY": "proxy:3128"}, Proxy("proxy", 3128)),
        ({"HTTPS_PROXY": "http://proxy"}, Proxy("proxy", 80)),
        ({"HTTPS_PROXY": "http://a:b@[::1]:1"}, Proxy("::1", 1, authorization="Basic YTpi")),
        ({"HTTPS_PROXY": "http://upper", "https_proxy": "http://lower"}, Proxy("lower", 80)),
        ({"HTTP_PROXY": "http://other", "ALL_PROXY": "http://other"}, None),
        ({"HTTPS_PROXY": ""}, None),
        ({}, None),
    ],
)
def test_the_variables_name_a_proxy(environ: dict[str, str], proxy: Proxy | None) -> None:
    """That of the service's scheme, in lower case first."""
    secure = proxy_for(urlsplit("https://s3.example"), {"HTTPS_PROXY": "https://proxy/"})
    assert secure is not None
    assert (secure.port, secure.tls is None) == (443, False)
    assert proxy_for(urlsplit("https://s3.example"), environ) == proxy


@pytest.mark.parametrize("text", ["socks5://proxy:1080", "http://", "http://proxy:port", "http://proxy:99999"])
def test_what_is_no_proxy_is_refused(text: str) -> None:
    """The operator reads which variable to mend; its password is not repeated."""
    with pytest.raises(ValueError, match=r"HTTPS_PROXY .*http://proxy\.example\.com:3128"):
        proxy_for(urlsplit("https://s3.example"), {"https_proxy": text})
