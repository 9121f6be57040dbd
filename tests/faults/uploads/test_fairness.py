from __future__ import annotations

import uuid
from threading import Event, Thread
from typing import TYPE_CHECKING

import httpx
import pytest
import trio

from tests.blackbox.registry_api import DEADLINE_S, digest_of, http_client, push_blob
from tests.faults.uploads.flood import Flood, hanging
from tests.faults.uploads.replicas import MIB, HeldRequest, UploadReplica, wait_for, with_digest

if TYPE_CHECKING:
    import random
    from collections.abc import Iterator
    from pathlib import Path

    from tests.servers import SeaweedServer

BUDGET_BYTES = 32 * MIB
UPLOAD = {"partSize": 5 * MIB, "memoryBudget": BUDGET_BYTES}
HUGE_BYTES = 40 * 1024 * MIB
"""More than is sent before the small ones are through."""
SMALL_UPLOADS = 1000
AT_ONCE = 50
LONGEST_QUEUE = 8


@pytest.fixture
def replica(mortal_store: SeaweedServer, prefix: str, tmp_path: Path) -> Iterator[UploadReplica]:
    """Return a replica with a small memory budget and room for few who wait."""
    bucket = mortal_store.bucket("zotpy-tests")
    option = f"--longest-queue={LONGEST_QUEUE}"
    started = UploadReplica(0, bucket, prefix, tmp_path, option, upload=UPLOAD)
    try:
        started.start()
        yield started
    finally:
        started.process.kill()


def test_newcomers_are_turned_away_where_too_many_wait(
    replica: UploadReplica, mortal_store: SeaweedServer, source: random.Random
) -> None:
    """With the memory spent and the queue full a new upload is refused with 429 and a time to come back."""
    content = source.randbytes(100_000)
    url = f"/v2/late/comer/blobs/uploads/?digest={digest_of(content)}"
    with http_client(replica.url) as client:
        push_blob(client, "warm/up", content)
        with hanging(mortal_store), Flood(replica, LONGEST_QUEUE, HUGE_BYTES) as flood:
            while (full := flood.push_until_blocked()).waiting < LONGEST_QUEUE:
                flood.add()  # one that fills its own parts waits for them, and not in the queue
            assert full.held_bytes <= BUDGET_BYTES
            refused = client.post(url, content=content)
        assert (refused.status_code, refused.headers["Connection"]) == (429, "close")
        assert int(refused.headers["Retry-After"]) > 0
        assert refused.json()["errors"][0]["code"] == "TOOMANYREQUESTS"
    wait_for(replica, lambda now: now.held_bytes == now.waiting == 0)
    with http_client(replica.url) as client:
        assert client.post(url, content=content).status_code == 201


def test_small_uploads_are_not_held_up_by_a_huge_one(replica: UploadReplica, source: random.Random) -> None:
    """A thousand small blobs are pushed while one client sends a huge one as fast as it can: they all end first."""
    huge_is_sent, stop = Event(), Event()
    repository = f"small/{uuid.uuid4().hex}"
    with http_client(replica.url) as client:
        location = client.post("/v2/huge/blobs/uploads/").headers["Location"]
    piece = source.randbytes(MIB)

    with HeldRequest(replica, "PUT", with_digest(location, f"sha256:{'0' * 64}"), HUGE_BYTES) as huge:

        def send() -> None:
            try:
                while not stop.is_set() and huge.sent_bytes < HUGE_BYTES - MIB:
                    huge.send(piece)
            finally:
                huge_is_sent.set()

        sending = Thread(target=send)
        sending.start()
        try:
            wait_for(replica, lambda now: now.calls("put_part") >= 4)
            before = huge.sent_bytes
            statuses = trio.run(push_small, replica.url, repository, SMALL_UPLOADS)
            assert not huge_is_sent.is_set()
            after = huge.sent_bytes
        finally:
            stop.set()
            sending.join()
    assert statuses == [201] * SMALL_UPLOADS
    assert after > before
    wait_for(replica, lambda now: now.held_bytes == 0)


async def push_small(url: str, repository: str, count: int) -> list[int]:
    """Push this many small blobs, some at a time, and return the statuses."""
    statuses: list[int] = []
    slots = trio.CapacityLimiter(AT_ONCE)

    async def push(client: httpx.AsyncClient, number: int) -> None:
        content = number.to_bytes(4, "big") * 512
        async with slots:
            uploads = f"/v2/{repository}/blobs/uploads/"
            answer = await client.post(uploads, params={"digest": digest_of(content)}, content=content)
            statuses.append(answer.status_code)

    async with httpx.AsyncClient(base_url=url, timeout=DEADLINE_S) as client, trio.open_nursery() as nursery:
        for number in range(count):
            nursery.start_soon(push, client, number)
    return statuses
