"""Logins that end judge time by the store's clock, as that of a replica's host may be wrong by months."""

from __future__ import annotations

import base64
from datetime import UTC, datetime, timedelta
from ipaddress import ip_network
from typing import TYPE_CHECKING

import pytest

from tests.unit.web.authorities import Authority
from tests.unit.web.desks import NOW, bearer
from tests.unit.web.serving import serving
from tests.unit.web.test_outside_tokens import ELSEWHERE, KEY, SERVICE, sign
from zotpy.auth.grants import Grants
from zotpy.bell import Bell
from zotpy.config import load_settings
from zotpy.http.server.proxies import TrustedProxies
from zotpy.logins import make_door
from zotpy.store.memory_store import MemoryStore

if TYPE_CHECKING:
    from pathlib import Path

    import trio

HERE = TrustedProxies([ip_network("127.0.0.0/8")])
ALICE = Authority("Ours").issue(("CN", "alice"))


async def test_tokens_of_an_outside_service(nursery: trio.Nursery, tmp_path: Path) -> None:
    """A token that begins in the host's future is good if the store's clock says so."""
    key = tmp_path / "key.pem"
    key.write_bytes(KEY.as_pem(private=False))
    words = {"cert": str(key), "realm": "https://tokens.example.com/token", "service": SERVICE}
    settings = load_settings(None, {}, {f"http.auth.bearer.{name}": value for name, value in words.items()})
    door = await make_door(settings, Bell(), Grants(None), MemoryStore(lambda: datetime.fromtimestamp(NOW, UTC)))
    async with serving(nursery, admit=door.admit, challenge=door.challenge) as replica:
        for token, status in (
            (sign(KEY), 202),
            (sign(KEY, exp=int(NOW) - 100), 401),
            (sign(KEY, iat=int(NOW) + 100), 401),
        ):
            answer = await replica.client.post(f"{ELSEWHERE}/blobs/uploads/", headers=bearer(token))
            assert answer.status_code == status


@pytest.mark.parametrize(("passed", "status"), [(timedelta(), 200), (timedelta(days=4000), 401)])
async def test_certificates_that_a_proxy_passes_on(nursery: trio.Nursery, passed: timedelta, status: int) -> None:
    """One that ends in the host's future is no login if its time is over by the store's clock."""
    settings = load_settings(
        None, {}, {"http.auth.mtls.proxyHeader": "Client-Cert", "http.trustedProxies": ["127.0.0.0/8"]}
    )
    door = await make_door(settings, Bell(), Grants(None), MemoryStore(lambda: datetime.now(UTC) + passed))
    headers = {"Client-Cert": f":{base64.b64encode(ALICE.der).decode()}:"}
    async with serving(nursery, admit=door.admit, challenge=door.challenge, proxies=HERE) as replica:
        assert (await replica.client.get("/v2/", headers=headers)).status_code == status
