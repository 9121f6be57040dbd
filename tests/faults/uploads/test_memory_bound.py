from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.blackbox.registry_api import http_client, push_blob
from tests.faults.uploads.flood import Flood, forget_peak, hanging, resident_bytes
from tests.faults.uploads.replicas import MIB, UploadReplica, blob_status, multiparts, wait_for

if TYPE_CHECKING:
    import random
    from collections.abc import Iterator
    from pathlib import Path

    from tests.servers import Bucket, SeaweedServer

pytestmark = pytest.mark.usefixtures("plain_starts")

BUDGET_BYTES = 128 * MIB
CLIENTS = 64
GIB = 1024 * MIB


@pytest.fixture
def replica(own_bucket: Bucket, prefix: str, tmp_path: Path) -> Iterator[UploadReplica]:
    """Return a fresh replica with a small memory budget."""
    started = UploadReplica(0, own_bucket, prefix, tmp_path, upload={"memoryBudget": BUDGET_BYTES})
    try:
        started.start()
        yield started
    finally:
        started.process.kill()


async def test_memory_stays_within_the_budget_and_all_recovers(
    replica: UploadReplica, mortal_store: SeaweedServer, own_bucket: Bucket, prefix: str, source: random.Random
) -> None:
    """64 clients that push a GiB each cost no more than the budget, with a store that hangs and when it recovers."""
    with http_client(replica.url) as client:
        for _ in range(4):
            push_blob(client, "warm/up", source.randbytes(48 * MIB))
    base = resident_bytes(replica)
    forget_peak(replica)
    with Flood(replica, CLIENTS, GIB) as flood:
        with hanging(mortal_store):
            stuck = flood.push_until_blocked()
        flood.push_on(2 * BUDGET_BYTES)
    assert stuck.held_bytes <= BUDGET_BYTES
    assert stuck.waiting == CLIENTS
    wait_for(replica, lambda now: now.held_bytes == now.waiting == 0)
    assert resident_bytes(replica, "VmHWM") <= base + BUDGET_BYTES
    with http_client(replica.url) as client:
        digest = push_blob(client, "after/all", source.randbytes(48 * MIB))
    assert blob_status(replica, "after/all", digest) == 200
    assert list(await multiparts(own_bucket, prefix)) == []
