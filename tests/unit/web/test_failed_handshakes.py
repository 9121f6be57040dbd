"""The log says why TLS with a client could not begin, in a few lines, whatever clients do."""

from __future__ import annotations

import socket
import ssl
import struct
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest
import trio
from structlog.testing import capture_logs

from tests.unit.web.authorities import Authority, anonymous
from tests.unit.web.certificates import write_certificate
from tests.unit.web.serving import serving
from zotpy.http.server.handshakes import LATE, LEFT, NO_TLS, OTHER, QUIET_S, REFUSED, UNTRUSTED, VERSION, why
from zotpy.http.server.hypercorn_config import ServerConfig

if TYPE_CHECKING:
    from collections.abc import Callable, MutableMapping
    from pathlib import Path
    from typing import Any

    from trio.testing import MockClock

    Lines = list[MutableMapping[str, Any]]
HELLO = b"\x16\x03\x01\x02\x00\x01\x00"
"""The beginning of a handshake."""


def failed(logs: Lines) -> Lines:
    """Return the lines about handshakes."""
    return [line for line in logs if line["event"] == "tls_handshake_failed"]


async def until_closed(stream: trio.SocketStream) -> None:
    """Wait until the replica has closed: by then the log has its line."""
    await stream.send_eof()
    async for _ in stream:
        pass


def fail(port: int, context: ssl.SSLContext) -> None:
    """Fail in the handshake, or in the first read where TLS 1.3 says no more in the handshake. Wait for the end."""
    with (
        socket.create_connection(("127.0.0.1", port)) as plain,
        suppress(OSError),
        context.wrap_socket(plain, server_hostname="127.0.0.1") as secured,
    ):
        while secured.recv(1024):
            pass


async def until_connections(config: ServerConfig, count: int) -> None:
    """Wait until so many connections are here, and their tasks rest."""
    assert config.admission is not None
    while config.admission.connections != count:  # noqa: ASYNC110 - nobody tells us
        await trio.sleep(0.01)
    await trio.testing.wait_all_tasks_blocked(0.01)


async def with_bytes(port: int, sent: bytes) -> None:
    """Send these and nothing more."""
    async with await trio.open_tcp_stream("127.0.0.1", port) as stream:
        await stream.send_all(sent)
        await until_closed(stream)


def old() -> ssl.SSLContext:
    """Return what speaks nothing newer than TLS 1.2."""
    context = anonymous()
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    return context


def secure(directory: Path, oldest: str = "1.2") -> ServerConfig:
    """Return a server that asks for certificates of an authority."""
    config = ServerConfig()
    config.use_certificate(*write_certificate(directory), Authority("Ours").write(directory / "ca.pem"), oldest)
    return config


def stranger(directory: Path) -> ssl.SSLContext:
    """Return what shows a certificate of another authority."""
    return Authority("Others").issue(("CN", "alice")).context(directory)


@pytest.mark.parametrize(
    ("context", "reason", "detail"),
    [
        (lambda _: ssl.create_default_context(), UNTRUSTED, "UNKNOWN_CA"),
        (lambda _: old(), VERSION, "UNSUPPORTED_PROTOCOL"),
        (stranger, REFUSED, "unable to get local issuer certificate"),
    ],
)
async def test_a_handshake_that_fails_is_a_line_with_its_reason(
    nursery: trio.Nursery, tmp_path: Path, context: Callable[[Path], ssl.SSLContext], reason: str, detail: str
) -> None:
    """It says what OpenSSL says, and who was at the other end."""
    config = secure(tmp_path, "1.3")
    with capture_logs() as logs:
        async with serving(nursery, config=config) as replica:
            await trio.to_thread.run_sync(fail, replica.client.base_url.port or 0, context(tmp_path))
            await until_connections(config, 0)
    [line] = failed(logs)
    assert (line["reason"], line["peer"], line["times"]) == (reason, "127.0.0.1", 1)
    assert detail in line["detail"]


@pytest.mark.parametrize(
    ("sent", "reason"),
    [
        (b"GET /v2/ HTTP/1.1\r\nHost: z\r\n\r\n", NO_TLS),
        (b"SSH-2.0-x\r\n", OTHER),
        (HELLO, LEFT),
    ],
)
async def test_bytes_that_are_no_handshake_are_a_line(
    nursery: trio.Nursery, tmp_path: Path, sent: bytes, reason: str
) -> None:
    """Also if the client leaves in the middle of it."""
    with capture_logs() as logs:
        async with serving(nursery, config=secure(tmp_path)) as replica:
            await with_bytes(replica.client.base_url.port or 0, sent)
    assert [line["reason"] for line in failed(logs)] == [reason]


async def test_a_reset_in_the_handshake_is_a_line(nursery: trio.Nursery, tmp_path: Path) -> None:
    """The peer is named, although the system no longer knows it."""
    config = secure(tmp_path)
    with capture_logs() as logs:
        async with serving(nursery, config=config) as replica:
            stream = await trio.open_tcp_stream("127.0.0.1", replica.client.base_url.port or 0)
            await stream.send_all(HELLO)
            await until_connections(config, 1)
            stream.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            await stream.aclose()
            await until_connections(config, 0)
    assert [(line["reason"], line["peer"]) for line in failed(logs)] == [(LEFT, "127.0.0.1")]


async def test_a_slow_handshake_is_a_line(nursery: trio.Nursery, tmp_path: Path, mock_clock: MockClock) -> None:
    """After the time that a head may take."""
    config = secure(tmp_path)
    with capture_logs() as logs:
        async with (
            serving(nursery, config=config) as replica,
            await trio.open_tcp_stream("127.0.0.1", replica.client.base_url.port or 0) as stream,
        ):
            await stream.send_all(HELLO)
            mock_clock.rate = 1.0
            await until_connections(config, 1)
            mock_clock.jump(config.head_timeout_s)
            async for _ in stream:
                pass
    assert [line["reason"] for line in failed(logs)] == [LATE]


async def test_a_client_that_sends_nothing_leaves_no_line(nursery: trio.Nursery, tmp_path: Path) -> None:
    """A probe opens a connection and closes it."""
    with capture_logs() as logs:
        async with serving(nursery, config=secure(tmp_path)) as replica:
            await with_bytes(replica.client.base_url.port or 0, b"")
    assert failed(logs) == []


async def test_many_failures_are_few_lines(nursery: trio.Nursery, tmp_path: Path, mock_clock: MockClock) -> None:
    """One for each reason, and after a minute the next one has their number."""
    with capture_logs() as logs:
        async with serving(nursery, config=secure(tmp_path)) as replica:
            port = replica.client.base_url.port or 0
            for _ in range(40):
                await with_bytes(port, b"SSH-2.0-x\r\n")
                await with_bytes(port, HELLO)
            assert [(line["reason"], line["times"]) for line in failed(logs)] == [(OTHER, 1), (LEFT, 1)]
            mock_clock.jump(QUIET_S)
            await with_bytes(port, b"SSH-2.0-x\r\n")
    assert [(line["reason"], line["times"]) for line in failed(logs)][2:] == [(OTHER, 40)]


async def test_a_client_that_leaves_at_once_after_the_handshake_leaves_no_line(
    nursery: trio.Nursery, tmp_path: Path
) -> None:
    """A probe of TLS does so, perhaps before the replica has sent its tickets."""
    config, context = secure(tmp_path), anonymous()

    def probe(port: int) -> None:
        for _ in range(50):
            plain = socket.create_connection(("127.0.0.1", port))
            plain.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            context.wrap_socket(plain).close()

    with capture_logs() as logs:
        async with serving(nursery, config=config) as replica:
            await trio.to_thread.run_sync(probe, replica.client.base_url.port or 0)
            await until_connections(config, 0)
    assert failed(logs) == []


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("TLSV1_ALERT_UNKNOWN_CA", UNTRUSTED),
        ("SSL/TLS_ALERT_CERTIFICATE_EXPIRED", UNTRUSTED),
        ("SSLV3_ALERT_HANDSHAKE_FAILURE", VERSION),
        ("TLSV1_ALERT_USER_CANCELLED", OTHER),
        ("NO_SHARED_CIPHER", VERSION),
        ("WHATEVER_COMES_NEXT", OTHER),
        (None, OTHER),
    ],
)
def test_what_openssl_says_is_one_of_few_reasons(name: str | None, reason: str) -> None:
    """So whatever a client sends, there are no more lines in a minute than reasons."""
    error = ssl.SSLError(1, "x")
    error.reason = name  # type: ignore[assignment]  # as OpenSSL leaves it without one
    assert why(error)[0] == reason
