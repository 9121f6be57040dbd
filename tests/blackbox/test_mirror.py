"""Real clients pull by way of two replicas that mirror a real registry, and go on when that is down."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import pytest

from tests.blackbox.cluster import Cluster
from tests.blackbox.images import stored_blobs
from tests.blackbox.mirrors import UpstreamProgram, mirrored

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.blackbox.clients import Client
    from tests.blackbox.images import Layout
    from tests.servers import Bucket

PLAIN = "--src-tls-verify=false"


@pytest.fixture(scope="module")
def upstream(tmp_path_factory: pytest.TempPathFactory) -> Iterator[UpstreamProgram]:
    """Return a running upstream."""
    program = UpstreamProgram(tmp_path_factory.mktemp("upstream"))
    try:
        program.start()
        yield program
    finally:
        program.process.kill()


@pytest.fixture(scope="module")
def mirror(upstream: UpstreamProgram, bucket: Bucket, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Return two replicas that mirror it, behind a balancer."""
    cluster = Cluster(bucket, "mirror", tmp_path_factory.mktemp("mirror"))
    for replica in cluster.replicas:
        replica.configure(mirrored(upstream.url))
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.stop()


def test_crane_pulls_bit_for_bit(
    crane: Client, mirror: Cluster, upstream: UpstreamProgram, index: Layout, tmp_path: Path
) -> None:
    """An index of two platforms has all its bytes, and digests are those of the upstream."""
    crane("push", index.path, f"{upstream.address}/crane/app:v1")
    here = f"{mirror.address}/hub/crane/app:v1"
    assert crane("digest", here) == crane("digest", f"{upstream.address}/crane/app:v1")
    crane("pull", "--format", "oci", here, tmp_path / "pulled")
    assert stored_blobs(tmp_path / "pulled") == stored_blobs(index.path)
    crane("validate", "--remote", here)


def test_many_pulls_at_two_replicas_are_one_at_the_upstream(
    crane: Client, mirror: Cluster, upstream: UpstreamProgram, image: Layout, tmp_path: Path
) -> None:
    """The upstream sends each blob once, however many clients begin at the same time."""
    crane("push", image.path, f"{upstream.address}/many/app:v1")
    before = len(upstream.gets())

    def pull(number: int) -> dict[str, int]:
        crane("pull", "--format", "oci", f"{mirror.address}/hub/many/app:v1", tmp_path / str(number))
        return stored_blobs(tmp_path / str(number))

    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(pull, range(8)))
    assert found == [stored_blobs(image.path)] * 8
    assert set(Counter(upstream.gets()[before:]).values()) <= {1}


def test_skopeo_copies_bit_for_bit(
    skopeo: Client, crane: Client, mirror: Cluster, upstream: UpstreamProgram, image: Layout, tmp_path: Path
) -> None:
    """The copy has the digests of the upstream."""
    crane("push", image.path, f"{upstream.address}/skopeo/app:v1")
    skopeo("copy", PLAIN, f"docker://{mirror.address}/hub/skopeo/app:v1", f"oci:{tmp_path / 'pulled'}:v1")
    assert stored_blobs(tmp_path / "pulled").keys() >= stored_blobs(image.path).keys()


def test_podman_pulls(podman: Client, crane: Client, mirror: Cluster, upstream: UpstreamProgram, small: Layout) -> None:
    """An image arrives in its store by way of the mirror."""
    crane("push", small.path, f"{upstream.address}/podman/app:v1")
    podman("pull", "--tls-verify=false", f"{mirror.address}/hub/podman/app:v1")


def test_containerd_pulls_with_one_entry_for_all_registries(
    crane: Client, mirror: Cluster, upstream: UpstreamProgram, index: Layout, tmp_path: Path
) -> None:
    """Its `ns=` says which registry is meant, and another one is not served."""
    crane("push", index.path, f"{upstream.address}/containerd/app:v1")
    program = Path(os.environ.get("ZOTPY_TEST_PUSHERS", "")) / "containerd-push"
    if not program.is_file():
        pytest.skip("containerd's resolver is not built")
    done = _pull(program, tmp_path / "pulled", f"{upstream.address}/containerd/app:v1", mirror)
    assert done.returncode == 0, done.stderr
    assert stored_blobs(tmp_path / "pulled") == stored_blobs(index.path)
    assert b"not found" in _pull(program, tmp_path / "other", "registry.example.com/containerd/app:v1", mirror).stderr


def _pull(program: Path, directory: Path, reference: str, mirror: Cluster) -> subprocess.CompletedProcess[bytes]:
    environment = {**os.environ, "PULL_MIRROR": mirror.address}
    return subprocess.run([program, "pull", directory, reference], capture_output=True, check=False, env=environment)


def test_a_tag_that_moves_upstream_moves_here(
    crane: Client, mirror: Cluster, upstream: UpstreamProgram, image: Layout, small: Layout
) -> None:
    """Without manifestCheckInterval the next pull sees it, at every replica."""
    here, there = f"{mirror.address}/hub/moves/app:v1", f"{upstream.address}/moves/app:v1"
    for layout in (image, small):
        crane("push", layout.path, there)
        assert crane("digest", here) == crane("digest", there) == crane("digest", here)


def test_what_was_pulled_once_is_served_without_the_upstream(
    crane: Client, bucket: Bucket, image: Layout, tmp_path: Path
) -> None:
    """If the upstream is down, a tag comes with a warning, and all blobs of it are here."""
    upstream = UpstreamProgram(tmp_path)
    cluster = Cluster(bucket, "mirror-down", tmp_path)
    for replica in cluster.replicas:
        replica.configure(mirrored(upstream.url, maxRetries=0))
    try:
        upstream.start()
        cluster.start()
        crane("push", image.path, f"{upstream.address}/down/app:v1")
        crane("pull", "--format", "oci", f"{cluster.address}/hub/down/app:v1", tmp_path / "first")
        upstream.process.kill()
        shutil.rmtree(tmp_path / "first")
        crane("pull", "--format", "oci", f"{cluster.address}/hub/down/app:v1", tmp_path / "second")
        assert stored_blobs(tmp_path / "second") == stored_blobs(image.path)
        answer = httpx.get(f"{cluster.url}/v2/hub/down/app/manifests/v1")
        assert answer.headers["Warning"] == '111 - "Revalidation Failed"'
        assert httpx.get(f"{cluster.url}/v2/hub/down/app/manifests/v2").status_code == 429
    finally:
        cluster.stop()
        upstream.process.kill()
