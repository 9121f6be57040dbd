"""Every client pulls large blobs straight from the bucket, which it knows by another name than the replica does."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import httpx
import pytest

from tests.blackbox.cluster import Replica
from tests.blackbox.images import Layer, Layout, stored_blobs
from tests.blackbox.registry_api import digest_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.blackbox.clients import Client
    from tests.servers import Bucket

INLINE_BYTES = 64 * 1024


@pytest.fixture(scope="module")
def replica(bucket: Bucket, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Replica]:
    """Return a replica that redirects to the bucket by the name `localhost`."""
    redirect = {"redirect": True, "redirectendpoint": outside(bucket.endpoint), "redirectexpiry": "5m"}
    replica = Replica(0, bucket, "redirected", tmp_path_factory.mktemp("redirect"), redirect)
    try:
        replica.start()
        yield replica
    finally:
        replica.process.stop()


@pytest.fixture
def registry(replica: Replica) -> str:
    """Return the address that clients are given."""
    return f"127.0.0.1:{replica.port}"


@pytest.fixture
def reference(crane: Client, registry: str, repository: str, image: Layout) -> str:
    """Return the reference under which the image was pushed."""
    crane("push", image.path, f"{registry}/{repository}:v1")
    return f"{registry}/{repository}:v1"


@pytest.fixture
def redirected(replica: Replica, reference: str, layers: list[Layer]) -> Iterator[None]:
    """Check after the test that each large layer was pulled, and none through the replica."""
    del reference
    before = replica.process.log_size()
    yield
    lines = replica.process.log_tail(before, limit=10_000_000).splitlines()
    answers = [line for line in map(json.loads, lines) if line.get("method") == "GET" and "/blobs/" in line["path"]]
    assert len({line["path"] for line in answers if line["status"] == 307}) == sum(map(is_large, layers))
    assert all(line["sent_bytes"] <= INLINE_BYTES for line in answers)


def outside(endpoint: str) -> str:
    """Return the other name of an endpoint."""
    return endpoint.replace("127.0.0.1", "localhost")


def is_large(layer: Layer) -> bool:
    """Whether a layer is too large for its record."""
    return len(layer.content) > INLINE_BYTES


@pytest.mark.usefixtures("redirected")
def test_crane_follows(crane: Client, reference: str, image: Layout, tmp_path: Path) -> None:
    """Crane pulls the bytes that were pushed."""
    crane("validate", "--remote", reference)
    crane("pull", "--format", "oci", reference, tmp_path / "pulled")
    assert stored_blobs(tmp_path / "pulled") == stored_blobs(image.path)


@pytest.mark.usefixtures("redirected")
def test_skopeo_follows(skopeo: Client, reference: str, image: Layout, tmp_path: Path) -> None:
    """Skopeo pulls the bytes that were pushed."""
    skopeo("copy", "--src-tls-verify=false", f"docker://{reference}", f"oci:{tmp_path / 'pulled'}:v1")
    assert stored_blobs(tmp_path / "pulled") == stored_blobs(image.path)


@pytest.mark.usefixtures("redirected")
def test_oras_follows(oras: Client, reference: str, image: Layout, tmp_path: Path) -> None:
    """Oras pulls the bytes that were pushed."""
    oras("copy", "--from-plain-http", "--to-oci-layout", reference, f"{tmp_path / 'pulled'}:v1")
    assert stored_blobs(tmp_path / "pulled") == stored_blobs(image.path)


@pytest.mark.usefixtures("redirected")
def test_regctl_follows(regctl: Client, reference: str, image: Layout, tmp_path: Path) -> None:
    """Regctl pulls the bytes that were pushed."""
    regctl("image", "copy", reference, f"ocidir://{tmp_path / 'pulled'}:v1")
    assert stored_blobs(tmp_path / "pulled") == stored_blobs(image.path)


@pytest.mark.usefixtures("redirected")
def test_podman_follows(podman: Client, reference: str, image: Layout, tmp_path: Path) -> None:
    """Podman pulls an image whose layers, unpacked, have the digests that its configuration names."""
    podman("pull", "--tls-verify=false", reference)
    identity = podman("image", "inspect", "--format", "{{.Id}}", reference)
    assert f"sha256:{identity}" in stored_blobs(image.path)
    podman("save", "--format", "oci-archive", "--output", tmp_path / "saved.tar", reference)


def test_a_range_is_read_from_the_bucket(
    replica: Replica, reference: str, repository: str, bucket: Bucket, layers: list[Layer]
) -> None:
    """A client that goes on with a download repeats its Range at the bucket, and gets that range."""
    del reference
    layer = layers[0].content
    url = f"{replica.url}/v2/{repository}/blobs/{digest_of(layer)}"
    with httpx.Client(follow_redirects=True) as client:
        answer = client.get(url, headers={"Range": "bytes=1000000-"})
        assert answer.status_code == 206
        assert str(answer.url).startswith(outside(bucket.endpoint))
        assert answer.headers["Content-Type"] == "application/octet-stream"
        assert answer.content == layer[1_000_000:]
        head = client.head(url)
        assert (head.status_code, head.headers["Content-Length"]) == (200, str(len(layer)))
        assert head.history == []
