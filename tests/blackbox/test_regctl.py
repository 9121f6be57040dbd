"""regctl pushes in chunks, works with sha512, artifacts and indexes, and pulls back."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from tests.blackbox.images import Layer, Layout, stored_blobs
from tests.blackbox.registry_api import digest_of, http_client, pulled_blobs

if TYPE_CHECKING:
    from pathlib import Path

    from tests.blackbox.clients import Client

SIGNATURE = "application/vnd.example.signature"


def test_index_pushed_in_chunks_comes_back_bit_for_bit(
    regctl: Client, registry: str, repository: str, index: Layout, tmp_path: Path
) -> None:
    """An index whose large layer arrives in several chunks at alternating replicas is pulled as it was pushed."""
    regctl("image", "copy", f"ocidir://{index.path}:index", f"{registry}/{repository}:v1")
    regctl("image", "copy", f"{registry}/{repository}:v1", f"ocidir://{tmp_path / 'pulled'}:v1")
    assert stored_blobs(tmp_path / "pulled") == stored_blobs(index.path)


def test_copy_between_repositories_keeps_the_digest(
    regctl: Client, registry: str, repository: str, index: Layout
) -> None:
    """A copy within the registry is the same index with the same blobs."""
    source, target = f"{repository}/source", f"{repository}/target"
    regctl("image", "copy", f"ocidir://{index.path}:index", f"{registry}/{source}:v1")
    regctl("image", "copy", f"{registry}/{source}:v1", f"{registry}/{target}:v2")
    with http_client(f"http://{registry}") as client:
        assert pulled_blobs(client, target, "v2") == stored_blobs(index.path)


def test_image_of_sha512_digests_comes_back(
    regctl: Client, registry: str, repository: str, image: Layout, tmp_path: Path
) -> None:
    """An image converted to sha512 throughout is pushed, and pulled as the same bytes."""
    converted = f"ocidir://{tmp_path / 'converted'}"
    regctl("image", "mod", f"ocidir://{image.path}:image", "--create", f"{converted}:v1", "--digest-algo", "sha512")
    regctl("image", "copy", f"{converted}:v1", f"{registry}/{repository}:v1")
    with http_client(f"http://{registry}") as client:
        pulled = pulled_blobs(client, repository, regctl("image", "digest", f"{converted}:v1"))
    assert {digest.partition(":")[0] for digest in pulled} == {"sha512"}
    assert pulled.items() <= stored_blobs(tmp_path / "converted").items()


def test_artifact_that_refers_to_an_image_is_listed_and_fetched(
    regctl: Client, registry: str, repository: str, image: Layout
) -> None:
    """An artifact with a subject is found at that subject, by its type, with its content."""
    name = f"{registry}/{repository}"
    regctl("image", "copy", f"ocidir://{image.path}:image", f"{name}:v1")
    put = ["artifact", "put", "--subject", f"{name}:v1", "--annotation", "signed=yes"]
    regctl(*put, "--artifact-type", SIGNATURE, stdin=b"signature")
    regctl(*put, "--artifact-type", "application/vnd.example.other", stdin=b"other")

    listed = json.loads(
        regctl("artifact", "list", f"{name}:v1", "--filter-artifact-type", SIGNATURE, "--format", "{{json .}}")
    )
    assert [entry["annotations"] for entry in listed["descriptors"]] == [{"signed": "yes"}]
    assert regctl("artifact", "get", "--subject", f"{name}:v1", "--filter-artifact-type", SIGNATURE) == "signature"


def test_copy_with_referrers_takes_them_along(regctl: Client, registry: str, repository: str, image: Layout) -> None:
    """A copy with referrers has the artifact at the new place too."""
    source, target = f"{registry}/{repository}/source:v1", f"{registry}/{repository}/target:v1"
    regctl("image", "copy", f"ocidir://{image.path}:image", source)
    regctl("artifact", "put", "--subject", source, "--artifact-type", SIGNATURE, stdin=b"signature")
    regctl("image", "copy", "--referrers", source, target)
    assert regctl("artifact", "get", "--subject", target, "--filter-artifact-type", SIGNATURE) == "signature"


def test_index_is_created_from_platforms(regctl: Client, registry: str, repository: str, index: Layout) -> None:
    """An index made of one platform of another index names that image only."""
    name = f"{registry}/{repository}"
    regctl("image", "copy", f"ocidir://{index.path}:index", f"{name}:v1")
    regctl("index", "create", f"{name}:arm", "--ref", f"{name}:v1", "--platform", "linux/arm64")
    created = json.loads(regctl("manifest", "get", f"{name}:arm", "--format", "raw-body"))
    assert [entry["platform"]["architecture"] for entry in created["manifests"]] == ["arm64"]


def test_deleted_tag_leaves_the_manifest(regctl: Client, registry: str, repository: str, image: Layout) -> None:
    """A tag is deleted alone: its neighbour and the manifest stay until the digest is deleted."""
    name, digest = f"{registry}/{repository}", image.tagged[0]["digest"]
    regctl("image", "copy", f"ocidir://{image.path}:image", f"{name}:one")
    regctl("image", "copy", f"{name}:one", f"{name}:two")
    regctl("tag", "delete", f"{name}:one")
    assert regctl("tag", "ls", name).split() == ["two"]
    assert regctl("image", "digest", f"{name}@{digest}") == digest

    regctl("manifest", "delete", f"{name}@{digest}")
    assert "not found" in regctl.refused("manifest", "head", f"{name}@{digest}")
    assert repository in regctl("repo", "ls", registry).split()


def test_blob_is_put_copied_and_read(regctl: Client, registry: str, repository: str, layers: list[Layer]) -> None:
    """A blob is put into one repository in chunks, copied to another, and is the same bytes there."""
    source, target = f"{repository}/source", f"{repository}/target"
    content = layers[0].content
    digest = regctl("blob", "put", f"{registry}/{source}", stdin=content)
    assert digest == digest_of(content)
    regctl("blob", "copy", f"{registry}/{source}", f"{registry}/{target}", digest)
    with http_client(f"http://{registry}") as client:
        assert client.get(f"/v2/{target}/blobs/{digest}").content == content
