"""Certificates that are renewed while a replica serves, on real TLS connections."""

from __future__ import annotations

import json
import os
import shutil
import ssl
from dataclasses import replace
from typing import TYPE_CHECKING, Literal

import pytest
import trio
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from structlog.testing import capture_logs

from tests.unit.test_listening import new_listening
from tests.unit.web.authorities import anonymous
from tests.unit.web.certificates import write_certificate
from zotpy.bell import Bell
from zotpy.listening import bind, listen
from zotpy.settings import HttpSettings
from zotpy.startup import StartupError
from zotpy.watching import LOOK_INTERVAL_S

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from trio.testing import MockClock

DEADLINE_S = 60.0


def fresh(directory: Path, name: str) -> Path:
    """Make a pair in a directory of its own, and return that."""
    made = directory / name
    made.mkdir()
    write_certificate(made)
    return made


def serial(certificate: bytes) -> int:
    """Read the number of a certificate, in PEM or DER."""
    is_text = certificate.startswith(b"-----")
    return (x509.load_pem_x509_certificate if is_text else x509.load_der_x509_certificate)(certificate).serial_number


def serial_in(directory: Path) -> int:
    """Read the number of the certificate in a directory."""
    return serial((directory / "cert.pem").read_bytes())


def copied(source: Path, target: Path) -> None:
    """Write over both files, the certificate first, as simple tools do."""
    for name in ("cert.pem", "key.pem"):
        shutil.copyfile(source / name, target / name)


def renamed(source: Path, target: Path) -> None:
    """Put new files in the place of the old ones, as careful tools do."""
    for name in ("cert.pem", "key.pem"):
        shutil.copyfile(source / name, target / f"new-{name}")
        (target / f"new-{name}").rename(target / name)


class Secure:
    """A replica that speaks TLS."""

    def __init__(self, cert: Path, key: Path) -> None:
        """Have it use these files."""
        self.settings = HttpSettings(port=0, tls_cert=cert, tls_key=key)
        self.bell = Bell()
        self.port = 0

    async def run(self, task_status: trio.TaskStatus[None]) -> None:
        """Listen until cancelled."""
        listening = await new_listening()

        def tell(binds: list[str]) -> None:
            self.port = int(binds[0].rpartition(":")[2])
            task_status.started()

        async def until_stopped() -> bool:
            await trio.sleep_forever()
            return True

        await listen(listening.app, listening.health, self.settings, until_stopped, tell, bell=self.bell)

    async def connect(self, name: str | None = None) -> trio.SSLStream[trio.SocketStream]:
        """Make a connection, naming the server or not."""
        context = ssl.create_default_context()
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        plain = await trio.open_tcp_stream("127.0.0.1", self.port)
        stream = trio.SSLStream(plain, context, server_hostname=name, https_compatible=True)
        await stream.do_handshake()
        return stream

    async def shown(self, name: str | None = None) -> int:
        """Return the number of the certificate that a new connection gets."""
        async with await self.connect(name) as stream:
            der = stream.getpeercert(binary_form=True)
            assert der is not None
            return serial(der)

    async def until_shown(self, wanted: int) -> None:
        """Ring until it is seen; threads read the files."""
        with trio.fail_after(DEADLINE_S):
            while await self.shown() != wanted:
                self.bell.ring()
                await trio.sleep(0.01)


@pytest.mark.parametrize("renew", [copied, renamed])
async def test_every_new_connection_gets_the_new_certificate(
    nursery: trio.Nursery, tmp_path: Path, renew: Callable[[Path, Path], None]
) -> None:
    """Whether clients name the server or not; a connection that was open goes on."""
    live, new = fresh(tmp_path, "live"), fresh(tmp_path, "new")
    secure = Secure(live / "cert.pem", live / "key.pem")
    await nursery.start(secure.run)
    assert await secure.shown() == await secure.shown("registry.example") == serial_in(live)
    async with await secure.connect() as stream:
        renew(new, live)
        await secure.until_shown(serial_in(new))
        for _ in range(5):
            assert await secure.shown() == await secure.shown("registry.example") == serial_in(new)
        await stream.send_all(b"GET /livez HTTP/1.1\r\nHost: z\r\n\r\n")
        assert (await stream.receive_some()).startswith(b"HTTP/1.1 200")
    nursery.cancel_scope.cancel()


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "PUT"])
async def test_plain_http_is_answered_with_what_is_wrong(nursery: trio.Nursery, tmp_path: Path, method: str) -> None:
    """The client learns that the port speaks HTTPS, also if it sent a body, and the replica goes on."""
    live = fresh(tmp_path, "live")
    secure = Secure(live / "cert.pem", live / "key.pem")
    await nursery.start(secure.run)
    async with await trio.open_tcp_stream("127.0.0.1", secure.port) as stream:
        await stream.send_all(f"{method} /v2/ HTTP/1.1\r\nHost: z\r\n\r\n".encode() + bytes(200_000))
        answer = b"".join([bytes(piece) async for piece in stream])
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 400 ")
    assert b"content-length: %d" % len(body) in head.splitlines()
    [error] = json.loads(body)["errors"]
    assert error["code"] == "UNSUPPORTED"
    assert "this port speaks HTTPS" in error["message"]
    assert await secure.shown() == serial_in(live)
    nursery.cancel_scope.cancel()


@pytest.mark.parametrize("sent", [b"PRI * HTTP/2.0\r\n\r\n", b"SSH-2.0-x\r\n", b"\x00" * 100])
async def test_other_bytes_without_tls_end_the_connection(nursery: trio.Nursery, tmp_path: Path, sent: bytes) -> None:
    """A client that speaks neither TLS nor HTTP gets at most an alert of TLS."""
    live = fresh(tmp_path, "live")
    secure = Secure(live / "cert.pem", live / "key.pem")
    await nursery.start(secure.run)
    async with await trio.open_tcp_stream("127.0.0.1", secure.port) as stream:
        await stream.send_all(sent)
        assert b"HTTP" not in b"".join([bytes(piece) async for piece in stream])
    nursery.cancel_scope.cancel()


async def test_a_link_that_kubernetes_leads_elsewhere_is_a_renewal(nursery: trio.Nursery, tmp_path: Path) -> None:
    """A secret is mounted as links through `..data`, which is swapped for another in one step."""
    first, second = fresh(tmp_path, "..1"), fresh(tmp_path, "..2")
    (tmp_path / "..data").symlink_to(first.name)
    for name in ("cert.pem", "key.pem"):
        (tmp_path / name).symlink_to(f"..data/{name}")
    secure = Secure(tmp_path / "cert.pem", tmp_path / "key.pem")
    await nursery.start(secure.run)
    assert await secure.shown() == serial_in(first)
    (tmp_path / "..data_tmp").symlink_to(second.name)
    os.rename(tmp_path / "..data_tmp", tmp_path / "..data")  # noqa: PTH104 - as kubelet does it
    await secure.until_shown(serial_in(second))
    nursery.cancel_scope.cancel()


async def test_nobody_has_to_ring(nursery: trio.Nursery, tmp_path: Path, mock_clock: MockClock) -> None:
    """The files are looked at every few seconds, well within a minute."""
    live, new = fresh(tmp_path, "live"), fresh(tmp_path, "new")
    secure = Secure(live / "cert.pem", live / "key.pem")
    await nursery.start(secure.run)
    old = serial_in(live)
    copied(new, live)
    assert await secure.shown() == old
    mock_clock.jump(LOOK_INTERVAL_S)
    mock_clock.rate = 1.0
    with trio.fail_after(DEADLINE_S):
        while await secure.shown() != serial_in(new):  # noqa: ASYNC110 - nobody tells us
            await trio.sleep(0.01)
    assert LOOK_INTERVAL_S <= 20
    nursery.cancel_scope.cancel()


async def test_a_bad_pair_keeps_the_old_one_and_is_said_once(nursery: trio.Nursery, tmp_path: Path) -> None:
    """A key of another certificate, a file cut short, a missing one: each is one line, and a good pair ends it."""
    live, new = fresh(tmp_path, "live"), fresh(tmp_path, "new")
    old = serial_in(live)
    secure = Secure(live / "cert.pem", live / "key.pem")
    await nursery.start(secure.run)
    whole = (new / "cert.pem").read_bytes()
    for content in (whole, whole[:100], None):
        with capture_logs() as logs:
            if content is None:
                (live / "cert.pem").unlink()
            else:
                (live / "other.pem").write_bytes(content)
                (live / "other.pem").replace(live / "cert.pem")  # at once, as a look may be under way
            with trio.fail_after(DEADLINE_S):
                while not logs:
                    secure.bell.ring()
                    await trio.sleep(0.01)
            for _ in range(20):
                secure.bell.ring()
                assert await secure.shown() == old
        assert [line["event"] for line in logs] == ["certificate_not_renewed"]
        assert logs[0]["reason"]
    copied(new, live)
    await secure.until_shown(serial_in(new))
    nursery.cancel_scope.cancel()


@pytest.mark.parametrize(("oldest", "is_served"), [("1.2", True), ("1.3", False)])
async def test_clients_of_an_older_tls_are_refused(
    nursery: trio.Nursery, tmp_path: Path, oldest: Literal["1.2", "1.3"], *, is_served: bool
) -> None:
    """At the handshake, and also after a renewal. TLS 1.3 is always spoken."""
    live, new = fresh(tmp_path, "live"), fresh(tmp_path, "new")
    secure = Secure(live / "cert.pem", live / "key.pem")
    secure.settings = replace(secure.settings, tls_min_version=oldest)
    await nursery.start(secure.run)
    copied(new, live)
    await secure.until_shown(serial_in(new))
    context = anonymous()
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    async with trio.SSLStream(await trio.open_tcp_stream("127.0.0.1", secure.port), context) as stream:
        if is_served:
            await stream.do_handshake()
        else:
            with pytest.raises(trio.BrokenResourceError):
                await stream.do_handshake()
    nursery.cancel_scope.cancel()


def test_a_start_with_a_bad_pair_is_refused_in_words(tmp_path: Path) -> None:
    """Both files are named."""
    live, new = fresh(tmp_path, "live"), fresh(tmp_path, "new")
    with pytest.raises(StartupError, match=r"live/cert\.pem and .*new/key\.pem cannot be used: .*MISMATCH"):
        bind(HttpSettings(port=0, tls_cert=live / "cert.pem", tls_key=new / "key.pem"))


def test_a_key_with_a_password_is_refused_and_asks_nobody(tmp_path: Path) -> None:
    """OpenSSL alone would ask at the terminal, and the replica would wait for an answer."""
    live = fresh(tmp_path, "live")
    key = serialization.load_pem_private_key((live / "key.pem").read_bytes(), None)
    locked = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.BestAvailableEncryption(b"word")
    )
    (live / "key.pem").write_bytes(locked)
    with pytest.raises(StartupError, match="cannot be used"):
        bind(HttpSettings(port=0, tls_cert=live / "cert.pem", tls_key=live / "key.pem"))
