"""`zotpy import` from real registries, and real clients that then pull from here."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING

import httpx
import pytest

from bench.servers.processes import accepts
from tests.blackbox.cluster import Replica
from tests.blackbox.images import Layout, as_json, large_layer, small_layer, stored_blobs
from tests.blackbox.others import PASSWORD, USER, Distribution, running_distribution, write_users
from tests.blackbox.registry_api import digest_of, http_client, pulled_blobs
from tests.forks.forked import Forked
from tests.processes import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.blackbox.clients import Client
    from tests.blackbox.imports import Target
    from tests.servers import Bucket

DOCKER_IMAGE = "application/vnd.docker.distribution.manifest.v2+json"
OCI_IMAGE = "application/vnd.oci.image.manifest.v1+json"
REPO = "team/app"


@pytest.fixture
def source(tmp_path: Path) -> Iterator[Distribution]:
    """Return a running distribution without content."""
    with running_distribution(tmp_path / "source") as made:
        yield made


def push_docker_image(client: httpx.Client, repo: str, tag: str) -> str:
    """Push an image in Docker's own format, and return its digest."""
    config, layer = b'{"architecture":"amd64","os":"linux"}', b"layer of " + tag.encode()
    parts = [
        {"mediaType": kind, "digest": push_blob_in_two(client, repo, content), "size": len(content)}
        for kind, content in (
            ("application/vnd.docker.container.image.v1+json", config),
            ("application/vnd.docker.image.rootfs.diff.tar.gzip", layer),
        )
    ]
    manifest = {"schemaVersion": 2, "mediaType": DOCKER_IMAGE, "config": parts[0], "layers": parts[1:]}
    return push_manifest(client, repo, tag, as_json(manifest), DOCKER_IMAGE)


def push_blob_in_two(client: httpx.Client, repo: str, content: bytes) -> str:
    """Push a blob with POST and PUT, as every registry takes it."""
    digest = digest_of(content)
    location = client.post(f"/v2/{repo}/blobs/uploads/").raise_for_status().headers["Location"]
    url = httpx.URL(location).copy_merge_params({"digest": digest})
    client.put(url, content=content, headers={"Content-Type": "application/octet-stream"}).raise_for_status()
    return digest


def push_manifest(client: httpx.Client, repo: str, reference: str, content: bytes, media_type: str) -> str:
    """Push a manifest, and return its digest."""
    url = f"/v2/{repo}/manifests/{reference}"
    client.put(url, content=content, headers={"Content-Type": media_type}).raise_for_status()
    return digest_of(content)


def push_signature(client: httpx.Client, repo: str, subject: str, size: int, reference: str = "") -> str:
    """Push an image that has a subject, by its digest or as cosign does by a tag, and return its digest."""
    empty = {
        "mediaType": "application/vnd.oci.empty.v1+json",
        "digest": push_blob_in_two(client, repo, b"{}"),
        "size": 2,
    }
    described = {"mediaType": OCI_IMAGE, "digest": subject, "size": size}
    manifest = as_json(
        {"schemaVersion": 2, "mediaType": OCI_IMAGE, "config": empty, "layers": [empty], "subject": described}
    )
    return push_manifest(client, repo, reference or digest_of(manifest), manifest, OCI_IMAGE)


def test_everything_of_a_distribution_comes_along(
    source: Distribution, target: Target, crane: Client, skopeo: Client, tmp_path: Path
) -> None:
    """Images, indexes and Docker's format have the same digests here, and real clients pull them. Then only news."""
    layout = Layout(tmp_path / "layout")
    layout.tag(layout.add_image([large_layer(), small_layer("h11")]), "image")
    images = {name: layout.add_image([small_layer("h11"), small_layer("sniffio")], name) for name in ("amd64", "arm64")}
    layout.tag(layout.add_index(images), "index")
    for name in ("image", "index"):
        there = f"docker://{source.address}/{REPO}:{name}"
        skopeo("copy", "--all", "--dest-tls-verify=false", f"oci:{layout.path}:{name}", there)
    with http_client(source.url) as client:
        docker = push_docker_image(client, "old/image", "v1")
        signed = crane("digest", f"{source.address}/{REPO}:image")
        tag = signed.replace(":", "-") + ".sig"
        push_signature(client, REPO, signed, 1, tag)
    told = target.told(source.url)
    assert (told["repositories"], told["tags_copied"], told["problems"]) == (2, 4, [])
    target.replica.start()
    for reference in (f"{REPO}:image", f"{REPO}:index", f"{REPO}:{tag}", "old/image:v1"):
        assert crane("digest", f"{target.address}/{reference}") == crane("digest", f"{source.address}/{reference}")
    assert crane("digest", f"{target.address}/old/image:v1") == docker
    pulled = tmp_path / "pulled"
    for name in ("image", "index"):
        here = f"docker://{target.address}/{REPO}:{name}"
        skopeo("copy", "--all", "--src-tls-verify=false", here, f"oci:{pulled}:{name}")
    assert stored_blobs(pulled) == stored_blobs(layout.path)

    again = target.told(source.url)
    assert (again["tags_copied"], again["tags_unchanged"], again["blobs_copied"]) == (0, 4, 0)
    with http_client(source.url) as client:
        push_docker_image(client, "old/image", "v2")
    news = target.told(f"{source.url}/old/image")
    assert (news["tags_copied"], news["tags_unchanged"], news["blobs_copied"], news["blobs_present"]) == (1, 1, 1, 1)


def test_some_repositories_and_tags(source: Distribution, target: Target, crane: Client) -> None:
    """Patterns choose, and a destination goes before the names. Signatures of what was chosen come along."""
    with http_client(source.url) as client:
        for repo in ("team/a", "team/b", "other/c"):
            digests = {tag: push_docker_image(client, repo, tag) for tag in ("v1.0", "v1.1", "v2.0")}
            for digest in digests.values():
                push_signature(client, repo, digest, 1, digest.replace(":", "-") + ".sig")
    told = target.told(
        *(f"{source.url}/team/*", "--tags", "v1.*", "--exclude-tags-regex", r".*\.0", "--destination", "mirror")
    )
    assert (told["repositories"], told["tags_copied"]) == (2, 4)
    target.replica.start()
    assert crane("catalog", target.address).split() == ["mirror/team/a", "mirror/team/b"]
    assert crane("ls", f"{target.address}/mirror/team/a").split()[-1] == "v1.1"
    told = target.told(f"{source.url}/other/c", "--tags", "v2.0", "--no-referrers")
    assert told["tags_copied"] == 1


def test_a_locked_distribution(target: Target, tmp_path: Path) -> None:
    """Name and password are needed, from a file of zot's or from arguments."""
    locked = Distribution(tmp_path, USER)
    locked.process.start(lambda: accepts(locked.port))
    try:
        with http_client(locked.url) as client:
            client.auth = (USER, PASSWORD)
            push_docker_image(client, REPO, "v1")
        done = target.run(locked.url)
        assert done.returncode == 1
        assert "status 401" in done.stderr
        assert "--username" in done.stderr
        (failure,) = json.loads(target.run(locked.url, "--json").stdout)["failures"]
        assert "status 401" in failure
        logins, password = tmp_path / "logins.json", tmp_path / "password"
        logins.write_text(json.dumps({locked.address: {"username": USER, "password": PASSWORD}}))
        assert target.told(locked.url, "--credentials-file", logins)["tags_copied"] == 1
        password.write_text(f"{PASSWORD}\n")
        told = target.told(locked.url, "--username", USER, "--password-file", password)
        assert told["tags_unchanged"] == 1
    finally:
        locked.process.kill()


def test_from_a_zotpy_that_gives_tokens(target: Target, bucket: Bucket, tmp_path: Path) -> None:
    """The token service gets the login, and referrers come by the API, for the images of an index as well."""
    (tmp_path / "source").mkdir()
    source = Replica(1, bucket, f"tokens/{tmp_path.name}", tmp_path / "source")
    source.configure({"http": {"auth": {"htpasswd": {"path": str(write_users(tmp_path))}}}})
    source.process.start(lambda: accepts(source.port))
    try:
        with http_client(source.url) as client:
            client.auth = (USER, PASSWORD)
            image = push_docker_image(client, REPO, "v1")
            signature = push_signature(client, REPO, image, 1)
            push_signature(client, REPO, signature, 1)
        password = tmp_path / "password"
        password.write_text(PASSWORD)
        login = ("--username", USER, "--password-file", password)
        told = target.told(source.url, *login)
        assert (told["tags_copied"], told["referrers_copied"]) == (1, 2)
        told = target.told(source.url, *login)
        assert (told["tags_unchanged"], told["referrers_copied"], told["manifests_copied"]) == (1, 0, 0)
        target.replica.start()
        with http_client(target.replica.url) as client:
            (listed,) = client.get(f"/v2/{REPO}/referrers/{image}").json()["manifests"]
            assert listed["digest"] == signature
    finally:
        source.process.kill()


def test_what_cannot_be_copied_is_named(source: Distribution, target: Target, tmp_path: Path) -> None:
    """A blob that its source has lost: the image is left out, and everything else comes."""
    with http_client(source.url) as client:
        push_docker_image(client, REPO, "whole")
        push_docker_image(client, REPO, "broken")
    hexadecimal = digest_of(b"layer of broken").partition(":")[2]
    places = list((tmp_path / "source" / "data").rglob(f"{hexadecimal}/data"))
    assert len(places) == 1
    places[0].unlink()
    done = target.run(source.url)
    assert done.returncode == 1
    assert f"not copied: {REPO}:broken" in done.stderr
    assert "1 repositories, 1 tags copied" in done.stdout


def test_a_killed_import_leaves_nothing_that_is_not_whole(source: Distribution, target: Target) -> None:
    """Whatever it had copied counts, no tag leads to something that is missing, and the next run does the rest."""
    with http_client(source.url) as client:
        for number in range(20):
            push_docker_image(client, f"many/app{number}", "v1")
    words = [sys.executable, "-m", "zotpy", "import", "-c", str(target.replica.settings), source.url, "--at-once", "1"]
    with Forked(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as killed:
        target.replica.start()
        with http_client(target.replica.url) as client:
            wait_until(lambda: bool(client.get("/v2/_catalog").json()["repositories"]), "the first image is here")
            killed.kill()
            for repo in client.get("/v2/_catalog").json()["repositories"]:
                if client.head(f"/v2/{repo}/manifests/v1").is_success:
                    assert len(pulled_blobs(client, repo, "v1")) == 3
    told = target.told(source.url)
    assert told["tags_copied"] + told["tags_unchanged"] == 20
    checked = target.run("--read", "all", command="fsck")
    assert "0 problems, 0 left" in checked.stdout, checked.stdout + checked.stderr
