"""`zotpy gc`, `du` and `fsck` as a person runs them, beside a replica with a store of its own, a real SeaweedFS."""

from __future__ import annotations

import json
import os
import re
import sys
from typing import TYPE_CHECKING, Any

import httpx
import pytest
import trio

from tests.blackbox.registry_api import digest_of, http_client, patient_client, push_blob
from tests.forks.forked import run
from tests.processes import Process, wait_until
from zotpy.config import load_settings
from zotpy.core import keys
from zotpy.core.digests import Digest
from zotpy.core.media_types import OCI_IMAGE
from zotpy.core.names import RepositoryName
from zotpy.storage import open_store

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path
    from subprocess import CompletedProcess

REPO = "team/app"
CONFIG, LAYER, GARBAGE = b"{}", os.urandom(300_000), os.urandom(200_000)
SHORT = {
    "ZOTPY_GCSETTINGS_GRACE": "10s",
    "ZOTPY_GCSETTINGS_DEADLINE": "1s",
    "ZOTPY_GCSETTINGS_UPLOADTTL": "10s",
    "ZOTPY_GCSETTINGS_INTERVAL": "0",
}
"""How long after its push a blob that nothing names may be deleted. Only the commands collect."""


class Site:
    """A replica that runs, and commands beside it."""

    def __init__(self, root: Path, log: Path, variables: Mapping[str, str] = SHORT) -> None:
        """Remember where its data is."""
        self.root = root
        self.environment = os.environ | variables
        command = [sys.executable, "-m", "zotpy", "serve", "--port", "0", "--root", str(root)]
        self.process = Process("replica", command, log, self.environment)
        self.log = log

    @property
    def url(self) -> str:
        """Where the replica listens, once it says so."""
        said = re.search(r"zotpy is ready on (http://\S+)", self.log.read_text())
        return said[1] if said else ""

    def run(self, *arguments: str) -> CompletedProcess[str]:
        """Run one command to its end."""
        command = [sys.executable, "-m", "zotpy", *arguments, "--root", str(self.root)]
        return run(command, self.environment)

    def told(self, *arguments: str) -> dict[str, Any]:
        """Run one command that succeeds, and return what it says as JSON."""
        done = self.run(*arguments, "--json")
        assert done.returncode == 0, done.stderr
        return dict(json.loads(done.stdout))


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    """Return a site with an image in it, and a blob that no image names."""
    made = Site(tmp_path / "root", tmp_path / "replica.log")
    try:
        made.process.start(lambda: made.url != "")
        with patient_client(made.url) as client:
            for body in (CONFIG, LAYER, GARBAGE):
                push_blob(client, REPO, body)
            answer = client.put(f"/v2/{REPO}/manifests/v1", content=manifest(), headers={"Content-Type": OCI_IMAGE})
            assert answer.status_code == httpx.codes.CREATED
        yield made
    finally:
        made.process.stop()


def manifest() -> bytes:
    """Write the image's manifest."""
    blobs = [
        {"mediaType": "application/octet-stream", "digest": digest_of(body), "size": len(body)}
        for body in (CONFIG, LAYER)
    ]
    return json.dumps({"schemaVersion": 2, "mediaType": OCI_IMAGE, "config": blobs[0], "layers": blobs[1:]}).encode()


def test_what_nothing_names_goes_and_the_rest_stays(site: Site, tmp_path: Path) -> None:
    """Collected while the replica runs; what is left is whole, right, and takes what it should, also when it ended."""
    metrics = tmp_path / "gc.prom"
    before = site.told("du")
    assert before["stored_bytes"] - len(LAYER) - len(GARBAGE) in range(1, 2000)
    collections: list[dict[str, Any]] = []

    def is_collected() -> bool:
        collections.append(site.told("gc", "--metrics-file", str(metrics)))
        return bool(collections[-1]["data_deleted"])

    wait_until(is_collected, "the garbage went", deadline_s=120)
    assert sum(each["records_deleted"] for each in collections) == 1
    assert collections[-1]["data_deleted_bytes"] == len(GARBAGE)
    assert "zotpy_gc_data_deleted 1.0" in metrics.read_text().splitlines()
    with http_client(site.url) as client:
        assert client.get(f"/v2/{REPO}/blobs/{digest_of(LAYER)}").content == LAYER
        assert client.head(f"/v2/{REPO}/blobs/{digest_of(GARBAGE)}").status_code == httpx.codes.NOT_FOUND
        assert client.get(f"/v2/{REPO}/manifests/v1").content == manifest()
    assert before["stored_bytes"] - site.told("du")["stored_bytes"] == len(GARBAGE)
    site.process.stop()
    checked = site.told("fsck", "--read", "all")
    assert checked == {
        "repositories": 1,
        "manifests": 1,
        "blobs": 2,
        "tags": 1,
        "bytes_read": len(LAYER),
        "data_unnamed": 0,
        "data_unnamed_bytes": 0,
        "late": 0,
        "restored": 0,
        "problems": [],
        "failures": [],
    }


def test_what_is_said_is_for_people(site: Site) -> None:
    """A table, sentences, and the exit code; a dry run deletes nothing."""
    used = site.run("du").stdout
    assert re.search(rf"^\s*{REPO}\s+1\s+1\s+3\s", used, re.MULTILINE), used
    assert "1 repositories" in used
    dry = site.run("gc", "--dry-run")
    assert dry.returncode == 0
    assert "checked" in dry.stdout
    assert "would be deleted" in dry.stdout
    key = keys.entry(RepositoryName.parse(REPO), "blobs", Digest.parse(digest_of(LAYER)))
    trio.run(delete, site, key)
    told: list[tuple[int, str]] = []

    def is_found() -> bool:
        broken = site.run("fsck")
        told.append((broken.returncode, broken.stdout.splitlines()[-1]))
        return broken.returncode != 0

    wait_until(is_found, "a lease without an entry counted no longer as a push under way")
    assert told[-1] == (1, "1 problems, 1 left")
    mended = site.run("fsck", "--repair")
    assert (mended.returncode, mended.stdout.splitlines()[-1]) == (0, "1 problems, 0 left")
    with http_client(site.url) as client:
        assert client.get(f"/v2/{REPO}/blobs/{digest_of(LAYER)}").content == LAYER


@pytest.mark.parametrize("command", ["gc", "du", "fsck"])
def test_a_directory_without_a_store_is_left_alone(tmp_path: Path, command: str) -> None:
    """A mistyped path is said in a line: no directory is made, and no store is started in one."""
    wrong = Site(tmp_path / "wrong", tmp_path / "wrong.log")
    done = wrong.run(command)
    assert (done.returncode, done.stdout) == (1, "")
    advice = "name the registry's directory with --root or storage.rootDirectory"
    assert done.stderr == f"zotpy: the data directory {wrong.root} does not exist: {advice}\n"
    assert not wrong.root.exists()
    wrong.root.mkdir()
    done = wrong.run(command)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == f"zotpy: the data directory {wrong.root} holds no store: {advice}\n"
    assert list(wrong.root.iterdir()) == []


def test_a_bucket_of_a_newer_release_is_left_alone(site: Site) -> None:
    """It is said in a line, and nothing is written."""
    trio.run(write, site, keys.LAYOUT, b'{"layout":9,"least":9,"release":"9.0.0"}\n')
    done = site.run("gc")
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].endswith("run zotpy 9.0.0 or newer")


def test_a_metrics_file_that_cannot_be_written_is_one_line(site: Site, tmp_path: Path) -> None:
    """The collection is done all the same, and told; a dry run writes none."""
    file = tmp_path / "nowhere" / "gc.prom"
    done = site.run("gc", "--metrics-file", str(file))
    assert done.returncode == 1
    assert "checked" in done.stdout
    assert done.stderr.splitlines()[-1] == f"zotpy: {file}: No such file or directory"
    assert site.run("gc", "--dry-run", "--metrics-file", str(file)).returncode == 0


async def write(site: Site, key: str, body: bytes) -> None:
    """Write an object behind the replica's back."""
    settings = load_settings(environ={}, overrides={"storage.rootDirectory": str(site.root)})
    async with open_store(settings, beside_a_replica=True) as store:
        await store.put(key, body)


async def delete(site: Site, key: str) -> None:
    """Delete an object behind the replica's back."""
    settings = load_settings(environ={}, overrides={"storage.rootDirectory": str(site.root)})
    async with open_store(settings, beside_a_replica=True) as store:
        await store.delete(key)


@pytest.mark.parametrize("command", ["gc", "du", "fsck"])
def test_a_store_that_cannot_be_reached_is_one_line(command: str, tmp_path: Path) -> None:
    """The command fails with that line, and prints no traceback."""
    config = tmp_path / "config.yaml"
    driver = {"name": "s3", "bucket": "b", "regionendpoint": "http://127.0.0.1:9", "accesskey": "a", "secretkey": "b"}
    config.write_text(json.dumps({"storage": {"storageDriver": driver}}))
    done = run([sys.executable, "-m", "zotpy", command, "-c", str(config)])
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert done.stderr.startswith("zotpy: the bucket 'b' at http://127.0.0.1:9 cannot be used: ")


def test_a_registry_copies_itself_while_it_runs(site: Site, tmp_path: Path) -> None:
    """An import and an export share the store that the replica runs; the source here is the replica itself."""
    told = site.told("import", site.url, "--destination", "copy")
    assert (told["tags_copied"], told["blobs_mounted"], told["problems"]) == (1, 1, [])
    with http_client(site.url) as client:
        assert client.get(f"/v2/copy/{REPO}/manifests/v1").content == manifest()
    archive = tmp_path / "copy.tar"
    assert site.told("export", f"copy/{REPO}", "--to", f"oci-archive:{archive}")["tags"] == 1
    site.process.stop()
    assert site.told("import", f"oci-archive:{archive}", "--as", f"copy/{REPO}")["tags_unchanged"] == 1
