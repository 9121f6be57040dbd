"""An upstream with TLS: whose certificate is trusted, and which one is shown to it (`tlsVerify`, `certDir`)."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING, Any

import pytest
import trio
from cryptography.hazmat.primitives import serialization

from tests.unit.mirror.support import HERE, LAYER, TAG_HERE, give, image, mirrored, mirroring
from tests.unit.s3.scripted import Reply
from tests.unit.upstream.upstreams import BLOB, BLOB_PATH, read, running
from tests.unit.web.certificates import write_certificate
from zotpy.settings.upstream import UpstreamSettings
from zotpy.upstream import UpstreamUnavailable, open_upstream
from zotpy.upstream.trust import tls_context

if TYPE_CHECKING:
    from pathlib import Path

    from tests.unit.upstream.upstreams import Upstream


@pytest.fixture
def server(tmp_path: Path) -> ssl.SSLContext:
    """Return a server's side with a certificate that signs itself, in the directory `server`."""
    (tmp_path / "server").mkdir()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*write_certificate(tmp_path / "server"))
    return context


@pytest.fixture
def trusting(tmp_path: Path, server: ssl.SSLContext) -> Path:
    """Return a `certDir` with the upstream's certificate as an authority, and a file that is none of ours."""
    del server  # it has written the certificate
    directory = tmp_path / "certs"
    directory.mkdir()
    (directory / "authority.crt").write_bytes((tmp_path / "server" / "cert.pem").read_bytes())
    (directory / "README").write_text("no certificate")
    return directory


def show(directory: Path, elsewhere: Path) -> Path:
    """Let a `certDir` have a certificate of ours, and return a copy of it for the server."""
    elsewhere.mkdir()
    certificate, key = write_certificate(elsewhere)
    (directory / "client.cert").write_bytes(certificate.read_bytes())
    (directory / "client.key").write_bytes(key.read_bytes())
    return certificate


async def assert_refused(upstream: Upstream, why: str = "", **settings: Any) -> None:
    """See that no request is sent."""
    with pytest.raises(UpstreamUnavailable, match=f"cannot be reached, or breaks off: {why}"):
        async with upstream.client(**settings) as client:
            await read(client)
    assert upstream.asked == []


async def test_whose_certificate_is_trusted(server: ssl.SSLContext, trusting: Path) -> None:
    """That of the machine's authorities, or also of those in the directory, or without `tlsVerify` any."""
    async with running(server) as upstream:
        upstream.scripts[BLOB_PATH] = [Reply(200, BLOB)]
        await assert_refused(upstream, ".* is not trusted .*: name its authority in certDir .*--cert-dir")
        for settings in ({"certificates": trusting}, {"tls_verify": False}):
            async with upstream.client(**settings) as client:
                assert await read(client) == BLOB


async def test_an_upstream_that_wants_to_see_a_certificate(
    server: ssl.SSLContext, trusting: Path, tmp_path: Path
) -> None:
    """It sees ours, and nobody else reads."""
    server.verify_mode = ssl.CERT_REQUIRED
    async with running(server) as upstream:
        upstream.scripts[BLOB_PATH] = [Reply(200, BLOB)]
        server.load_verify_locations(show(trusting, tmp_path / "ours"))
        async with upstream.client(certificates=trusting) as client:
            assert await read(client) == BLOB
        upstream.seen.clear()
        show(trusting, tmp_path / "others")
        await assert_refused(upstream, certificates=trusting)


async def test_a_mirror_of_an_upstream_with_tls(server: ssl.SSLContext, trusting: Path) -> None:
    """Its blobs are streamed as those of any other one."""
    async with running(server) as upstream, trio.open_nursery() as nursery:
        give(upstream, image())
        async with mirroring(nursery, [mirrored(upstream.url, cert_dir=trusting)]) as replica:
            assert (await replica.client.get(TAG_HERE)).content == image()
            assert (await replica.client.get(HERE)).content == LAYER
        nursery.cancel_scope.cancel()


def damage(directory: Path, problem: str) -> None:
    """Make a directory with a certificate of ours unusable."""
    key = directory / "client.key"
    if problem == "no certificate":
        (directory / "other.crt").write_text(problem)
    elif problem == "its key client.key is missing":
        key.unlink()
    else:
        private = serialization.load_pem_private_key(key.read_bytes(), None)
        locked = serialization.BestAvailableEncryption(b"secret")
        formats = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
        key.write_bytes(private.private_bytes(*formats, locked))


@pytest.mark.parametrize(
    ("problem", "named"),
    [
        ("no certificate", "other.crt: "),
        ("its key client.key is missing", "client.cert: its key client.key is missing"),
        ("its key has a password", "client.cert: its key has a password: store it without one"),
    ],
)
async def test_a_directory_that_cannot_be_used(trusting: Path, tmp_path: Path, problem: str, named: str) -> None:
    """The error names the file. Nobody is asked at a terminal for the password of a key."""
    show(trusting, tmp_path / "ours")
    settings = UpstreamSettings(url="https://registry.example", certificates=trusting)
    tls_context(settings)
    damage(trusting, problem)
    with pytest.raises(ValueError, match=named):
        async with open_upstream(settings):
            pass
