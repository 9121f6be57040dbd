"""What is no request of HTTP/1.1, and what asks to go on with another protocol."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import h11
import pytest
import trio

from tests.unit.web.passing import passing_time
from tests.unit.web.raw import RawClient, connect
from tests.unit.web.serving import serving
from zotpy.http.server.hypercorn_config import ServerConfig

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from trio.testing import MockClock

    from tests.unit.web.serving import Replica

KEEP_ALIVE_S = 5.0
HOST = b"Host: replica\r\n"
PUSH = b"POST /v2/team/app/blobs/uploads/ HTTP/1.1\r\n" + HOST
WEBSOCKET = {"Upgrade": "websocket", "Connection": "Upgrade"}


@pytest.fixture
async def impatient(nursery: trio.Nursery) -> AsyncIterator[Replica]:
    """Return a replica that soon closes idle connections."""
    config = ServerConfig()
    config.keep_alive_timeout = KEEP_ALIVE_S
    config.h11_max_incomplete_size = 64 * 1024
    async with serving(nursery, config=config) as replica:
        yield replica


async def ends(client: RawClient, clock: MockClock) -> bool:
    """Wait for the end of a connection, while time passes."""
    async with passing_time(clock, KEEP_ALIVE_S):
        while await client.stream.receive_some():
            pass
    return True


@pytest.mark.parametrize(
    "headers",
    [
        {"Upgrade": "h2c", "Connection": "Upgrade, HTTP2-Settings", "HTTP2-Settings": "AAEAAEAAAAIAAAAB"},
        {"Upgrade": "h2c", "Connection": "Upgrade", "HTTP2-Settings": "!"},
        WEBSOCKET,
        WEBSOCKET | {"Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==", "Sec-WebSocket-Version": "13"},
        {"Upgrade": "something", "Connection": "Upgrade"},
    ],
)
async def test_an_upgrade_is_not_needed(impatient: Replica, mock_clock: MockClock, headers: dict[str, str]) -> None:
    """Java's client asks for h2c of itself: each request is answered by HTTP/1.1, and then its connection is idle."""
    client = await connect(impatient)
    async with client.stream:
        for _ in range(2):
            await client.begin("GET", "/v2/", None, **headers)
            client.http.send(h11.EndOfMessage())
            assert await client.receive() == (200, b"{}")
            client.http.start_next_cycle()
        assert await ends(client, mock_clock)


@pytest.mark.parametrize(
    "request_line",
    [b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"GET /v2/ HTTP/2.0\r\n" + HOST, b"GET /v2/ HTTP/9.9\r\n" + HOST],
)
async def test_another_version_is_refused(impatient: Replica, mock_clock: MockClock, request_line: bytes) -> None:
    """No client gets a connection whose stalls nobody sees, nor keeps one open that no time limit ends."""
    client = await connect(impatient)
    async with client.stream:
        await client.stream.send_all(request_line + b"\r\n")
        await refused(client, mock_clock, 505)


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400),
        (b"GET /v2/\r\n\r\n", 400),
        (b"GET /v2/ HTTP/1.1\r\n\r\n", 400),
        (b"GET /v2/ HTTP/1.1\r\n" + HOST + b"X: " + b"a" * (1024 * 1024), 431),
        (b"GET /v2/ HTTP/1.1\r\n" + HOST + b"X: " + b"a" * (65 * 1024) + b"\r\n\r\n", 431),
        (PUSH + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\n", 400),
        (PUSH + b"Content-Length: -1\r\n\r\n", 400),
        (PUSH + b"Transfer-Encoding: gzip, chunked\r\n\r\n", 501),
        (PUSH + b"Transfer-Encoding: chunked\r\n\r\nno length\r\n", 400),
    ],
)
async def test_what_is_no_request_is_told_so(
    impatient: Replica, mock_clock: MockClock, sent: bytes, status: int
) -> None:
    """The answer is the envelope of the spec, whatever was sent, and the end of the connection."""
    client = await connect(impatient)
    async with client.stream:
        try:
            await client.stream.send_all(sent)
        except trio.BrokenResourceError:
            assert status == 431, "only what is longer than a head may be is not read to its end"
        await refused(client, mock_clock, status)
    assert (await impatient.client.get("/v2/")).status_code == 200


async def refused(client: RawClient, clock: MockClock, status: int) -> None:
    """See that the connection ends with such an error."""
    client.http.send(h11.Request(method="GET", target="/", headers=[("Host", "replica")]))
    client.http.send(h11.EndOfMessage())
    answered, body = await client.receive()
    assert answered == status
    assert [error["code"] for error in json.loads(body)["errors"]] == ["UNSUPPORTED"]
    assert client.http.their_state in {h11.DONE, h11.CLOSED, h11.MUST_CLOSE}
    assert await ends(client, clock)
