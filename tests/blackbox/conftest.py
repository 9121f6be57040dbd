"""Two replicas behind a balancer on a real S3 server, the clients, and what they push."""

from __future__ import annotations

import re
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.blackbox.clients import Client
from tests.blackbox.cluster import Cluster
from tests.blackbox.images import Layer, Layout, small_layer
from tests.blackbox.imports import Target
from tests.blackbox.mirrors import mirrored
from tests.blackbox.others import Distribution, running_distribution
from tests.processes import running

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

    from tests.servers import Bucket


@pytest.fixture(scope="session")
def shared_cluster(bucket: Bucket, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Return a running cluster for all tests that kill nothing."""
    with running(Cluster(bucket, "blackbox", tmp_path_factory.mktemp("cluster"))) as cluster:
        yield cluster


@pytest.fixture
def cluster(shared_cluster: Cluster) -> Iterator[Cluster]:
    """Return the cluster; after the test every process must live and no request may have been answered with a 5xx."""
    before = shared_cluster.balancer.process.log_size()
    yield shared_cluster
    assert [process.name for process in shared_cluster.processes if not process.is_running] == []
    assert [request for request in shared_cluster.balancer.requests(before) if request.status >= 500] == []


@pytest.fixture
def registry(cluster: Cluster) -> str:
    """Return the address that clients are given."""
    return cluster.address


@pytest.fixture
def repository(request: pytest.FixtureRequest) -> str:
    """Return a repository name that no other test uses."""
    module = request.node.path.stem.removeprefix("test_")
    return f"{module}/{re.sub('[^a-z0-9]+', '-', request.node.name.removeprefix('test_').lower()).strip('-')}"


@pytest.fixture(scope="module")
def upstream(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Distribution]:
    """Return a running upstream."""
    with running_distribution(tmp_path_factory.mktemp("mirrored") / "upstream", logs_access=True) as program:
        yield program


@pytest.fixture(scope="module")
def mirror(
    request: pytest.FixtureRequest, upstream: Distribution, bucket: Bucket, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Cluster]:
    """Return two replicas that mirror it, behind a balancer."""
    cluster = Cluster(bucket, request.path.stem.removeprefix("test_"), tmp_path_factory.mktemp("mirror"))
    for replica in cluster.replicas:
        replica.configure(mirrored(upstream.url))
    with running(cluster):
        yield cluster


@pytest.fixture
def target(bucket: Bucket, prefix: str, tmp_path: Path) -> Iterator[Target]:
    """Return a registry whose bucket is empty, and whose replica is not started."""
    made = Target(bucket, prefix, tmp_path / "target")
    try:
        yield made
    finally:
        made.replica.process.kill()


@pytest.fixture(scope="session")
def small(tmp_path_factory: pytest.TempPathFactory) -> Layout:
    """Return a layout of one small image, tagged `image`."""
    layout = Layout(tmp_path_factory.mktemp("small") / "layout")
    layout.tag(layout.add_image([small_layer("json")]), "image")
    return layout


@pytest.fixture(scope="session")
def index(tmp_path_factory: pytest.TempPathFactory, layers: list[Layer]) -> Layout:
    """Return a layout of one index of images for two architectures, tagged `index`."""
    layout = Layout(tmp_path_factory.mktemp("index") / "layout")
    images = {"amd64": layout.add_image(layers), "arm64": layout.add_image(layers[1:], "arm64")}
    layout.tag(layout.add_index(images), "index")
    return layout


@pytest.fixture
def regctl(client_environment: dict[str, str], registry: str) -> Client:
    """Return regctl, told that the registry speaks plain HTTP and to push in chunks above 8 MiB."""
    client = Client("regctl", client_environment)
    client("registry", "set", registry, "--tls", "disabled", "--blob-max", str(8 << 20), "--blob-chunk", str(3 << 20))
    return client


@pytest.fixture
def storage_options() -> Iterator[list[str | Path]]:
    """Return the options that give podman and buildah an image store of the test's own, at a short path."""
    with tempfile.TemporaryDirectory(prefix="zotpy", ignore_cleanup_errors=True) as directory:
        root = Path(directory)
        yield ["--root", root / "storage", "--runroot", root / "run", "--storage-driver", "vfs"]


@pytest.fixture
def podman(client_environment: dict[str, str], storage_options: list[str | Path]) -> Client:
    """Return podman on the test's own image store."""
    return Client("podman", client_environment, storage_options)


@pytest.fixture
def buildah(client_environment: dict[str, str], storage_options: list[str | Path]) -> Client:
    """Return buildah on the test's own image store."""
    return Client("buildah", client_environment, storage_options)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_setup(item: pytest.Item) -> Generator[None, None, None]:
    """Remember how far the replicas' logs had got when the test began."""
    yield
    clusters = [value for value in getattr(item, "funcargs", {}).values() if isinstance(value, Cluster)]
    item.stash[CLUSTERS] = [(cluster, cluster.log_sizes()) for cluster in clusters]


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Show what replicas and balancer logged during a test that failed."""
    report = yield
    if report.failed:
        for cluster, sizes in item.stash.get(CLUSTERS, []):
            report.sections += [(f"log of {name}", log) for name, log in cluster.logs_since(sizes)]
    return report


CLUSTERS = pytest.StashKey[list[tuple[Cluster, list[int]]]]()
