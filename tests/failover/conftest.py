"""Four replicas behind the balancer, and the clients that work while they die."""

from __future__ import annotations

import random
import uuid
from typing import TYPE_CHECKING

import pytest

from tests.blackbox.clients import Client
from tests.failover.farm import Farm
from tests.failover.load import Load
from tests.processes import running

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator
    from pathlib import Path

    from tests.servers import Bucket

REPLICAS = 4


@pytest.fixture(scope="session")
def shared_farm(bucket: Bucket, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Farm]:
    """Return four running replicas behind the balancer."""
    with running(Farm(bucket, f"failover/{uuid.uuid4().hex}", tmp_path_factory.mktemp("farm"), REPLICAS)) as farm:
        yield farm


@pytest.fixture
def farm(shared_farm: Farm) -> Farm:
    """Return the four replicas, all alive."""
    shared_farm.revive()
    return shared_farm


@pytest.fixture
def load(farm: Farm, tmp_path: Path) -> Load:
    """Return what clients will push to the farm."""
    return Load(farm, tmp_path)


@pytest.fixture
def source(request: pytest.FixtureRequest) -> random.Random:
    """Return where the bytes of this test come from, the same each time."""
    return random.Random(request.node.nodeid)


@pytest.fixture(scope="session")
def regctl(client_environment: dict[str, str], shared_farm: Farm) -> Client:
    """Return regctl, told that the registry speaks plain HTTP."""
    client = Client("regctl", client_environment)
    client("registry", "set", shared_farm.edge.plain, "--tls", "disabled")
    return client


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Show which requests failed in the balancer's eyes during a test that failed, and the ends of the logs."""
    report = yield
    if report.failed:
        for farm in (value for value in getattr(item, "funcargs", {}).values() if isinstance(value, Farm)):
            failed = "\n".join(str(passed) for passed in farm.edge.passed() if passed.failed)
            report.sections.append(("requests that failed, as HAProxy saw them", failed))
            report.sections += [(f"log of {replica.name}", replica.process.log_tail()) for replica in farm.replicas]
    return report
