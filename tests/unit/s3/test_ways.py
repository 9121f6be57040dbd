"""Ways to a service: TLS, with an authority of one's own, and IPv6."""

from __future__ import annotations

import ssl
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

import certifi
import pytest
import trio

from tests.unit.s3.scripted import AT_ONCE, Reply, ScriptedServer
from tests.unit.web.certificates import write_certificate
from zotpy.s3.client import Request, open_client
from zotpy.s3.errors import S3Unavailable
from zotpy.store.interface import StoreError
from zotpy.store.opening import open_s3_store

if TYPE_CHECKING:
    from pathlib import Path

    from zotpy.s3.config import S3Config

BODY = bytes(range(256)) * 12 * 1024
"""More than is encrypted at once."""


async def put(config: S3Config) -> None:
    """Make a call with a body."""
    async with open_client(config) as client:
        await client.call(Request("PutObject", "PUT", "key", body=BODY, checksum=True))


@pytest.fixture
async def secure(nursery: trio.Nursery, tmp_path: Path) -> tuple[ScriptedServer, S3Config, Path]:
    """Return a service whose certificate no public authority has signed, how it is reached, and its certificate."""
    certificate, key = write_certificate(tmp_path)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate, key)
    server = await ScriptedServer([Reply()]).start(nursery, tls=context)
    endpoint = f"https://127.0.0.1:{server.port}"
    return server, replace(server.config(retry=replace(AT_ONCE, attempts=2)), endpoint=endpoint), certificate


async def test_an_authority_of_ones_own_is_named_by_a_variable(
    secure: tuple[ScriptedServer, S3Config, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """SSL_CERT_FILE holds the certificates to trust, and every byte arrives."""
    server, config, certificate = secure
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    await put(config)
    assert [seen.body for seen in server.seen] == [BODY]


async def test_an_authority_of_ones_own_is_configured(
    secure: tuple[ScriptedServer, S3Config, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its file counts for the bucket's service, whatever the variable says."""
    server, config, certificate = secure
    monkeypatch.setenv("SSL_CERT_FILE", certifi.where())
    await put(replace(config, ca_bundle=certificate))
    assert [seen.body for seen in server.seen] == [BODY]


async def test_a_file_without_certificates_is_named(secure: tuple[ScriptedServer, S3Config, Path]) -> None:
    """The operator reads which file holds none."""
    server, config, certificate = secure
    key = certificate.with_name("key.pem")
    with pytest.raises(StoreError, match=f"{key} holds no usable certificates"):
        async with open_s3_store(replace(config, ca_bundle=key)):
            pass
    assert server.seen == []


async def test_a_certificate_that_nobody_vouches_for_is_named_as_the_reason(
    secure: tuple[ScriptedServer, S3Config, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The operator reads what TLS found wrong, and nothing was sent; with `verify_tls` off it is."""
    server, config, _ = secure
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    with pytest.raises(S3Unavailable, match=r"127\.0\.0\.1 is not trusted \(self.signed .*cabundle"):
        await put(config)
    assert server.seen == []
    await put(replace(config, skip_verify=True))
    assert [seen.body for seen in server.seen] == [BODY]


async def test_a_certificate_for_another_name_is_refused(
    secure: tuple[ScriptedServer, S3Config, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A trusted certificate vouches for the names in it only."""
    server, config, certificate = secure
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    with pytest.raises(S3Unavailable, match="certificate of localhost is for other names"):
        await put(replace(config, endpoint=f"https://localhost:{server.port}"))
    assert server.seen == []


async def test_an_address_of_ipv6_is_an_endpoint(nursery: trio.Nursery) -> None:
    """It stands in brackets in the URL and in the Host header, which is signed."""
    server = await ScriptedServer([Reply()]).start(nursery, "::1")
    await put(replace(server.config(), endpoint=f"http://[::1]:{server.port}"))
    (seen,) = server.seen
    assert seen.headers["host"] == f"[::1]:{server.port}"
    assert seen.body == BODY


async def test_a_service_that_is_not_there_is_named_as_the_reason(nursery: trio.Nursery) -> None:
    """A person reads where nobody listens."""
    server = await ScriptedServer([Reply()]).start(nursery)
    with pytest.raises(S3Unavailable, match=r"ConnectError .*127\.0\.0\.2"):
        await put(replace(server.config(), endpoint=f"http://127.0.0.2:{server.port}"))


async def test_a_service_without_tls_is_named_as_the_reason(nursery: trio.Nursery) -> None:
    """A person reads what to write: many services speak plain HTTP, and an endpoint without a scheme means https."""

    async def refuse(stream: trio.SocketStream) -> None:
        await stream.receive_some()
        await stream.send_all(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")

    (listener,) = await nursery.start(partial(trio.serve_tcp, refuse, 0, host="127.0.0.1"))
    server = ScriptedServer([])
    config = replace(server.config(), endpoint=f"https://127.0.0.1:{listener.socket.getsockname()[1]}")
    with pytest.raises(S3Unavailable, match=r"127\.0\.0\.1 does not speak TLS at this port: .*write http://"):
        await put(config)
    nursery.cancel_scope.cancel()
