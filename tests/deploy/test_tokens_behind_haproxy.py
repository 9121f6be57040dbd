"""Tokens through a real HAProxy: a client is sent to a place that HAProxy leads to a replica."""

from __future__ import annotations

import re
from ipaddress import ip_network
from typing import TYPE_CHECKING

import httpx
import pytest
import trio

from tests.deploy.backends import Backend, break_off
from tests.deploy.edge import Edge
from tests.deploy.test_haproxy_rules import exchange
from tests.unit.auth.hashed import BCRYPT, PASSWORD
from tests.unit.web.serving import serving
from zotpy.auth.grants import Grants
from zotpy.bell import Bell
from zotpy.config import load_settings
from zotpy.http.server.proxies import TrustedProxies
from zotpy.logins import make_door
from zotpy.store.memory_store import MemoryStore

if TYPE_CHECKING:
    from pathlib import Path

HERE = TrustedProxies([ip_network("127.0.0.0/8")])


@pytest.mark.parametrize(
    ("template", "host", "ping", "place"),
    [
        ("haproxy.cfg", "any.example.com", "/v2/", "/zot/auth/token"),
        ("haproxy-prefix.cfg", "registry.example.com", "/v2/", "/zot/auth/token"),
        ("haproxy-prefix.cfg", "tools.example.com", "/registry/v2/", "/registry/zot/auth/token"),
        ("haproxy-prefix.cfg", "tools.example.com", "/v2/", "/zot/auth/token"),
    ],
)
async def test_a_client_gets_a_token(
    nursery: trio.Nursery, tmp_path: Path, template: str, host: str, ping: str, place: str
) -> None:
    """At the host that it has asked, below the same prefix."""
    (tmp_path / "htpasswd").write_text(f"alice:{BCRYPT}\n")
    settings = load_settings(None, {}, {"http.auth.htpasswd.path": str(tmp_path / "htpasswd")})
    door = await make_door(settings, Bell(), Grants(None), MemoryStore())
    async with serving(
        nursery, proxies=HERE, admit=door.admit, challenge=door.challenge, more_routes=door.routes
    ) as replica:
        edge = Edge([replica.port], tmp_path, template=template)
        await trio.to_thread.run_sync(edge.start)
        try:
            async with httpx.AsyncClient(base_url=edge.url, headers={"Host": host}) as client:
                refused = await client.get(ping)
                assert refused.status_code == 401
                found = re.match(r'Bearer realm="([^"]+)"', refused.headers.get_list("WWW-Authenticate")[0])
                assert found is not None
                assert found[1] == f"http://{host}{place}"
                granted = await client.get(place, params={"service": "zotpy"}, auth=("alice", PASSWORD))
                assert granted.status_code == 200
                bearer = {"Authorization": f"Bearer {granted.json()['token']}"}
                assert (await client.get(ping, headers=bearer)).status_code == 200
        finally:
            await trio.to_thread.run_sync(edge.stop)


@pytest.mark.parametrize("template", ["haproxy.cfg", "haproxy-prefix.cfg"])
def test_a_key_is_not_made_twice(tmp_path: Path, template: str) -> None:
    """HAProxy has all of such a request and could repeat it. It does so for a token, which costs nothing."""
    with Backend(break_off) as backend:
        edge = Edge([backend.port], tmp_path, template=template)
        edge.start()
        try:
            for path, times in (("apikey", 1), ("token", 4)):
                backend.seen.clear()
                head = f"POST /zot/auth/{path} HTTP/1.1\r\nHost: registry.example.com\r\nConnection: close\r\n"
                answer = exchange(edge.plain, f"{head}Content-Length: 2\r\n\r\n{{}}".encode())
                assert answer.startswith(b"HTTP/1.1 502 ")
                assert len(backend.seen) == times
        finally:
            edge.stop()
