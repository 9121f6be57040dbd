"""Clients that push to a registry without room end at once, and show their user why."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from tests.integration.test_commands import Site
from tests.processes import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.blackbox.clients import Client
    from tests.blackbox.images import Layout

REASON = "the disk of this registry is full"


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Return a registry that reserves the whole disk."""
    directory = tmp_path_factory.mktemp("full")
    variables = {"ZOTPY_STORAGE_RESERVEDSPACE": "100%", "ZOTPY_LOG_FORMAT": "json"}
    site = Site(directory / "root", directory / "log", variables)
    try:
        site.process.start(lambda: site.url != "")
        yield site
    finally:
        site.process.stop()


def uploads_of(site: Site, repository: str) -> int:
    """Count how often an upload was begun."""
    lines = [line for line in site.log.read_text().splitlines() if line.startswith("{")]
    requests = [event for event in map(json.loads, lines) if event["event"] == "request"]
    return sum(event["method"] == "POST" and repository in event["path"] for event in requests)


@pytest.mark.parametrize("name", ["crane", "oras", "skopeo"])
def test_a_client_ends_at_once_and_shows_why(
    request: pytest.FixtureRequest, full: Site, image: Layout, name: str
) -> None:
    """No blob is tried twice: as many uploads are begun as there are blobs, at most."""
    client: Client = request.getfixturevalue(name)
    address = full.url.removeprefix("http://")
    arguments: dict[str, tuple[str | Path, ...]] = {
        "crane": ("push", "--insecure", image.path, f"{address}/full/crane:v1"),
        "oras": ("cp", "--from-oci-layout", "--to-plain-http", f"{image.path}:image", f"{address}/full/oras:v1"),
        "skopeo": ("copy", "--dest-tls-verify=false", f"oci:{image.path}:image", f"docker://{address}/full/skopeo:v1"),
    }
    assert REASON in client.refused(*arguments[name])
    blobs = len(list((image.path / "blobs" / "sha256").iterdir())) - 1
    wait_until(lambda: uploads_of(full, f"full/{name}/") > 0, "requests are logged")
    assert uploads_of(full, f"full/{name}/") <= blobs
