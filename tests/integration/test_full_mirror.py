"""A mirror on a store of its own whose disk is full: real clients pull through it, and it writes nothing."""

from __future__ import annotations

import json
import os
import sys
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from bench.servers.processes import accepts
from tests.blackbox.images import Layout, large_layer, small_layer, stored_blobs
from tests.blackbox.mirrors import mirrored
from tests.blackbox.others import Distribution, running_distribution
from tests.forks.forked import run
from tests.integration.test_full_disk import DISK_BYTES, MIB, RESERVED, small_disk
from tests.processes import Process, free_port, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.blackbox.clients import Client

REPO = "team/app"
MANIFESTS = 3
"""An index and two images."""


class Mirror:
    """A replica with a store of its own, which mirrors an upstream below `hub`."""

    def __init__(self, upstream: Distribution, root: Path, directory: Path) -> None:
        """Write its settings; nothing is started yet."""
        self.port = free_port()
        self.address = f"127.0.0.1:{self.port}"
        self.root = root
        self.settings = directory / "mirror.json"
        written = {
            "http": {"port": self.port},
            "storage": {"rootDirectory": str(root), "reservedSpace": f"{RESERVED:.0%}"},
            "log": {"format": "json"},
            **mirrored(upstream.url),
        }
        self.settings.write_text(json.dumps(written))
        command = [sys.executable, "-m", "zotpy", "serve", "-c", str(self.settings)]
        self.process = Process("mirror", command, directory / "mirror.log")

    def start(self) -> None:
        """Start it, and wait until it accepts."""
        self.process.start(lambda: accepts(self.port))

    def outcomes(self) -> dict[str, int]:
        """Return what happened to blobs, from the metrics."""
        lines = httpx.get(f"http://{self.address}/metrics").raise_for_status().text.splitlines()
        found = [line for line in lines if line.startswith("zotpy_mirror_blobs_total{")]
        return {line.split('"')[1]: int(float(line.split()[-1])) for line in found}

    def events(self, name: str) -> list[dict[str, Any]]:
        """Return the lines of its log with this event."""
        lines = [line for line in self.process.log_tail().splitlines() if line.startswith("{")]
        return [event for event in map(json.loads, lines) if event["event"] == name]

    def stored(self) -> dict[str, Any]:
        """Return what `zotpy du` says."""
        done = run([sys.executable, "-m", "zotpy", "du", "-c", str(self.settings), "--json"])
        assert done.returncode == 0, done.stderr
        return dict(json.loads(done.stdout))


@pytest.fixture
def upstream(tmp_path: Path) -> Iterator[Distribution]:
    """Return a running distribution without content."""
    with running_distribution(tmp_path / "upstream", logs_access=True) as made:
        yield made


@pytest.fixture
def mirror(upstream: Distribution, tmp_path: Path) -> Iterator[Mirror]:
    """Return a running mirror on a small disk."""
    with small_disk(tmp_path / "disk") as disk:
        made = Mirror(upstream, disk / "root", tmp_path)
        try:
            made.start()
            yield made
        finally:
            made.process.stop()


def test_clients_pull_through_a_mirror_whose_disk_is_full(
    upstream: Distribution, mirror: Mirror, crane: Client, skopeo: Client, tmp_path: Path
) -> None:
    """An index, small blobs and a large one. Once there is room again, the same pulls are kept."""
    layout = Layout(tmp_path / "layout")
    images = {name: layout.add_image([large_layer(), small_layer("h11")], name) for name in ("amd64", "arm64")}
    layout.tag(layout.add_index(images), "v1")
    there, here = f"docker://{upstream.address}/{REPO}:v1", f"docker://{mirror.address}/hub/{REPO}:v1"
    skopeo("copy", "--all", "--dest-tls-verify=false", f"oci:{layout.path}:v1", there)

    other = mirror.root.parent / "other"
    with other.open("wb") as filling:  # another program fills the disk
        while os.statvfs(mirror.root).f_bavail * 4096 > DISK_BYTES * RESERVED:
            filling.write(bytes(MIB))
            filling.flush()
    wait_until(lambda: bool(mirror.events("disk_full")), "the mirror has noticed")
    for number in range(2):
        pulled = tmp_path / f"pulled{number}"
        skopeo("copy", "--all", "--src-tls-verify=false", here, f"oci:{pulled}:v1")
        assert stored_blobs(pulled) == stored_blobs(layout.path)
    crane("validate", "--remote", f"{mirror.address}/hub/{REPO}:v1")
    outcomes = mirror.outcomes()
    assert outcomes.pop("passed") > 0
    assert not any(outcomes.values())
    assert len(mirror.events("mirror_keeps_nothing")) == 1
    assert (mirror.stored()["repositories"], mirror.stored()["stored_bytes"]) == ([], 0)

    other.unlink()
    wait_until(lambda: bool(mirror.events("disk_has_room_again")), "the mirror has noticed")
    skopeo("copy", "--all", "--src-tls-verify=false", here, f"oci:{tmp_path / 'kept'}:v1")
    blobs = len(stored_blobs(layout.path)) - MANIFESTS
    wait_until(lambda: mirror.outcomes().get("copied") == blobs, "all blobs are kept")
    sent = len(upstream.gets())
    skopeo("copy", "--all", "--src-tls-verify=false", here, f"oci:{tmp_path / 'again'}:v1")
    assert stored_blobs(tmp_path / "again") == stored_blobs(layout.path)
    assert len(upstream.gets()) == sent
    assert [each["name"] for each in mirror.stored()["repositories"]] == [f"hub/{REPO}"]
