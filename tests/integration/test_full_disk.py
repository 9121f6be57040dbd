"""A registry whose disk fills: pushes end at once, with the reason, and all else goes on. It collects by itself."""

from __future__ import annotations

import json
import os
import re
from contextlib import contextmanager
from typing import TYPE_CHECKING

import httpx
import pytest

from tests.blackbox.registry_api import digest_of, patient_client, push_blob
from tests.integration.test_commands import CONFIG, GARBAGE, LAYER, REPO, SHORT, Site, manifest
from tests.powercuts.disk import needs_mounts, run
from tests.processes import wait_until
from zotpy.core.media_types import OCI_IMAGE

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

MIB = 1 << 20
DISK_BYTES = 320 * MIB
RESERVED = 0.10
"""Of so small a disk a share that is some tens of MiB, as 2 % are of a usual one."""
LARGE_BYTES = 16 * MIB
FULL = httpx.codes.REQUEST_ENTITY_TOO_LARGE


@contextmanager
def small_disk(at: Path) -> Iterator[Path]:
    """Mount a file system of a few MiB."""
    needs_mounts()
    at.mkdir()
    run("mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "none", at)
    try:
        yield at
    finally:
        run("umount", at)


@contextmanager
def started(site: Site) -> Iterator[httpx.Client]:
    """Run the registry, and return a client of it."""
    try:
        site.process.start(lambda: site.url != "")
        with patient_client(site.url) as client:
            yield client
    finally:
        site.process.stop()


def push_image(client: httpx.Client) -> httpx.Response:
    """Push the image of these tests."""
    for body in (CONFIG, LAYER):
        push_blob(client, REPO, body)
    return client.put(f"/v2/{REPO}/manifests/v1", content=manifest(), headers={"Content-Type": OCI_IMAGE})


def reason_of(answer: httpx.Response) -> str:
    """Return why the registry takes no push."""
    assert answer.status_code == FULL, answer.text
    (error,) = answer.json()["errors"]
    assert error["code"] == "DENIED"
    return str(error["message"])


@pytest.fixture
def filled(tmp_path: Path) -> Iterator[tuple[Site, httpx.Client]]:
    """Return a registry with an image, whose disk a long upload has filled."""
    with small_disk(tmp_path / "disk") as disk:
        site = Site(disk / "root", tmp_path / "log", SHORT | {"ZOTPY_STORAGE_RESERVEDSPACE": f"{RESERVED:.0%}"})
        with started(site) as client:
            assert push_image(client).status_code == httpx.codes.CREATED
            yield site, client


def test_a_push_that_fills_the_disk_ends_in_its_middle(filled: tuple[Site, httpx.Client]) -> None:
    """An upload longer than the disk is refused with the reason, and has left alone what is reserved."""
    site, client = filled
    begun = client.post(f"/v2/{REPO}/blobs/uploads/")
    pieces = (os.urandom(MIB) for _ in range(2 * DISK_BYTES // MIB))
    assert "the disk of this registry is full" in reason_of(client.patch(begun.headers["Location"], content=pieces))
    assert os.statvfs(site.root).f_bavail * os.statvfs(site.root).f_frsize > DISK_BYTES * RESERVED / 2


def test_a_full_registry_does_everything_but_take_pushes(filled: tuple[Site, httpx.Client]) -> None:
    """Every way to push says why at once; pulls, lists, deletes, health and collections go on; a metric shows it."""
    site, client = filled
    target = f"/v2/{REPO}/blobs/uploads/"
    begun = client.post(target).headers["Location"]
    with (site.root.parent / "other").open("wb") as other:  # another program fills the disk
        while os.statvfs(site.root).f_bavail * 4096 > DISK_BYTES * RESERVED:
            other.write(bytes(MIB))
            other.flush()
    wait_until(lambda: client.post(target).status_code == FULL, "the registry has noticed")
    pushes = [
        client.post(target, params={"digest": digest_of(b"x")}, content=b"x"),
        client.post(target, params={"mount": digest_of(LAYER), "from": REPO}),
        client.patch(begun, content=b"x"),
        client.put(f"{begun}&digest={digest_of(b'x')}", content=b"x"),
        client.put(f"/v2/{REPO}/manifests/v2", content=manifest(), headers={"Content-Type": OCI_IMAGE}),
    ]
    for answer in pushes:
        assert re.search(r"is full \([\d,]+ MiB of 320 MiB are free, 32 MiB reserved\): delete", reason_of(answer))
    assert client.get("/readyz").status_code == httpx.codes.OK
    assert client.get(f"/v2/{REPO}/manifests/v1").content == manifest()
    assert client.get(f"/v2/{REPO}/blobs/{digest_of(LAYER)}").content == LAYER
    shown = dict(line.split() for line in client.get("/metrics").text.splitlines() if line.startswith("zotpy_disk"))
    assert float(shown["zotpy_disk_reserved_bytes"]) == int(DISK_BYTES * RESERVED)
    assert float(shown["zotpy_disk_free_bytes"]) < DISK_BYTES * RESERVED
    assert client.delete(f"/v2/{REPO}/manifests/{digest_of(manifest())}").status_code == httpx.codes.ACCEPTED
    assert client.get(f"/v2/{REPO}/manifests/v1").status_code == httpx.codes.NOT_FOUND
    assert site.run("gc").returncode == 0
    (site.root.parent / "other").unlink()
    wait_until(lambda: client.post(target).status_code == httpx.codes.ACCEPTED, "pushes go on")


def test_a_registry_with_a_store_of_its_own_collects_by_itself(tmp_path: Path) -> None:
    """Without `zotpy gc`, and beside workers: the garbage goes, the image stays."""
    variables = SHORT | {"ZOTPY_GCSETTINGS_INTERVAL": "3s", "ZOTPY_HTTP_WORKERS": "2", "ZOTPY_LOG_FORMAT": "json"}
    site = Site(tmp_path / "root", tmp_path / "log", variables)
    with started(site) as client:
        assert push_image(client).status_code == httpx.codes.CREATED
        push_blob(client, REPO, GARBAGE)

        def collected() -> list[dict[str, object]]:
            lines = [line for line in site.log.read_text().splitlines() if line.startswith("{") and line.endswith("}")]
            return [event for event in map(json.loads, lines) if event["event"] == "collected"]

        wait_until(lambda: any("data_deleted" in event for event in collected()), "the garbage went", deadline_s=180)
        assert client.head(f"/v2/{REPO}/blobs/{digest_of(GARBAGE)}").status_code == httpx.codes.NOT_FOUND
        assert client.get(f"/v2/{REPO}/blobs/{digest_of(LAYER)}").content == LAYER
        assert client.get(f"/v2/{REPO}/manifests/v1").content == manifest()
