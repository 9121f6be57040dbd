"""Our own transport below httpx: large pieces, the environment's proxy, and names that change their meaning."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

import pytest
import trio

from tests.unit.s3.scripted import Drop, Reply, ScriptedServer
from tests.unit.s3.small_proxy import SmallProxy
from tests.unit.upstream.upstreams import BLOB, BLOB_PATH, IMAGE, MANIFEST, REPO, Upstream, read, running
from zotpy.core.digests import Digest
from zotpy.core.units import KIB, MIB
from zotpy.upstream import UpstreamBroken, UpstreamUnavailable

if TYPE_CHECKING:
    from typing import Any

    from trio.testing import MockClock

LONG = bytes(16 * MIB)
INSIDE = "127.0.0.2"
"""The tests call this address inside, and 127.0.0.1 outside."""
NAMES = ("http_proxy", "HTTP_PROXY", "no_proxy", "NO_PROXY")


class Names:
    """Answers each question for a name with the next of its addresses; the last one stays."""

    def __init__(self, **known: list[str]) -> None:
        self.known = known

    async def getaddrinfo(self, host: str | bytes, port: Any, *_: Any) -> list[Any]:
        """See `trio.abc.HostnameResolver`."""
        await trio.lowlevel.checkpoint()
        name = host.decode() if isinstance(host, bytes) else host
        addresses = self.known[name.partition(".")[0]]
        address = addresses.pop(0) if len(addresses) > 1 else addresses[0]
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, int(port or 0)))]

    async def getnameinfo(self, *_: Any) -> Any:
        """See `trio.abc.HostnameResolver`."""
        raise NotImplementedError


async def test_a_long_blob_comes_in_large_pieces() -> None:
    """Each piece costs turns of several tasks: httpx's own transport reads 64 KiB at most."""
    async with running() as upstream, upstream.client() as client:
        digest = Digest.of(LONG)
        upstream.scripts[f"/v2/{REPO}/blobs/{digest}"] = [Reply(200, LONG)]
        async with client.blob(REPO, digest) as stream:
            lengths = [len(piece) async for piece in stream.pieces()]
    assert sum(lengths) == len(LONG)
    assert 64 * KIB < max(lengths) <= 2 * MIB


async def test_a_name_that_becomes_an_inside_address_is_not_sent_anything(
    nursery: trio.Nursery, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The redirection is checked when it comes; then the name changes. What counts is who is at the other end."""
    monkeypatch.setattr("zotpy.upstream.addresses._is_inside", lambda text: text == INSIDE)
    inside = await ScriptedServer([Reply(200, BLOB)]).start(nursery, INSIDE)
    names = Names(store=["203.0.113.7", INSIDE], upstream=["127.0.0.1"])
    trio.socket.set_custom_hostname_resolver(names)  # type: ignore[arg-type]
    upstream = Upstream()
    await upstream.server.start(nursery)
    upstream.scripts[BLOB_PATH] = [Reply(307, b"", {"Location": f"http://store.example:{inside.port}/blob"})]
    async with upstream.client(url=f"http://upstream.example:{upstream.server.port}") as client:
        with pytest.raises(UpstreamBroken, match=r"leads to store\.example, which is an address inside"):
            await read(client)
    assert names.known["store"] == [INSIDE]
    assert inside.seen == []


async def test_an_upstream_that_is_inside_itself_may_lead_there(
    nursery: trio.Nursery, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A registry on this machine has its store there as well."""
    monkeypatch.setattr("zotpy.upstream.addresses._is_inside", lambda text: text.startswith("127."))
    store = await ScriptedServer([Reply(200, BLOB)]).start(nursery, INSIDE)
    trio.socket.set_custom_hostname_resolver(Names(store=[INSIDE], upstream=["127.0.0.1"]))  # type: ignore[arg-type]
    upstream = Upstream()
    await upstream.server.start(nursery)
    upstream.scripts[BLOB_PATH] = [Reply(307, b"", {"Location": f"http://store.example:{store.port}/blob"})]
    async with upstream.client(url=f"http://upstream.example:{upstream.server.port}") as client:
        assert await read(client) == BLOB


async def test_the_proxy_of_the_environment_leads_to_the_upstream(
    nursery: trio.Nursery, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It alone knows the name. A variable that names no proxy is an error that says so."""
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)
    upstream = Upstream()
    await upstream.server.start(nursery)
    upstream.scripts[f"http://registry.invalid{MANIFEST}"] = upstream.scripts[MANIFEST] = [Reply(200, IMAGE)]
    proxy = await SmallProxy(upstream.server.port).start(nursery)
    monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{proxy.port}")
    async with upstream.client(url="http://registry.invalid") as client:
        assert (await client.get_manifest(REPO, "latest")).content == IMAGE
    monkeypatch.setenv("HTTP_PROXY", "socks5://127.0.0.1:1")
    async with upstream.client(url="http://registry.invalid") as client:
        with pytest.raises(Exception, match="HTTP_PROXY does not name a proxy"):
            await client.get_manifest(REPO, "latest")


async def test_an_idle_connection_serves_the_next_request_for_a_while(mock_clock: MockClock) -> None:
    """A tag that is asked for twice within a minute needs one connection. Later, an upstream may have ended it."""
    async with running() as upstream, upstream.client() as client:
        upstream.scripts[MANIFEST] = [Reply(200, IMAGE)]
        for pause_s, connections in ((0, 1), (50, 1), (60, 2)):
            mock_clock.jump(pause_s)
            await client.head_manifest(REPO, "latest")
            assert upstream.server.connections == connections


@pytest.mark.parametrize("ending", [Drop(), Reply(200, IMAGE, cut_to=0)])
async def test_a_connection_that_ends_with_the_request_is_replaced(ending: Drop | Reply) -> None:
    """The upstream ends it without an answer: the request is sent again. After a part of an answer it is not."""
    async with running() as upstream, upstream.client(retries=0) as client:
        upstream.scripts[MANIFEST] = [Reply(200, IMAGE), ending, Reply(200, IMAGE)]
        await client.get_manifest(REPO, "latest")
        if isinstance(ending, Drop):
            assert (await client.get_manifest(REPO, "latest")).content == IMAGE
            assert len(upstream.seen) == 3
        else:
            with pytest.raises(UpstreamUnavailable):
                await client.get_manifest(REPO, "latest")
            assert len(upstream.seen) == 2


async def test_a_new_connection_that_ends_is_not_replaced() -> None:
    """The upstream does not answer."""
    async with running() as upstream, upstream.client(retries=0) as client:
        upstream.scripts[MANIFEST] = [Drop(), Reply(200, IMAGE)]
        with pytest.raises(UpstreamUnavailable):
            await client.get_manifest(REPO, "latest")
        assert len(upstream.seen) == 1
