"""What follows the last request of a connection, and how a connection ends."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING

import pytest
import trio
import trio.testing

from tests.unit.web.certificates import write_certificate
from tests.unit.web.serving import REPO, UPLOADS, Replica, serving
from zotpy.http.server.hypercorn_config import ServerConfig

if TYPE_CHECKING:
    from pathlib import Path

DEADLINE_S = 60.0
CLOSE = b" HTTP/1.1\r\nHost: replica\r\nConnection: close\r\n"
OLD = b" HTTP/1.0\r\n"
MORE = {
    "an empty line": b"\r\n",
    "empty lines": b"\r\n" * 200,
    "a request": b"DELETE /v2/" + REPO.encode() + b"/manifests/v1" + CLOSE + b"\r\n",
    "garbage": bytes(100_000),
}


async def all_of(stream: trio.SocketStream) -> bytes:
    """Receive until the connection ends; a reset fails the test."""
    with trio.fail_after(DEADLINE_S):
        return b"".join([bytes(piece) async for piece in stream])


@pytest.mark.parametrize("more", MORE.values(), ids=MORE.keys())
@pytest.mark.parametrize("version", [CLOSE, OLD], ids=["close", "1.0"])
async def test_what_follows_the_last_request_does_not_cost_its_answer(
    replica: Replica, version: bytes, more: bytes
) -> None:
    """F5's monitors end so. The answer comes, the connection ends, and nothing more was asked."""
    await replica.push_image("v1")
    stream = await replica.connect()
    async with stream:
        await stream.send_all(b"POST " + UPLOADS.encode() + version + b"Content-Length: 0\r\n\r\n" + more)
        received = await all_of(stream)
    assert received.startswith(b"HTTP/1.1 202 ")
    assert received.count(b"HTTP/1.1 ") == 1
    assert (await replica.client.get(f"/v2/{REPO}/manifests/v1")).status_code == 200


@pytest.mark.parametrize("more", MORE.values(), ids=MORE.keys())
async def test_what_follows_while_the_request_is_under_way_does_not_either(replica: Replica, more: bytes) -> None:
    """The store has been asked and has not answered when it comes."""
    parked = replica.script.park("before", "get")
    stream = await replica.connect()
    async with stream:
        with trio.fail_after(DEADLINE_S):
            await stream.send_all(b"GET /v2/" + REPO.encode() + b"/manifests/v1" + CLOSE + b"\r\n")
            await parked.reached.wait()
            await stream.send_all(more)
            await trio.testing.wait_all_tasks_blocked()
        parked.go_on.set()
        assert (await all_of(stream)).startswith(b"HTTP/1.1 404 ")


async def test_what_follows_after_the_answer_does_not_take_it_away(replica: Replica) -> None:
    """A client that has not read the answer and goes on sending still gets it: no reset overtakes it."""
    stream = await replica.connect()
    async with stream:
        with trio.fail_after(DEADLINE_S):
            await stream.send_all(b"GET /v2/" + CLOSE + b"\r\n")
            await replica.ended.receive()
            await trio.testing.wait_all_tasks_blocked()
            for _ in range(10):
                await stream.send_all(b"\r\n")
                await trio.testing.wait_all_tasks_blocked()
        assert (await all_of(stream)).startswith(b"HTTP/1.1 200 ")


@pytest.mark.parametrize("version", ["TLSv1_2", "TLSv1_3"])
async def test_with_tls_it_does_not_either(version: str, nursery: trio.Nursery, tmp_path: Path) -> None:
    """Our side ends with `close_notify`; what still comes is taken, so that no reset overtakes the answer."""
    certificate, key = write_certificate(tmp_path)
    config = ServerConfig()
    config.certfile, config.keyfile = str(certificate), str(key)
    context = ssl.create_default_context(cafile=str(certificate))
    context.maximum_version = ssl.TLSVersion[version]
    async with serving(nursery, config=config) as replica:
        stream = await trio.open_ssl_over_tcp_stream("127.0.0.1", replica.port, ssl_context=context)
        with trio.fail_after(DEADLINE_S):
            await stream.send_all(b"GET /v2/" + CLOSE + b"\r\n")
            await replica.ended.receive()
            await trio.testing.wait_all_tasks_blocked()
            for _ in range(10):
                await stream.send_all(b"\r\n")
                await trio.testing.wait_all_tasks_blocked()
            received = b"".join([bytes(piece) async for piece in stream])  # an end without a word raises here
            assert received.startswith(b"HTTP/1.1 200 ")
            await stream.transport_stream.aclose()


async def test_empty_lines_between_requests_are_ignored(replica: Replica) -> None:
    """Old clients send one behind a body."""
    stream = await replica.connect()
    request = b"POST " + UPLOADS.encode() + b" HTTP/1.1\r\nHost: replica\r\nContent-Length: 0\r\n\r\n\r\n"
    async with stream:
        await stream.send_all(b"\r\n" + request + request + b"GET /v2/" + CLOSE + b"\r\n")
        received = await all_of(stream)
    assert [part[:3] for part in received.split(b"HTTP/1.1 ")[1:]] == [b"202", b"202", b"200"]
