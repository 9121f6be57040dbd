"""Client certificates through a real HAProxy: it verifies them, passes them on, and drops what clients claim."""

from __future__ import annotations

import base64
import ssl
from contextlib import asynccontextmanager
from ipaddress import ip_network
from typing import TYPE_CHECKING

import httpx
import pytest
import trio

from tests.deploy.edge import Edge
from tests.unit.web.authorities import Authority, anonymous
from tests.unit.web.serving import serving
from zotpy.auth.certificates import Naming
from zotpy.http.server.proxies import TrustedProxies
from zotpy.settings import MtlsSettings
from zotpy.web.client_certificates import ClientCertificates
from zotpy.web.login import Login

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from tests.unit.web.serving import Replica

OURS = Authority("Ours")
ALICE = OURS.issue(("O", "Acme"), ("CN", "alice"))


@asynccontextmanager
async def behind_haproxy(
    nursery: trio.Nursery, directory: Path, certificate: Path, authority: Authority = OURS
) -> AsyncIterator[tuple[Replica, Edge]]:
    """Serve behind an HAProxy that asks for certificates of an authority."""
    admit = Login(recognizers=[ClientCertificates(Naming(MtlsSettings()), "Client-Cert")]).admit
    here = TrustedProxies([ip_network("127.0.0.0/8")])
    async with serving(nursery, proxies=here, admit=admit) as replica:
        client_ca = authority.write(directory / "clients.pem")
        edge = Edge([replica.port], directory, certificate=certificate, client_ca=client_ca)
        await trio.to_thread.run_sync(edge.start)
        try:
            yield replica, edge
        finally:
            await trio.to_thread.run_sync(edge.stop)


async def ask(edge: Edge, context: ssl.SSLContext, headers: dict[str, str] | None = None) -> httpx.Response:
    """Ask for `/v2/` on a connection of its own."""
    async with httpx.AsyncClient(verify=context, base_url=f"https://{edge.tls}") as client:
        return await client.get("/v2/", headers=headers)


async def test_haproxy_passes_the_certificate_of_a_client_on(
    nursery: trio.Nursery, tmp_path: Path, certificate: Path
) -> None:
    """The replica knows the user. What clients claim in the header never counts."""
    forged = {"Client-Cert": f":{base64.b64encode(OURS.issue(('CN', 'admin')).der).decode()}:"}
    async with behind_haproxy(nursery, tmp_path, certificate) as (replica, edge):
        for headers in (None, forged):
            assert (await ask(edge, ALICE.context(tmp_path), headers)).status_code == 200
            assert (await ask(edge, anonymous(), headers)).status_code == 401
        users = [(await replica.ended.receive()).user for _ in range(await asked(replica))]
        assert [user for user in users if user] == ["alice", "alice"]


async def asked(replica: Replica) -> int:
    """Return how many requests have ended and not been looked at, HAProxy's probes among them."""
    return replica.ended.statistics().current_buffer_used


async def test_haproxy_refuses_other_certificates(nursery: trio.Nursery, tmp_path: Path, certificate: Path) -> None:
    """Those of another authority, and expired ones: the connection ends before a request."""
    async with behind_haproxy(nursery, tmp_path, certificate) as (_, edge):
        for issued in (Authority("Ours").issue(("CN", "alice")), OURS.issue(("CN", "alice"), days=-1)):
            with pytest.raises(httpx.TransportError):
                await ask(edge, issued.context(tmp_path))
        assert (await ask(edge, ALICE.context(tmp_path))).status_code == 200


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
async def test_a_session_taken_up_again_brings_its_certificate(
    nursery: trio.Nursery, tmp_path: Path, certificate: Path, version: ssl.TLSVersion
) -> None:
    """Clients keep sessions: the second connection is known as the first one was."""
    context = ALICE.context(tmp_path)
    context.maximum_version = context.minimum_version = version
    session: ssl.SSLSession | None = None
    async with behind_haproxy(nursery, tmp_path, certificate) as (_, edge):
        for _attempt in range(2):
            host, _, port = edge.tls.partition(":")
            plain = await trio.open_tcp_stream(host, int(port))
            async with trio.SSLStream(plain, context, https_compatible=True) as stream:
                if session is not None:
                    stream.session = session
                await stream.do_handshake()
                await stream.send_all(b"GET /v2/ HTTP/1.1\r\nHost: a\r\n\r\n")
                assert bytes(await stream.receive_some()).startswith(b"HTTP/1.1 200 ")
                session = stream.session
