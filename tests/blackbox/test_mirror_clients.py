"""Real clients push to mirrored repositories, and podman pulls by the usual names, as `docs/mirror.md` says."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.blackbox.clients import Client, isolated_environment
from tests.blackbox.images import Layout, small_layer
from tests.blackbox.registry_api import digest_of
from tests.faults.pushers import Pushers

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.blackbox.cluster import Cluster
    from tests.blackbox.others import Distribution

PODMAN = """
[[registry]]
prefix = "{there}"
location = "{there}"
insecure = true

[[registry.mirror]]
location = "{here}/hub"
insecure = true
"""
FILES = frozenset({"oras", "cosign"})
"""Clients that push a file, not an image."""


@pytest.fixture
def pushers(mirror: Cluster) -> Iterator[Pushers]:
    """Return clients that push to the mirror, in a directory with a short path, which podman needs."""
    with tempfile.TemporaryDirectory(prefix="zotpy", ignore_cleanup_errors=True) as directory:
        yield Pushers(Path(directory), mirror.address)


@pytest.mark.parametrize("name", ["crane", "skopeo", "podman", "containerd", "helm", "oras", "cosign"])
async def test_a_client_pushes_to_a_mirrored_repository(
    crane: Client, mirror: Cluster, upstream: Distribution, small: Layout, pushers: Pushers, name: str
) -> None:
    """What the upstream has of it is fetched, not sent. The tag is ours from then on, whatever the upstream says."""
    repo = f"pushes/{name}/chart" if name == "helm" else f"pushes/{name}"
    tag = "0.1.0" if name == "helm" else "v1"
    if name in FILES:
        pushers.host = upstream.address
        assert await pushers.push(name, repo) is None
        pushers.host = mirror.address
    crane("push", pushers.layout.path, f"{upstream.address}/{repo}:base")
    crane("push", small.path, f"{upstream.address}/{repo}:{tag}")
    here, there = f"{mirror.address}/hub/{repo}:{tag}", f"{upstream.address}/{repo}:{tag}"
    mirrored_digest = crane("digest", here)
    assert mirrored_digest == crane("digest", there)
    await pushers.prepare(name)
    assert await pushers.push(name, f"hub/pushes/{name}") is None
    pushed_digest = crane("digest", here)
    assert pushed_digest == crane("digest", here) != mirrored_digest
    assert crane("digest", there) == mirrored_digest
    layers = [layer["digest"] for layer in json.loads(crane("manifest", here))["layers"]]
    if name in FILES:
        assert layers == [digest_of((pushers.directory / "blob.bin").read_bytes())]
        crane("blob", f"{mirror.address}/hub/{repo}@{layers[0]}")  # it compares the digest
    else:
        crane("validate", "--remote", here)
    if name in {"crane", "skopeo", "containerd"}:  # podman compresses anew, and a chart has no layers of an image
        assert pushed_digest == pushers.layout.tagged[0]["digest"]
    if name not in {"podman", "helm"}:  # the upstream has what they push
        for layer in layers:
            assert upstream.gets().count(f"/v2/{repo}/blobs/{layer}") == 1


def test_podman_pulls_by_the_usual_name(
    crane: Client, mirror: Cluster, upstream: Distribution, storage_options: list[str | Path], tmp_path: Path
) -> None:
    """With the entry of `registries.conf` in the page, it asks the mirror, which asks the upstream once."""
    layout = Layout(tmp_path / "layout")
    layout.tag(layout.add_image([small_layer("sniffio")]), "image")
    usual = f"{upstream.address}/podman/usual:v1"
    crane("push", layout.path, usual)
    environment = isolated_environment(tmp_path / "home")
    written = PODMAN.format(there=upstream.address, here=mirror.address)
    Path(environment["CONTAINERS_REGISTRIES_CONF"]).write_text(written)
    podman = Client("podman", environment, storage_options)
    before = len(upstream.gets())
    for _ in range(2):
        podman("pull", usual)
        assert podman("image", "inspect", "--format", "{{.Digest}}", usual) == layout.tagged[0]["digest"]
        podman("image", "rm", "--all", "--force")
    blobs = upstream.gets()[before:]
    assert sorted(blobs) == sorted(set(blobs))
    assert crane("ls", f"{mirror.address}/hub/podman/usual") == "v1"
