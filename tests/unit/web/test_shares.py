"""However a body ends, its share of what the system holds goes back to the others.

Time passes only while a test lets it.
"""

from __future__ import annotations

import socket
import ssl
import struct
from dataclasses import replace
from typing import TYPE_CHECKING

import h11
import pytest
import trio
import trio.testing

from tests.unit.still_clock import STEP_S, passing
from tests.unit.web.certificates import write_certificate
from tests.unit.web.raw import RawClient, connect_narrow
from tests.unit.web.serving import REPO, SETTINGS, push_zeros, serving
from zotpy.core.units import KIB, MIB
from zotpy.http.server.hypercorn_config import ServerConfig

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from tests.unit.web.serving import Replica
    from zotpy.http.sockets import Shares

BEGUN_BYTES = 200 * KIB
"""Of a body: more than the first bytes, which are read as they come."""
LONG_BYTES = 16 * MIB
"""Of an answer: more than the system holds."""
IMPATIENT = replace(SETTINGS, upload=replace(SETTINGS.upload, body_idle_timeout_s=1.0))


def socket_of(client: RawClient) -> trio.SocketStream:
    """Return the connection below TLS."""
    stream = client.stream
    return stream.transport_stream if isinstance(stream, trio.SSLStream) else stream


async def leave(client: RawClient) -> None:
    """Close, with a word of farewell if there is one."""
    await client.stream.aclose()


async def half_close(client: RawClient) -> None:
    """Say that no more will come, and still read."""
    await socket_of(client).send_eof()


async def reset(client: RawClient) -> None:
    """Vanish."""
    opened = socket_of(client)
    opened.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    await opened.aclose()


async def send_rubbish(client: RawClient) -> None:
    """Send what is no TLS, or no chunk."""
    await socket_of(client).send_all(b"\r\nrubbish\r\n" * 10)


async def rest(client: RawClient) -> None:
    """Neither send nor read until it is too late."""
    del client


ENDS = [leave, half_close, reset, rest]


def configure(directory: Path, *, tls: bool) -> tuple[ServerConfig, ssl.SSLContext | None]:
    """Have a server that is impatient, and what its clients trust."""
    config = ServerConfig()
    config.send_stall_s = 1.0
    if not tls:
        return config, None
    certificate, key = write_certificate(directory)
    config.certfile, config.keyfile = str(certificate), str(key)
    return config, ssl.create_default_context(cafile=str(certificate))


async def until_shared(shares: Shares) -> None:
    """Wait until a body has a share."""
    while not shares.bodies:
        await trio.testing.wait_all_tasks_blocked()


async def until_given_back(shares: Shares, clock: trio.testing.MockClock) -> None:
    """Let time pass until no body has a share."""
    async with passing(clock):
        while shares.bodies:  # noqa: ASYNC110 - a counter wakes nobody
            await trio.sleep(STEP_S)


async def begin_body(replica: Replica, client: RawClient, framing: str) -> None:
    """Begin a chunk of an upload, of which more than the first bytes have come."""
    location = await replica.begin()
    if framing == "length":
        await client.begin("PATCH", location, LONG_BYTES)
    else:
        await client.begin("PATCH", location, None, Transfer_Encoding="chunked")
    await client.send(BEGUN_BYTES)
    await until_shared(replica.config.receiving)


@pytest.mark.parametrize("tls", [False, True])
@pytest.mark.parametrize("framing", ["length", "chunked"])
@pytest.mark.parametrize("end", [*ENDS, send_rubbish])
async def test_a_body_that_is_cut_gives_its_share_back(
    end: Callable[[RawClient], Awaitable[None]],
    framing: str,
    tls: bool,  # noqa: FBT001
    nursery: trio.Nursery,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    mock_clock: trio.testing.MockClock,
) -> None:
    """Whoever cuts it, and whether or not the client learns of it."""
    monkeypatch.setattr("zotpy.http.server.sending.LINGER_S", 0.1)
    if end is send_rubbish and framing == "length" and not tls:
        pytest.skip("any bytes are a body")
    config, trusted = configure(tmp_path, tls=tls)
    async with serving(nursery, IMPATIENT, config) as replica:
        client = await connect_narrow(replica.port, trusted)
        async with client.stream:
            await begin_body(replica, client, framing)
            await end(client)
            await until_given_back(config.receiving, mock_clock)


@pytest.mark.parametrize("tls", [False, True])
@pytest.mark.parametrize("framing", ["length", "chunked"])
async def test_a_whole_body_gives_its_share_back_while_its_connection_goes_on(
    framing: str,
    tls: bool,  # noqa: FBT001
    nursery: trio.Nursery,
    tmp_path: Path,
) -> None:
    """The next request on it waits for nothing."""
    config, trusted = configure(tmp_path, tls=tls)
    async with serving(nursery, SETTINGS, config) as replica:
        client = await connect_narrow(replica.port, trusted)
        async with client.stream:
            for _ in range(2):
                await begin_body(replica, client, framing)
                await client.send(LONG_BYTES - BEGUN_BYTES)
                await client.stream.send_all(client.http.send(h11.EndOfMessage()) or b"")
                assert (await client.receive())[0] == 202
                client.http.start_next_cycle()
                assert config.receiving.bodies == 0
                await client.begin("GET", "/v2/", None)
                client.http.send(h11.EndOfMessage())
                assert (await client.receive())[0] == 200
                client.http.start_next_cycle()


@pytest.mark.parametrize("framing", ["length", "chunked"])
async def test_a_server_that_is_cancelled_leaves_no_share(
    framing: str, tmp_path: Path, mock_clock: trio.testing.MockClock
) -> None:
    """It leaves none even if its connections are gathering."""
    config, _ = configure(tmp_path, tls=False)
    async with trio.open_nursery() as ours, serving(ours, SETTINGS, config) as replica:
        client = await connect_narrow(replica.port)
        async with client.stream:
            await begin_body(replica, client, framing)
            ours.cancel_scope.cancel()
            with trio.CancelScope(shield=True):
                await until_given_back(config.receiving, mock_clock)


@pytest.mark.parametrize("tls", [False, True])
@pytest.mark.parametrize("end", ENDS)
async def test_an_answer_that_is_cut_gives_its_share_back(
    end: Callable[[RawClient], Awaitable[None]],
    tls: bool,  # noqa: FBT001
    nursery: trio.Nursery,
    tmp_path: Path,
    mock_clock: trio.testing.MockClock,
) -> None:
    """A client that says that no more will come is taken for one that has left."""
    config, trusted = configure(tmp_path, tls=tls)
    async with serving(nursery, SETTINGS, config) as replica:
        digest = await push_zeros(replica, LONG_BYTES)
        client = await connect_narrow(replica.port, trusted)
        async with client.stream:
            await client.begin("GET", f"/v2/{REPO}/blobs/{digest}", None)
            client.http.send(h11.EndOfMessage())
            await until_shared(config.sending)
            await end(client)
            await until_given_back(config.sending, mock_clock)


@pytest.mark.parametrize("tls", [False, True])
async def test_a_whole_answer_gives_its_share_back(
    nursery: trio.Nursery,
    tmp_path: Path,
    tls: bool,  # noqa: FBT001
    mock_clock: trio.testing.MockClock,
) -> None:
    """Several times on one connection."""
    config, trusted = configure(tmp_path, tls=tls)
    async with serving(nursery, SETTINGS, config) as replica:
        digest = await push_zeros(replica, LONG_BYTES)
        client = await connect_narrow(replica.port, trusted)
        async with client.stream:
            for _ in range(2):
                await client.begin("GET", f"/v2/{REPO}/blobs/{digest}", None)
                client.http.send(h11.EndOfMessage())
                await until_shared(config.sending)
                status, body = await client.receive()
                assert (status, len(body)) == (200, LONG_BYTES)
                await until_given_back(config.sending, mock_clock)
                client.http.start_next_cycle()
