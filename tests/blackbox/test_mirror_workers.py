"""A replica with two workers that mirrors a real registry: they are two processes, and copy each blob once."""

from __future__ import annotations

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from functools import partial
from typing import TYPE_CHECKING

import pytest

from tests.blackbox.images import stored_blobs
from tests.blackbox.mirrors import mirrored
from tests.blackbox.others import Distribution, running_distribution
from tests.blackbox.registry_api import pulled_blobs
from tests.blackbox.supervised import WORKERS, Supervised, connected

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.blackbox.clients import Client
    from tests.blackbox.images import Layout
    from tests.servers import Bucket

CLIENTS = 3
"""Of each worker."""


@pytest.fixture
def upstream(tmp_path: Path) -> Iterator[Distribution]:
    """Return a running upstream."""
    with running_distribution(tmp_path / "upstream", logs_access=True) as program:
        yield program


@pytest.fixture
def supervised(bucket: Bucket, prefix: str, tmp_path: Path, upstream: Distribution) -> Iterator[Supervised]:
    """Return a running zotpy with two workers that mirrors it."""
    registry = Supervised(tmp_path, bucket, prefix, more=mirrored(upstream.url))
    try:
        registry.start()
        yield registry
    finally:
        registry.process.stop()


def test_workers_fetch_each_blob_once(
    crane: Client, supervised: Supervised, upstream: Distribution, image: Layout
) -> None:
    """Clients of both workers begin at the same time, and all get the right bytes."""
    crane("push", image.path, f"{upstream.address}/workers/app:v1")
    before = len(upstream.gets())
    with ExitStack() as stack, ThreadPoolExecutor(WORKERS * CLIENTS) as pool:
        clients = [
            stack.enter_context(connected(supervised, worker))
            for worker in range(1, WORKERS + 1)
            for _ in range(CLIENTS)
        ]
        found = list(pool.map(partial(pulled_blobs, repository="hub/workers/app", reference="v1"), clients))
    assert found == [found[0]] * len(clients)
    assert found[0].items() <= stored_blobs(image.path).items()
    asked = Counter(upstream.gets()[before:])
    assert len(asked) == len(found[0]) - 1
    assert set(asked.values()) == {1}
