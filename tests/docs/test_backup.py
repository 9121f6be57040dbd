"""The page about backups, as it is written: a SeaweedFS that clients push to is copied, and restored elsewhere."""

from __future__ import annotations

import random
import subprocess
import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import httpx
import pytest

from tests.blackbox.cluster import Replica
from tests.blackbox.registry_api import http_client, patient_client, push_blob
from tests.docs.pages import CHECKOUT
from tests.docs.test_pages import environment, run_page
from tests.processes import find_program, wait_until
from zotpy.bucket.reliance import SLACK
from zotpy.core.digests import Digest
from zotpy.core.media_types import OCI_IMAGE, OCI_INDEX

if TYPE_CHECKING:
    from pathlib import Path

    from tests.servers import Bucket

PAGE = "docs/backup.md"
SMALL_BYTES, LARGE_BYTES, PARTS_BYTES = 1_000, 200_000, 20 << 20
"""A blob that lives in its record, one that is one object, and one of several parts."""
PUSHED_BEFORE = 3
DEADLINE_S = 20.0
"""Of a request that writes. Half as long again after its begin, what it writes would be late."""
SETTINGS = {"gcSettings": {"grace": "1h", "deadline": f"{DEADLINE_S:g}s"}}


@dataclass
class Pusher:
    """A client that pushes images until it is told to stop, each under a tag of its own and as `latest`."""

    url: str
    pushed: list[tuple[str, bytes]] = field(default_factory=list)
    """Tag, and manifest, of each push that was acknowledged."""
    failures: list[str] = field(default_factory=list)
    stop: threading.Event = field(default_factory=threading.Event)

    def run(self) -> None:
        """Push one image after another."""
        with patient_client(self.url) as client:
            while not self.stop.is_set():
                try:
                    self.push(client, len(self.pushed))
                except (httpx.HTTPError, AssertionError) as error:
                    self.failures.append(repr(error))

    def push(self, client: httpx.Client, number: int) -> None:
        """Push an index with an image of three blobs to a repository of a few."""
        repository = f"team/app{number % 3}"
        made = random.Random(number)
        sizes = (SMALL_BYTES, LARGE_BYTES, PARTS_BYTES if number % 10 == 0 else LARGE_BYTES)
        config, *layers = (descriptor(made.randbytes(size), client, repository) for size in sizes)
        joined = ",".join(layers)
        image = f'{{"schemaVersion":2,"mediaType":"{OCI_IMAGE}","config":{config},"layers":[{joined}]}}'.encode()
        put(client, repository, str(Digest.of(image)), image, OCI_IMAGE)
        listed = f'{{"mediaType":"{OCI_IMAGE}","digest":"{Digest.of(image)}","size":{len(image)}}}'
        index = f'{{"schemaVersion":2,"mediaType":"{OCI_INDEX}","manifests":[{listed}]}}'.encode()
        put(client, repository, "latest", index, OCI_INDEX)
        put(client, repository, f"n{number}", index, OCI_INDEX)
        self.pushed.append((f"{repository} n{number}", index))


def descriptor(body: bytes, client: httpx.Client, repository: str) -> str:
    """Push a blob and return what a manifest says of it."""
    digest = push_blob(client, repository, body)
    return f'{{"mediaType":"application/octet-stream","digest":"{digest}","size":{len(body)}}}'


def put(client: httpx.Client, repository: str, reference: str, manifest: bytes, media_type: str) -> None:
    """Push a manifest."""
    url = f"/v2/{repository}/manifests/{reference}"
    answer = client.put(url, content=manifest, headers={"Content-Type": media_type})
    assert answer.status_code == 201, answer.text


def pull(client: httpx.Client, repository: str, reference: str) -> bytes:
    """Pull an index with all that it needs, compare every digest, and return the index."""
    index = client.get(f"/v2/{repository}/manifests/{reference}")
    assert index.status_code == 200, f"{repository} {reference}: {index.text}"
    for listed in index.json()["manifests"]:
        image = client.get(f"/v2/{repository}/manifests/{listed['digest']}")
        assert image.status_code == 200, f"{repository} {reference}: {image.text}"
        for needed in (image.json()["config"], *image.json()["layers"]):
            blob = client.get(f"/v2/{repository}/blobs/{needed['digest']}")
            assert Digest.of(blob.content) == Digest.parse(needed["digest"])
    return index.content


@pytest.fixture
def places(bucket: Bucket, prefix: str, tmp_path: Path) -> dict[str, str]:
    """Return the page's places, each with the one of this test; rclone's settings are written."""
    find_program("rclone", "apt-get install rclone")
    return {
        "/srv/": f"{tmp_path}/",
        "http://127.0.0.1:8333": bucket.endpoint,
        "access_key_id = registry": f"access_key_id = {bucket.access_key}",
        "secret_access_key = change-me": f"secret_access_key = {bucket.secret_key}",
        "live:registry-restored": f"live:{bucket.name}/{prefix}/restored",
        "backup:registry-backup": f"backup:{bucket.name}/{prefix}/backup",
        "live:registry": f"live:{bucket.name}/{prefix}/live",
    }


def test_what_is_pushed_during_a_backup_is_whole_when_restored(
    bucket: Bucket, prefix: str, places: dict[str, str], tmp_path: Path
) -> None:
    """All pushed before is there, all that is there can be pulled whole, and the check finds nothing wrong."""
    live = Replica(0, bucket, f"{prefix}/live", tmp_path)
    live.configure(SETTINGS)
    pusher = Pusher(live.url)
    thread = threading.Thread(target=pusher.run)
    live.start()
    try:
        thread.start()
        wait_until(lambda: len(pusher.pushed) >= PUSHED_BEFORE, "some images were pushed before the backup")
        before = list(pusher.pushed)
        run_page(PAGE, CHECKOUT, places, "install", "export", "sh deploy/backup live:")
        during = len(pusher.pushed) - len(before)
        wait_until(lambda: len(pusher.pushed) > len(before) + during, "pushes go on")
    finally:
        pusher.stop.set()
        thread.join()
        live.process.stop()
    assert pusher.failures == []
    assert during > 0

    stopped = time.monotonic()
    late = stopped + 3 * DEADLINE_S / 2 + SLACK.total_seconds() + 1  # the store tells whole seconds
    wait_until(lambda: time.monotonic() > late, "a copy of what was pushed is late by the store's clock")
    restored = Replica(1, bucket, f"{prefix}/restored", tmp_path)
    restored.configure(SETTINGS)
    (tmp_path / "restored.yaml").write_text(restored.settings.read_text())
    said = run_page(PAGE, CHECKOUT, places, "export", "sh deploy/backup backup:", "zotpy fsck")
    assert said.splitlines()[-1] == "0 problems, 0 left"
    assert "count for nothing" not in said
    restored.start()
    try:
        with http_client(restored.url) as client:
            for where, index in before:
                assert pull(client, *where.split()) == index
            for repository in client.get("/v2/_catalog").json()["repositories"]:
                tags = client.get(f"/v2/{repository}/tags/list").json()["tags"]
                assert "latest" in tags
                for tag in tags:
                    pull(client, repository, tag)
            assert client.head("/v2/team/app0/blobs/" + push_blob(client, "team/app0", b"new")).status_code == 200
    finally:
        restored.process.stop()


def test_a_place_without_a_registry_is_no_source(places: dict[str, str], tmp_path: Path) -> None:
    """A name that is mistyped does not empty the backup."""
    run_page(PAGE, CHECKOUT, places, "install")
    environ = {**environment(), "RCLONE_CONFIG": str(tmp_path / "rclone.conf")}
    kept = tmp_path / "backup/tags/kept"
    kept.parent.mkdir(parents=True)
    kept.write_text("kept")
    source = places["live:registry"] + "-mistyped"
    command: list[str | Path] = ["sh", CHECKOUT / "deploy/backup", source, tmp_path / "backup"]
    done = subprocess.run(command, env=environ, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "holds no registry" in done.stderr
    assert kept.read_text() == "kept"
    assert [path.name for path in (tmp_path / "backup").iterdir()] == ["tags"]
