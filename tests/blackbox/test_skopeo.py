"""skopeo copies between layouts, directories and repositories, converts to Docker's formats, and syncs."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from tests.blackbox.images import Layout, file_digest, stored_blobs
from tests.blackbox.registry_api import http_client, pulled_blobs

if TYPE_CHECKING:
    from pathlib import Path

    from tests.blackbox.clients import Client

TO_REGISTRY = "--dest-tls-verify=false"
FROM_REGISTRY = "--src-tls-verify=false"
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_LIST = "application/vnd.docker.distribution.manifest.list.v2+json"


@pytest.fixture
def pushed(skopeo: Client, registry: str, repository: str, index: Layout) -> str:
    """Return the reference under which the index was pushed with all its images."""
    reference = f"docker://{registry}/{repository}:v1"
    skopeo("copy", "--all", TO_REGISTRY, f"oci:{index.path}:index", reference)
    return reference


def test_index_comes_back_bit_for_bit(skopeo: Client, pushed: str, index: Layout, tmp_path: Path) -> None:
    """An index with all its images is copied back into a layout as the bytes that were pushed."""
    skopeo("copy", "--all", FROM_REGISTRY, pushed, f"oci:{tmp_path / 'pulled'}:v1")
    assert stored_blobs(tmp_path / "pulled") == stored_blobs(index.path)


def test_copy_to_a_directory_has_every_blob(skopeo: Client, pushed: str, index: Layout, tmp_path: Path) -> None:
    """A copy into a plain directory holds each blob of all images."""
    skopeo("copy", "--all", FROM_REGISTRY, pushed, f"dir:{tmp_path / 'pulled'}")
    copied = {f"sha256:{file_digest(path)}" for path in (tmp_path / "pulled").iterdir()}
    assert stored_blobs(index.path).keys() <= copied


def test_copy_between_repositories_keeps_the_digest(
    skopeo: Client, registry: str, repository: str, pushed: str, index: Layout
) -> None:
    """A copy from repository to repository with all images is the same index with the same blobs."""
    target = f"{repository}/target"
    skopeo(
        "copy", "--all", "--preserve-digests", FROM_REGISTRY, TO_REGISTRY, pushed, f"docker://{registry}/{target}:v2"
    )
    with http_client(f"http://{registry}") as client:
        assert pulled_blobs(client, target, "v2") == stored_blobs(index.path)


def test_image_converted_to_docker_format_comes_back(
    skopeo: Client, registry: str, repository: str, image: Layout, tmp_path: Path
) -> None:
    """An image pushed as Docker schema 2 keeps that media type and its layers."""
    reference = f"docker://{registry}/{repository}:docker"
    skopeo("copy", "--format", "v2s2", TO_REGISTRY, f"oci:{image.path}:image", reference)
    manifest = json.loads(skopeo("inspect", "--raw", "--tls-verify=false", reference))
    assert manifest["mediaType"] == DOCKER_MANIFEST

    skopeo("copy", FROM_REGISTRY, reference, f"oci:{tmp_path / 'pulled'}:v1")
    layers = {layer["digest"]: layer["size"] for layer in manifest["layers"]}
    assert layers.items() <= stored_blobs(image.path).items()
    assert layers.items() <= stored_blobs(tmp_path / "pulled").items()


def test_index_converted_to_docker_list_comes_back(skopeo: Client, registry: str, repository: str, pushed: str) -> None:
    """An index converted on its way from repository to repository becomes a Docker manifest list that pulls whole."""
    target = f"{repository}/docker"
    options = ["--all", "--format", "v2s2", FROM_REGISTRY, TO_REGISTRY]
    skopeo("copy", *options, pushed, f"docker://{registry}/{target}:v1")
    with http_client(f"http://{registry}") as client:
        listed = client.get(f"/v2/{target}/manifests/v1").json()
        assert listed["mediaType"] == DOCKER_LIST
        expected = {entry["digest"] for entry in listed["manifests"]}
        assert expected <= pulled_blobs(client, target, "v1").keys()


def test_sync_copies_a_repository_and_its_tags(
    skopeo: Client, registry: str, repository: str, pushed: str, index: Layout, tmp_path: Path
) -> None:
    """A repository synced to a directory, and from there to another one, has the same tags and images."""
    skopeo("copy", "--all", FROM_REGISTRY, TO_REGISTRY, pushed, f"docker://{registry}/{repository}:v2")
    source = ["--src", "docker", FROM_REGISTRY, f"{registry}/{repository}"]
    skopeo("sync", "--all", *source, "--dest", "dir", tmp_path)
    skopeo(
        "sync", "--all", "--src", "dir", tmp_path, "--dest", "docker", TO_REGISTRY, f"{registry}/{repository}/synced"
    )

    name = f"{repository}/synced/{repository.rpartition('/')[2]}"
    listed = json.loads(skopeo("list-tags", "--tls-verify=false", f"docker://{registry}/{name}"))
    assert sorted(listed["Tags"]) == ["v1", "v2"]
    with http_client(f"http://{registry}") as client:
        assert pulled_blobs(client, name, "v2") == stored_blobs(index.path)


def test_deleted_image_is_gone(skopeo: Client, registry: str, repository: str, image: Layout) -> None:
    """A deleted image can no longer be inspected."""
    reference = f"docker://{registry}/{repository}:v1"
    skopeo("copy", TO_REGISTRY, f"oci:{image.path}:image", reference)
    skopeo("delete", "--tls-verify=false", reference)
    assert "manifest unknown" in skopeo.refused("inspect", "--tls-verify=false", reference)
