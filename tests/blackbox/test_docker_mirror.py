"""Docker's own daemon pulls images of Docker Hub by way of a replica that its `registry-mirrors` names."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.blackbox.cluster import Replica
from tests.blackbox.mirrors import mirrored
from tests.blackbox.others import Distribution, running_distribution
from tests.daemons import Docker

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.blackbox.clients import Client
    from tests.blackbox.images import Layout
    from tests.servers import Bucket


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[Distribution]:
    """Return a registry that takes the place of Docker Hub."""
    with running_distribution(tmp_path / "hub", logs_access=True) as program:
        yield program


@pytest.fixture
def mirror(hub: Distribution, bucket: Bucket, prefix: str, tmp_path: Path) -> Iterator[Replica]:
    """Return a replica that mirrors it below `docker.io`, and for docker under the names that the images have there."""
    directory = tmp_path / "mirror"
    directory.mkdir()
    replica = Replica(0, bucket, prefix, directory)
    replica.configure(
        mirrored(hub.url, content=[{"prefix": "**", "destination": "/docker.io"}, {"prefix": "library/*"}])
    )
    with replica.running():
        yield replica


@pytest.fixture
def docker(mirror: Replica) -> Iterator[Docker]:
    """Return a daemon that knows this mirror."""
    with tempfile.TemporaryDirectory(prefix="d", ignore_cleanup_errors=True) as name:
        daemon = Docker(Path(name), {"registry-mirrors": [mirror.url]})
        try:
            daemon.start()
            yield daemon
        finally:
            daemon.process.stop()


def test_docker_pulls_by_way_of_the_mirror(
    docker: Docker, hub: Distribution, mirror: Replica, crane: Client, small: Layout, tmp_path: Path
) -> None:
    """The image has its own name, the upstream sends each blob once, and the next pull works without the upstream."""
    crane("push", small.path, f"{hub.address}/library/app:v1")
    crane("push", small.path, f"{hub.address}/library/other:v1")
    client = docker.client(tmp_path / "home")
    client("pull", "app:v1")
    identity = client("image", "inspect", "--format", "{{.Id}}", "app:v1")
    assert identity in crane("manifest", f"{hub.address}/library/app:v1")
    whole = f"{mirror.url.removeprefix('http://')}/docker.io/library/other:v1"
    client("pull", whole)
    fetched = hub.gets()
    assert len(fetched) == len(set(fetched)) == 2
    hub.process.kill()
    client("image", "rm", "--force", "app:v1", whole)
    client("pull", "app:v1")
    assert client("image", "inspect", "--format", "{{.Id}}", "app:v1") == identity
