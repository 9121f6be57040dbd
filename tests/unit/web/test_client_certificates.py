"""Client certificates on real TLS connections, and those that proxies pass on."""

from __future__ import annotations

import base64
import ssl
from ipaddress import ip_network
from ssl import create_default_context
from typing import TYPE_CHECKING
from urllib.parse import quote

import httpx
import pytest
import trio

from tests.unit.web.authorities import Authority, anonymous
from tests.unit.web.certificates import write_certificate
from tests.unit.web.serving import codes_of, serving
from zotpy.auth.certificates import Naming
from zotpy.http.server.hypercorn_config import ServerConfig
from zotpy.http.server.proxies import TrustedProxies
from zotpy.settings import MtlsSettings
from zotpy.web.client_certificates import ClientCertificates
from zotpy.web.login import Login

if TYPE_CHECKING:
    from pathlib import Path

    from tests.unit.web.serving import Replica

OURS, OTHERS = Authority("Ours"), Authority("Others")
HERE = TrustedProxies([ip_network("127.0.0.0/8")])
ALICE = OURS.issue(("CN", "alice"))


def recognizing(proxy_header: str | None = None) -> Login:
    """Return what admits callers by their certificates."""
    return Login(recognizers=[ClientCertificates(Naming(MtlsSettings()), proxy_header)])


def secure(directory: Path) -> ServerConfig:
    """Return a server that asks for certificates of our authority, whose file is `ca.pem`."""
    config = ServerConfig()
    config.use_certificate(*write_certificate(directory), OURS.write(directory / "ca.pem"))
    return config


async def ask(replica: Replica, context: ssl.SSLContext, headers: dict[str, str] | None = None) -> httpx.Response:
    """Ask for `/v2/` on a connection of its own."""
    async with httpx.AsyncClient(verify=context, base_url=replica.client.base_url) as client:
        return await client.get("/v2/", headers=headers)


async def test_a_certificate_is_a_login(nursery: trio.Nursery, tmp_path: Path) -> None:
    """Callers without one are served, too, and have to log in."""
    async with serving(nursery, config=secure(tmp_path), admit=recognizing().admit) as replica:
        assert (await ask(replica, ALICE.context(tmp_path))).status_code == 200
        answered = await replica.ended.receive()
        assert (answered.user, answered.login) == ("alice", "mtls")
        answer = await ask(replica, anonymous())
        assert (answer.status_code, codes_of(answer)) == (401, ["UNAUTHORIZED"])
        answer = await ask(replica, ALICE.context(tmp_path), {"Authorization": "Basic YTpi"})
        assert answer.status_code == 401
        answer = await ask(replica, OURS.issue(("O", "Acme")).context(tmp_path))
        assert (answer.status_code, codes_of(answer)) == (401, ["UNAUTHORIZED"])


@pytest.mark.parametrize("is_strict", [False, True])
async def test_usual_certificates_are_good_on_every_python(
    nursery: trio.Nursery, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, is_strict: bool
) -> None:
    """Those without the extensions that Python 3.13 asks for, and those of an authority that another one has signed."""

    def create(purpose: ssl.Purpose) -> ssl.SSLContext:
        context = create_default_context(purpose)
        context.verify_flags &= ~(ssl.VERIFY_X509_STRICT | ssl.VERIFY_X509_PARTIAL_CHAIN)
        context.verify_flags |= (ssl.VERIFY_X509_STRICT | ssl.VERIFY_X509_PARTIAL_CHAIN) if is_strict else 0
        return context

    monkeypatch.setattr("hypercorn.config.create_default_context", create)
    middle = Authority("Middle", OURS)
    config = ServerConfig()
    config.use_certificate(*write_certificate(tmp_path), middle.write(tmp_path / "ca.pem"))
    async with serving(nursery, config=config, admit=recognizing().admit) as replica:
        assert (await ask(replica, middle.issue(("CN", "alice")).context(tmp_path))).status_code == 200
        with pytest.raises(httpx.TransportError):
            await ask(replica, ALICE.context(tmp_path))


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
async def test_a_certificate_of_nobody_we_trust_ends_the_connection(
    nursery: trio.Nursery, tmp_path: Path, version: ssl.TLSVersion
) -> None:
    """It is of another authority, of one with the same name, or expired. No request is read."""
    async with serving(nursery, config=secure(tmp_path), admit=recognizing().admit) as replica:
        for issued in (
            OTHERS.issue(("CN", "alice")),
            Authority("Ours").issue(("CN", "alice")),
            OURS.issue(("CN", "alice"), days=-1),
        ):
            context = issued.context(tmp_path)
            context.maximum_version = context.minimum_version = version
            with pytest.raises(httpx.TransportError):
                await ask(replica, context)
        assert (await ask(replica, ALICE.context(tmp_path))).status_code == 200
        assert (await replica.ended.receive()).user == "alice"


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
async def test_new_authorities_count_at_the_next_connection(
    nursery: trio.Nursery, tmp_path: Path, version: ssl.TLSVersion
) -> None:
    """An old session is not taken up again, as it would bring its certificate along. A bad file changes nothing."""
    config = secure(tmp_path)
    context = ALICE.context(tmp_path)
    context.maximum_version = context.minimum_version = version
    async with serving(nursery, config=config, admit=recognizing().admit) as replica:
        first = await connect(replica, context)
        assert await status(first) == 200
        assert config.certificate is not None
        (tmp_path / "ca.pem").write_text("nothing")
        await config.certificate.look()
        assert (await ask(replica, context)).status_code == 200
        OTHERS.write(tmp_path / "ca.pem")
        await config.certificate.look()
        assert (await ask(replica, OTHERS.issue(("CN", "bob")).context(tmp_path))).status_code == 200
        with pytest.raises(httpx.TransportError):
            await ask(replica, context)
        with pytest.raises((trio.BrokenResourceError, EOFError)):
            await status(await connect(replica, context, first.session))
        assert await status(first) == 200  # it began when its certificate was good
        await first.aclose()


async def connect(
    replica: Replica, context: ssl.SSLContext, session: ssl.SSLSession | None = None
) -> trio.SSLStream[trio.SocketStream]:
    """Make a connection, and take up a session again if one is given."""
    stream = trio.SSLStream(await trio.open_tcp_stream("127.0.0.1", replica.port), context, https_compatible=True)
    if session is not None:
        stream.session = session
    try:
        await stream.do_handshake()
    except trio.BrokenResourceError:
        await trio.aclose_forcefully(stream)
        raise
    return stream


async def status(stream: trio.SSLStream[trio.SocketStream]) -> int:
    """Ask for `/v2/`, and return the status. Raises `EOFError` if the connection ends instead."""
    try:
        await stream.send_all(b"GET /v2/ HTTP/1.1\r\nHost: a\r\n\r\n")
        received = bytes(await stream.receive_some())
    except trio.BrokenResourceError:
        received = b""
    if not received:
        await trio.aclose_forcefully(stream)
        raise EOFError
    return int(received.split()[1])


def passed_on(header: str) -> str:
    """Write alice's certificate as a proxy does."""
    if header == "Client-Cert":
        return f":{base64.b64encode(ALICE.der).decode()}:"
    return f'Hash=ab;Cert="{quote(ALICE.pem)}"'


@pytest.mark.parametrize("header", ["Client-Cert", "X-Forwarded-Client-Cert"])
async def test_a_trusted_proxy_passes_certificates_on(nursery: trio.Nursery, header: str) -> None:
    """In the one header that the settings name. Without it the caller has shown none."""
    async with serving(nursery, proxies=HERE, admit=recognizing(header).admit) as replica:
        answer = await replica.client.get("/v2/", headers={header: passed_on(header)})
        assert answer.status_code == 200
        answered = await replica.ended.receive()
        assert (answered.user, answered.login) == ("alice", "mtls")
        other = "Client-Cert" if header != "Client-Cert" else "X-Forwarded-Client-Cert"
        for headers in ({}, {header: ""}, {other: passed_on(other)}):
            assert (await replica.client.get("/v2/", headers=headers)).status_code == 401


@pytest.mark.parametrize("header", ["Client-Cert", "X-Forwarded-Client-Cert"])
async def test_a_header_of_anybody_else_means_nothing(nursery: trio.Nursery, header: str) -> None:
    """Neither if the peer is no trusted proxy, nor if the settings name no header."""
    async with serving(nursery, admit=recognizing(header).admit) as replica:
        answer = await replica.client.get("/v2/", headers={header: passed_on(header)})
        assert (answer.status_code, codes_of(answer)) == (401, ["UNAUTHORIZED"])
    async with serving(nursery, proxies=HERE, admit=recognizing(None).admit) as replica:
        assert (await replica.client.get("/v2/", headers={header: passed_on(header)})).status_code == 401


@pytest.mark.parametrize(
    "value",
    ["x", ":x", "::", ":eA==:", "eA==", ":ä:", ":" + "A" * 20_000 + ":"],
)
async def test_a_header_that_cannot_be_read_is_refused(nursery: trio.Nursery, value: str) -> None:
    """It is not taken for none: the caller is not anonymous."""
    config = ServerConfig()
    config.h11_max_incomplete_size = 64 * 1024
    async with serving(nursery, config=config, proxies=HERE, admit=recognizing("Client-Cert").admit) as replica:
        path = "/v2/_catalog"
        answer = await replica.client.get(path, headers=[(b"Client-Cert", value.encode())])
        assert (answer.status_code, codes_of(answer)) == (401, ["UNAUTHORIZED"])
        assert "Client-Cert" in answer.text or "client certificate" in answer.text


async def test_a_second_header_is_refused(nursery: trio.Nursery) -> None:
    """One of the two is of the client."""
    async with serving(nursery, proxies=HERE, admit=recognizing("Client-Cert").admit) as replica:
        value = passed_on("Client-Cert")
        answer = await replica.client.get("/v2/", headers=[("Client-Cert", value), ("Client-Cert", value)])
        assert (answer.status_code, codes_of(answer)) == (401, ["UNAUTHORIZED"])
        assert "more than one Client-Cert" in answer.text


async def test_the_certificate_of_a_proxy_is_not_that_of_its_clients(nursery: trio.Nursery, tmp_path: Path) -> None:
    """A proxy may show one to zotpy. Its clients are known by what it passes on, or not at all."""
    proxy = OURS.issue(("CN", "proxy")).context(tmp_path)
    for header in ("Client-Cert", None):
        config = secure(tmp_path)
        async with serving(nursery, config=config, proxies=HERE, admit=recognizing(header).admit) as replica:
            assert (await ask(replica, proxy)).status_code == 401
            answer = await ask(replica, proxy, {"Client-Cert": passed_on("Client-Cert")})
            assert answer.status_code == (401 if header is None else 200)
