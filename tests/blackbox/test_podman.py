"""buildah builds an image from nothing; podman and buildah push it, and podman pulls it back."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.blackbox.images import Layer, Layout, file_digest

if TYPE_CHECKING:
    from tests.blackbox.clients import Client

INSECURE = "--tls-verify=false"


@pytest.fixture
def content(tmp_path: Path, layers: list[Layer]) -> Path:
    """Return a directory of files for an image."""
    directory = tmp_path / "content"
    (directory / "deep" / "down").mkdir(parents=True)
    (directory / "large.bin").write_bytes(layers[0].content)
    (directory / "deep" / "down" / "notes.txt").write_text("a small file\n")
    (directory / "link").symlink_to("deep/down/notes.txt")
    return directory


@pytest.fixture
def built(buildah: Client, content: Path) -> str:
    """Return the name of an image of two layers that buildah made of the content."""
    container = buildah("from", "scratch")
    buildah("copy", container, content, "/data")
    buildah("config", "--env", "MOOD=calm", "--label", "made-by=blackbox", container)
    buildah("commit", container, "localhost/first")
    layered = buildah("from", "--pull-never", "localhost/first")
    buildah("copy", layered, content / "deep", "/again")
    buildah("commit", layered, "localhost/built")
    buildah("rm", container, layered)
    return "localhost/built"


def test_image_pushed_by_podman_comes_back(
    podman: Client, registry: str, repository: str, built: str, content: Path
) -> None:
    """An image pushed, removed and pulled again has the same id and the same files."""
    reference = f"{registry}/{repository}:v1"
    identity = image_id(podman, built)
    podman("push", INSECURE, built, reference)
    podman("image", "rm", "--all", "--force")
    podman("pull", INSECURE, reference)
    assert image_id(podman, reference) == identity
    mounted = Path(podman("image", "mount", reference))
    assert tree(mounted / "data") == tree(content)
    assert tree(mounted / "again") == tree(content / "deep")
    podman("image", "unmount", reference)


@pytest.mark.parametrize("manifest_format", ["oci", "v2s2"])
def test_image_pushed_by_buildah_comes_back(
    buildah: Client, podman: Client, registry: str, repository: str, built: str, manifest_format: str
) -> None:
    """An image pushed by buildah in either format is pulled by digest with the same id and environment."""
    reference = f"{registry}/{repository}"
    identity = image_id(podman, built)
    digest_file = Path(podman("info", "--format", "{{.Store.GraphRoot}}")).parent / "digest"
    options = [INSECURE, "--format", manifest_format, "--digestfile", str(digest_file)]
    buildah("push", *options, built, f"docker://{reference}:v1")
    podman("image", "rm", "--all", "--force")
    podman("pull", INSECURE, f"{reference}@{digest_file.read_text()}")
    [pulled] = json.loads(podman("image", "inspect", f"{reference}@{digest_file.read_text()}"))
    assert "MOOD=calm" in pulled["Config"]["Env"]
    assert pulled["Id"] == identity


def test_image_of_another_client_runs_through_podman_unchanged(
    podman: Client, crane: Client, registry: str, repository: str, image: Layout
) -> None:
    """An image pushed by crane is pulled by podman under the id that its configuration gives it."""
    reference = f"{registry}/{repository}:v1"
    crane("push", image.path, reference)
    podman("pull", INSECURE, reference)
    config = json.loads(crane("manifest", reference))["config"]["digest"]
    assert f"sha256:{image_id(podman, reference)}" == config


def test_manifest_list_made_by_podman_is_pushed_whole(
    podman: Client, crane: Client, registry: str, repository: str, built: str
) -> None:
    """A manifest list with a local image is pushed with that image, and validates."""
    reference = f"{registry}/{repository}:v1"
    podman("manifest", "create", "localhost/list", f"containers-storage:{built}")
    podman("manifest", "push", INSECURE, "--all", "localhost/list", f"docker://{reference}")
    crane("validate", "--remote", reference)


def image_id(podman: Client, name: str) -> str:
    """Return the id of an image in the local store, which is the digest of its configuration."""
    return podman("image", "inspect", "--format", "{{.Id}}", name)


def tree(root: Path) -> dict[str, str]:
    """Return the digest of each file, or the target of each link, below a directory."""
    return {
        str(path.relative_to(root)): str(path.readlink()) if path.is_symlink() else file_digest(path)
        for path in sorted(root.rglob("*"))
        if path.is_symlink() or path.is_file()
    }
