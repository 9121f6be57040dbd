"""`zotpy sync` from a real registry, beside a replica from which real clients pull and to which they push."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from typing import TYPE_CHECKING

import pytest

from bench.servers.processes import accepts
from tests.blackbox.balancer import answers
from tests.blackbox.images import Layout, large_layer, small_layer, stored_blobs
from tests.blackbox.imports import Target
from tests.blackbox.mirrors import mirrored
from tests.blackbox.others import Distribution, running_distribution
from tests.blackbox.registry_api import http_client, pulled_blobs
from tests.blackbox.test_import import push_docker_image
from tests.forks.forked import Forked
from tests.processes import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import httpx

    from tests.blackbox.clients import Client
    from tests.servers import Bucket

REPO = "team/app"
IMAGES, BLOBS = 20, 3


@pytest.fixture
def upstream(tmp_path: Path) -> Iterator[Distribution]:
    """Return a running distribution without content."""
    with running_distribution(tmp_path / "upstream", logs_access=True) as made:
        yield made


@pytest.fixture
def here(bucket: Bucket, prefix: str, upstream: Distribution, tmp_path: Path) -> Iterator[Target]:
    """Return a registry that mirrors it every six hours. Its replica runs, and fetches nothing on demand."""
    made = Target(bucket, prefix, tmp_path / "here")
    made.replica.configure(mirrored(upstream.url, onDemand=False, pollInterval="6h"))
    try:
        made.replica.process.start(lambda: answers(made.replica.url))
        yield made
    finally:
        made.replica.process.kill()


def test_runs_one_after_another(upstream: Distribution, here: Target, crane: Client, tmp_path: Path) -> None:
    """The second copies nothing, the third a new tag and one that moved; and a tag that was pushed here stays."""
    images = [Layout(tmp_path / name) for name in ("first", "second", "ours")]
    for image, layers in zip(images, (["h11"], ["h11", "sniffio"], ["sniffio"]), strict=True):
        image.tag(image.add_image([large_layer(), *map(small_layer, layers)]), "image")
    first, second, ours = images
    for tag in ("v1", "moving", "shared"):
        crane("push", first.path, f"{upstream.address}/{REPO}:{tag}")
    told = here.told(command="sync")
    assert (told["repositories"], told["tags_copied"], told["problems"]) == (1, 3, [])
    assert not [path for path in upstream.gets() if path.count("/blobs/") != 1]
    sent = len(upstream.gets())
    crane("pull", "--format", "oci", f"{here.address}/hub/{REPO}:v1", tmp_path / "pulled")
    assert stored_blobs(tmp_path / "pulled") == stored_blobs(first.path)

    told = here.told(command="sync")
    assert (told["tags_copied"], told["tags_unchanged"], told["manifests_copied"], told["blobs_copied"]) == (0, 3, 0, 0)
    assert len(upstream.gets()) == sent

    crane("push", ours.path, f"{here.address}/hub/{REPO}:shared")
    crane("push", second.path, f"{upstream.address}/{REPO}:moving")
    crane("tag", f"{upstream.address}/{REPO}:moving", "new")
    told = here.told(command="sync")
    assert (told["tags_copied"], told["tags_unchanged"], told["tags_kept"], told["problems"]) == (2, 1, 1, [])
    for tag in ("moving", "new"):
        assert crane("digest", f"{here.address}/hub/{REPO}:{tag}") == crane(
            "digest", f"{upstream.address}/{REPO}:{tag}"
        )
    crane("pull", "--format", "oci", f"{here.address}/hub/{REPO}:shared", tmp_path / "shared")
    assert stored_blobs(tmp_path / "shared") == stored_blobs(ours.path)
    checked = here.run("--read", "all", command="fsck")
    assert "0 problems, 0 left" in checked.stdout, checked.stdout + checked.stderr


def test_an_upstream_that_is_down(upstream: Distribution, here: Target) -> None:
    """It is named, the exit code says so, and what is here stays. The next look of a timer tries again."""
    upstream.process.kill()
    for _ in range(2):
        done = here.run("--due", command="sync")
        assert done.returncode == 1
        assert f"zotpy: {upstream.url}: " in done.stderr
    upstream.start()
    assert here.told("--due", command="sync")["problems"] == []
    upstream.process.kill()
    assert here.told("--due", command="sync")["repositories"] == 0
    assert accepts(here.replica.port)


def test_what_is_named(upstream: Distribution, here: Target, crane: Client, tmp_path: Path) -> None:
    """A registry without an interval is copied only if it is named."""
    image = Layout(tmp_path / "image")
    image.tag(image.add_image([small_layer("h11")]), "image")
    crane("push", image.path, f"{upstream.address}/{REPO}:v1")
    here.replica.configure(mirrored(upstream.url, onDemand=True))
    done = here.run(command="sync")
    assert (done.returncode, "nothing to copy" in done.stderr) == (0, True)
    assert here.told("--registry", upstream.url, command="sync")["tags_copied"] == 1
    assert here.told("--registry", "0", command="sync")["tags_unchanged"] == 1
    done = here.run("--registry", "registry.example", command="sync")
    assert (done.returncode, "no such registry" in done.stderr) == (2, True)


def test_a_killed_run_leaves_nothing_that_is_not_whole(upstream: Distribution, here: Target) -> None:
    """No tag leads to something that is missing, and the next run does the rest: what had come is not sent again."""
    with http_client(upstream.url) as client:
        for number in range(IMAGES):
            push_docker_image(client, f"many/app{number}", "v1")
    here.replica.configure(mirrored(upstream.url, onDemand=False, pollInterval="6h", reqConcurrent=1))
    words = [sys.executable, "-m", "zotpy", "sync", "-c", str(here.replica.settings)]
    with (
        Forked(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as killed,
        http_client(here.replica.url) as client,
    ):
        wait_until(lambda: bool(whole(client)), "the first image is here")
        killed.kill()
        killed.wait()
        assert all(len(pulled_blobs(client, repo, "v1")) == BLOBS for repo in whole(client))
    sent = Counter(upstream.gets())
    told = here.told(command="sync")
    assert (told["tags_copied"] + told["tags_unchanged"], told["problems"]) == (IMAGES, [])
    again = [path for path, times in Counter(upstream.gets()).items() if path in sent and times > sent[path]]
    assert len(again) <= BLOBS  # those of the image that was under way
    checked = here.run("--read", "all", command="fsck")
    assert "0 problems, 0 left" in checked.stdout, checked.stdout + checked.stderr


def whole(client: httpx.Client) -> list[str]:
    """Return the mirrored repositories whose tag is here."""
    listed = client.get("/v2/_catalog").json()["repositories"]
    return [repo for repo in listed if client.head(f"/v2/{repo}/manifests/v1").is_success]
