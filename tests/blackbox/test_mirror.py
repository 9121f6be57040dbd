"""Real clients pull by way of two replicas that mirror a real registry, and go on when that is down."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import httpx

from bench.servers.processes import Process, accepts
from tests.blackbox.clients import Client
from tests.blackbox.cluster import Cluster, Replica
from tests.blackbox.images import stored_blobs
from tests.blackbox.mirrors import mirrored
from tests.blackbox.others import Distribution
from tests.processes import free_port, missing

if TYPE_CHECKING:
    from tests.blackbox.images import Layout
    from tests.servers import Bucket

PLAIN = "--src-tls-verify=false"


def test_crane_pulls_bit_for_bit(
    crane: Client, mirror: Cluster, upstream: Distribution, index: Layout, tmp_path: Path
) -> None:
    """An index of two platforms has all its bytes, and digests are those of the upstream."""
    crane("push", index.path, f"{upstream.address}/crane/app:v1")
    here = f"{mirror.address}/hub/crane/app:v1"
    assert crane("digest", here) == crane("digest", f"{upstream.address}/crane/app:v1")
    crane("pull", "--format", "oci", here, tmp_path / "pulled")
    assert stored_blobs(tmp_path / "pulled") == stored_blobs(index.path)
    crane("validate", "--remote", here)


def test_many_pulls_at_two_replicas_are_one_at_the_upstream(
    crane: Client, mirror: Cluster, upstream: Distribution, image: Layout, tmp_path: Path
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
    skopeo: Client, crane: Client, mirror: Cluster, upstream: Distribution, image: Layout, tmp_path: Path
) -> None:
    """The copy has the digests of the upstream."""
    crane("push", image.path, f"{upstream.address}/skopeo/app:v1")
    skopeo("copy", PLAIN, f"docker://{mirror.address}/hub/skopeo/app:v1", f"oci:{tmp_path / 'pulled'}:v1")
    assert stored_blobs(tmp_path / "pulled").keys() >= stored_blobs(image.path).keys()


def test_podman_pulls(podman: Client, crane: Client, mirror: Cluster, upstream: Distribution, small: Layout) -> None:
    """An image arrives in its store by way of the mirror."""
    crane("push", small.path, f"{upstream.address}/podman/app:v1")
    podman("pull", "--tls-verify=false", f"{mirror.address}/hub/podman/app:v1")


def test_helm_pulls_a_chart(
    client_environment: dict[str, str], mirror: Cluster, upstream: Distribution, tmp_path: Path
) -> None:
    """A chart that was pushed upstream comes by way of the mirror, byte by byte."""
    helm = Client("helm", client_environment)
    helm("create", "chart", cwd=tmp_path)
    helm("package", "chart", cwd=tmp_path)
    helm("push", "--plain-http", "chart-0.1.0.tgz", f"oci://{upstream.address}/charts", cwd=tmp_path)
    (tmp_path / "pulled").mkdir()
    chart = f"oci://{mirror.address}/hub/charts/chart"
    helm("pull", "--plain-http", chart, "--version", "0.1.0", cwd=tmp_path / "pulled")
    assert (tmp_path / "pulled" / "chart-0.1.0.tgz").read_bytes() == (tmp_path / "chart-0.1.0.tgz").read_bytes()


def test_containerd_pulls_with_one_entry_for_all_registries(
    crane: Client, mirror: Cluster, upstream: Distribution, index: Layout, tmp_path: Path
) -> None:
    """Its `ns=` says which registry is meant, and another one is not served."""
    crane("push", index.path, f"{upstream.address}/containerd/app:v1")
    program = Path(os.environ.get("ZOTPY_TEST_PUSHERS", "")) / "containerd-push"
    if not program.is_file():
        missing(
            "containerd's resolver is needed: sh tests/pushers/build, and name what it prints in ZOTPY_TEST_PUSHERS"
        )
    done = _pull(program, tmp_path / "pulled", f"{upstream.address}/containerd/app:v1", mirror)
    assert done.returncode == 0, done.stderr
    assert stored_blobs(tmp_path / "pulled") == stored_blobs(index.path)
    assert b"not found" in _pull(program, tmp_path / "other", "registry.example.com/containerd/app:v1", mirror).stderr


def _pull(program: Path, directory: Path, reference: str, mirror: Cluster) -> subprocess.CompletedProcess[bytes]:
    environment = {**os.environ, "PULL_MIRROR": mirror.address}
    return subprocess.run([program, "pull", directory, reference], capture_output=True, check=False, env=environment)


def test_a_tag_that_moves_upstream_moves_here(
    crane: Client, mirror: Cluster, upstream: Distribution, image: Layout, small: Layout
) -> None:
    """Without manifestCheckInterval the next pull sees it, at every replica."""
    here, there = f"{mirror.address}/hub/moves/app:v1", f"{upstream.address}/moves/app:v1"
    for layout in (image, small):
        crane("push", layout.path, there)
        assert crane("digest", here) == crane("digest", there) == crane("digest", here)


def test_a_replica_that_is_killed_costs_the_others_a_retry(
    crane: Client, bucket: Bucket, upstream: Distribution, image: Layout, tmp_path: Path
) -> None:
    """A client that was cut goes on at another replica, from the byte it has; that one fetches the blob again."""
    crane("push", image.path, f"{upstream.address}/killed/app:v1")
    layer = max(
        json.loads(crane("manifest", f"{upstream.address}/killed/app:v1"))["layers"], key=lambda one: one["size"]
    )
    port = free_port()
    way = f"127.0.0.1:{port}={upstream.address}"
    relay = Process.of_module("relay", "bench.servers.relay", ["--way", way, "--rate-mb", "4"], tmp_path)
    cluster = Cluster(bucket, "mirror-killed", tmp_path)
    for replica in cluster.replicas:
        replica.configure(mirrored(f"http://127.0.0.1:{port}"))
    first, second = cluster.replicas
    try:
        relay.start(lambda: accepts(port))
        cluster.start()
        path = f"/v2/hub/killed/app/blobs/{layer['digest']}"
        found = _pull_until_killed(first, path)
        assert len(found) < layer["size"]
        rest = httpx.get(second.url + path, headers={"Range": f"bytes={len(found)}-"}, timeout=120)
        assert rest.status_code == 206
        assert f"sha256:{hashlib.sha256(found + rest.content).hexdigest()}" == layer["digest"]
    finally:
        cluster.stop()
        relay.kill()


def _pull_until_killed(replica: Replica, path: str) -> bytes:
    """Kill a replica after the first MiB, and return what came until then."""
    found = bytearray()
    with suppress(httpx.HTTPError), httpx.stream("GET", replica.url + path) as answer:
        for piece in answer.iter_raw():
            found += piece
            if len(found) > 1 << 20:
                replica.process.kill()
    return bytes(found)


def test_what_was_pulled_once_is_served_without_the_upstream(
    crane: Client, bucket: Bucket, image: Layout, tmp_path: Path
) -> None:
    """If the upstream is down, a tag comes with a warning, and all blobs of it are here."""
    upstream = Distribution(tmp_path, logs_access=True)
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
