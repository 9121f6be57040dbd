"""Client certificates through a real Envoy: it verifies them and writes `X-Forwarded-Client-Cert`."""

from __future__ import annotations

from contextlib import asynccontextmanager
from ipaddress import ip_network
from typing import TYPE_CHECKING
from urllib.parse import quote

import httpx
import pytest
import trio

from tests.peers.envoy import Envoy
from tests.unit.web.authorities import Authority, Issued, anonymous
from tests.unit.web.serving import serving
from zotpy.auth.certificates import Naming
from zotpy.config.certificates import read_identity_attributes
from zotpy.http.server.proxies import TrustedProxies
from zotpy.settings import MtlsSettings
from zotpy.web.client_certificates import ClientCertificates
from zotpy.web.login import Login

if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncIterator, Mapping
    from pathlib import Path

    from tests.unit.web.serving import Replica

OURS = Authority("Ours")
URI = "spiffe://example.org/workload/alice"
ALICE = OURS.issue(("O", 'Acme; "and", Sons'), ("CN", "alice"), uris=[URI], dns_names=["alice.example.org"])
WHOLE = {"cert": True}
NAMES = {"subject": True, "uri": True, "dns": True}
HEADER = "X-Forwarded-Client-Cert"


@asynccontextmanager
async def behind_envoy(
    nursery: trio.Nursery, directory: Path, certificate: Path, told: Mapping[str, bool], attribute: str = "CommonName"
) -> AsyncIterator[tuple[Replica, Envoy]]:
    """Serve behind an Envoy that takes certificates of our authority."""
    settings = MtlsSettings(read_identity_attributes([attribute]))
    admit = Login(recognizers=[ClientCertificates(Naming(settings), HEADER)]).admit
    here = TrustedProxies([ip_network("127.0.0.0/8")])
    async with serving(nursery, proxies=here, admit=admit) as replica:
        envoy = Envoy(directory, replica.port, certificate, OURS.write(directory / "clients.pem"), told)
        await trio.to_thread.run_sync(envoy.start)
        try:
            yield replica, envoy
        finally:
            await trio.to_thread.run_sync(envoy.stop)


async def ask(envoy: Envoy, context: ssl.SSLContext, headers: dict[str, str] | None = None) -> httpx.Response:
    """Ask for `/v2/` on a connection of its own."""
    async with httpx.AsyncClient(verify=context, base_url=envoy.url) as client:
        return await client.get("/v2/", headers=headers)


def claims_to_be(issued: Issued) -> dict[str, str]:
    """Return a header of an Envoy that nobody has asked."""
    return {HEADER: f'Hash=ab;Cert="{quote(issued.pem)}";Subject="CN=admin";URI=spiffe://example.org/admin'}


@pytest.mark.parametrize("told", [WHOLE, NAMES, {**WHOLE, **NAMES, "chain": True}, {}], ids=str)
@pytest.mark.parametrize(
    ("attribute", "name"),
    [
        ("CommonName", "alice"),
        ("URI", URI),
        ("DNSName", "alice.example.org"),
        ("Subject", 'CN=alice,O=Acme\\; \\"and\\"\\, Sons'),
    ],
)
async def test_envoy_says_whose_certificate_it_is(
    nursery: trio.Nursery, tmp_path: Path, certificate: Path, told: Mapping[str, bool], attribute: str, name: str
) -> None:
    """Envoy passes on the certificate or its names. What clients claim in the header never counts."""
    forged = claims_to_be(OURS.issue(("CN", "admin")))
    async with behind_envoy(nursery, tmp_path, certificate, told, attribute) as (replica, envoy):
        for headers in (None, forged):
            known = await ask(envoy, ALICE.context(tmp_path), headers)
            assert known.status_code == (200 if told else 401), known.text
            seen = await replica.ended.receive()
            assert (seen.user, seen.login) == ((name, "mtls") if told else ("", ""))
            assert (await ask(envoy, anonymous(), headers)).status_code == 401
            await replica.ended.receive()


async def test_envoy_refuses_other_certificates(nursery: trio.Nursery, tmp_path: Path, certificate: Path) -> None:
    """Those of another authority, and expired ones: the connection ends before a request."""
    async with behind_envoy(nursery, tmp_path, certificate, WHOLE) as (_, envoy):
        for issued in (Authority("Ours").issue(("CN", "alice")), OURS.issue(("CN", "alice"), days=-1)):
            with pytest.raises(httpx.TransportError):
                await ask(envoy, issued.context(tmp_path))
        assert (await ask(envoy, ALICE.context(tmp_path))).status_code == 200
