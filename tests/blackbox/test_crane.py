"""crane pushes, copies, lists, deletes and pulls back."""

from __future__ import annotations

import json
import tarfile
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from tests.blackbox.images import Layer, Layout, stored_blobs

if TYPE_CHECKING:
    from pathlib import Path

    from tests.blackbox.clients import Client
    from tests.blackbox.cluster import Cluster


def test_image_comes_back_bit_for_bit(
    crane: Client, registry: str, repository: str, image: Layout, tmp_path: Path
) -> None:
    """An image with a layer of several parts is pulled as the bytes that were pushed."""
    crane("push", image.path, f"{registry}/{repository}:v1")
    crane("validate", "--remote", f"{registry}/{repository}:v1")
    crane("pull", "--format", "oci", f"{registry}/{repository}:v1", tmp_path / "pulled")
    assert stored_blobs(tmp_path / "pulled") == stored_blobs(image.path)


def test_index_comes_back_bit_for_bit(
    crane: Client, registry: str, repository: str, index: Layout, tmp_path: Path
) -> None:
    """An index is pulled with the images of all its platforms."""
    crane("push", index.path, f"{registry}/{repository}:v1")
    crane("pull", "--format", "oci", f"{registry}/{repository}:v1", tmp_path / "pulled")
    assert stored_blobs(tmp_path / "pulled") == stored_blobs(index.path)


def test_image_built_of_tarballs_exports_the_same_files(
    crane: Client, registry: str, repository: str, layers: list[Layer], tmp_path: Path
) -> None:
    """An image that crane builds of archives holds each of their files, under Docker's media types."""
    archives = [tmp_path / f"layer{number}.tar.gz" for number in range(len(layers))]
    for archive, layer in zip(archives, layers, strict=True):
        archive.write_bytes(layer.content)
    arguments = [word for archive in archives for word in ("--new_layer", archive)]
    crane("append", *arguments, "--new_tag", f"{registry}/{repository}:built")

    manifest = json.loads(crane("manifest", f"{registry}/{repository}:built"))
    assert manifest["mediaType"] == "application/vnd.docker.distribution.manifest.v2+json"
    crane("export", f"{registry}/{repository}:built", tmp_path / "exported.tar")
    assert files_of(tmp_path / "exported.tar") == {
        name: content for archive in archives for name, content in files_of(archive).items()
    }


def test_copy_to_another_repository_mounts_the_blobs(
    crane: Client, cluster: Cluster, repository: str, index: Layout, tmp_path: Path
) -> None:
    """A copy within the registry uploads nothing and is the same index with the same blobs."""
    source, target = f"{cluster.address}/{repository}/source:v1", f"{cluster.address}/{repository}/target:v2"
    crane("push", index.path, source)
    crane("copy", source, target)
    crane("pull", "--format", "oci", target, tmp_path / "pulled")
    assert stored_blobs(tmp_path / "pulled") == stored_blobs(index.path)
    uploads = f"/v2/{repository}/target/blobs/uploads/"
    asked = {(request.method, request.status) for request in cluster.balancer.requests() if uploads in request.path}
    assert asked == {("POST", 201)}


def test_pushes_of_one_image_at_once_agree(
    crane: Client, registry: str, repository: str, index: Layout, tmp_path: Path
) -> None:
    """Clients that push the same index at once, to one repository and to others, all succeed; each copy is whole."""
    names = [f"{registry}/{repository}/{number % 3}:v1" for number in range(6)]
    with ThreadPoolExecutor(len(names)) as pool:
        list(pool.map(lambda name: crane("push", index.path, name), names))
    for number, name in enumerate(sorted(set(names))):
        crane("pull", "--format", "oci", name, tmp_path / str(number))
        assert stored_blobs(tmp_path / str(number)) == stored_blobs(index.path)


def test_index_is_made_of_images_that_are_there(
    crane: Client, registry: str, repository: str, index: Layout, image: Layout
) -> None:
    """An index that crane makes of two pushed references can be validated in full."""
    crane("push", index.path, f"{registry}/{repository}:index")
    crane("push", image.path, f"{registry}/{repository}:image")
    name = f"{registry}/{repository}"
    crane("index", "append", "-m", f"{name}:index", "-m", f"{name}:image", "-t", f"{name}:both")
    crane("validate", "--remote", f"{name}:both")
    assert len(json.loads(crane("manifest", f"{name}:both"))["manifests"]) == 3


def test_tags_and_repositories_are_listed(crane: Client, registry: str, repository: str, image: Layout) -> None:
    """A new tag is in the list of tags, and its repository in the catalog."""
    crane("push", image.path, f"{registry}/{repository}:one")
    crane("tag", f"{registry}/{repository}:one", "two")
    assert crane("ls", f"{registry}/{repository}").split() == ["one", "two"]
    assert crane("digest", f"{registry}/{repository}:two") == image.tagged[0]["digest"]
    assert repository in crane("catalog", registry).split()


def test_deleted_tag_and_manifest_are_gone(crane: Client, registry: str, repository: str, image: Layout) -> None:
    """Deleting a tag leaves the others; deleting the digest takes the rest with it."""
    crane("push", image.path, f"{registry}/{repository}:one")
    crane("tag", f"{registry}/{repository}:one", "two")
    crane("delete", f"{registry}/{repository}:one")
    assert crane("ls", f"{registry}/{repository}").split() == ["two"]

    digest = image.tagged[0]["digest"]
    crane("delete", f"{registry}/{repository}@{digest}")
    assert "MANIFEST_UNKNOWN" in crane.refused("manifest", f"{registry}/{repository}@{digest}")
    assert "MANIFEST_UNKNOWN" in crane.refused("manifest", f"{registry}/{repository}:two")


def files_of(archive: Path) -> dict[str, bytes]:
    """Return the content of each regular file of an archive by its name."""
    with tarfile.open(archive) as tar:
        return {member.name: content.read() for member in tar if (content := tar.extractfile(member)) is not None}
