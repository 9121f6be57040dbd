"""A store that hangs under 64 clients of 1 GiB each: the process stays within its budget, and recovers."""

from __future__ import annotations

import uuid
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

CLIENTS, LENGTH_BYTES = 64, 1024 * MIB
BUDGET_BYTES = 128 * MIB


@pytest.fixture
def replica(own_bucket: Bucket, prefix: str, tmp_path: Path) -> Iterator[UploadReplica]:
    """Return a replica with parts and memory of a small machine."""
    upload = {"partSize": 8 * MIB, "memoryBudget": BUDGET_BYTES}
    started = UploadReplica(0, own_bucket, prefix, tmp_path, upload=upload)
    try:
        started.start()
        yield started
    finally:
        started.process.kill()


async def test_memory_stays_within_the_budget_while_the_store_hangs(
    replica: UploadReplica, mortal_store: SeaweedServer, own_bucket: Bucket, prefix: str, source: random.Random
) -> None:
    """Base and budget bound the resident memory; when the store is back, uploads go on, and all memory comes back."""
    repository = f"uploads/{uuid.uuid4().hex}"
    with http_client(replica.url) as client:
        for _ in range(3):  # all that a replica loads, it has loaded
            push_blob(client, repository, source.randbytes(20 * MIB))
    base_bytes = resident_bytes(replica)
    forget_peak(replica)
    with Flood(replica, CLIENTS, LENGTH_BYTES) as flood:
        with hanging(mortal_store):
            blocked = flood.push_until_blocked()
            assert 0 < blocked.held_bytes <= BUDGET_BYTES
            assert flood.sent_bytes < CLIENTS * LENGTH_BYTES
            taken_bytes = flood.sent_bytes
            assert resident_bytes(replica, "VmHWM") <= base_bytes + BUDGET_BYTES
        flood.push_on(2 * BUDGET_BYTES)
        assert flood.sent_bytes >= taken_bytes + 2 * BUDGET_BYTES
        assert resident_bytes(replica, "VmHWM") <= base_bytes + BUDGET_BYTES
    wait_for(replica, lambda now: now.held_bytes == now.waiting == 0)
    content = source.randbytes(20 * MIB)
    with http_client(replica.url) as client:
        digest = push_blob(client, repository, content)
    assert blob_status(replica, repository, digest) == 200
    assert list(await multiparts(own_bucket, prefix)) == []
