"""A replica whose bucket a newer release has moved on."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import httpx
import trio

from tests.blackbox.cluster import Replica
from tests.blackbox.registry_api import digest_of, http_client, push_blob
from tests.processes import wait_until
from zotpy.bucket.layout import KNOWN, WRITTEN
from zotpy.core import keys
from zotpy.core.framing import frame
from zotpy.store.opening import open_s3_store

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.servers import Bucket

TOO_NEW: dict[str, Any] = {"layout": KNOWN + 2, "least": KNOWN + 1, "release": "7.0.0"}


def test_a_replica_that_its_bucket_left_behind_steps_aside(
    bucket: Bucket, prefix: str, tmp_path: Path, repository: str
) -> None:
    """It is not ready and refuses all requests with 503, one under way too; a new one does not start; both say why."""
    replica, late = Replica(0, bucket, prefix, tmp_path), Replica(1, bucket, prefix, tmp_path)
    try:
        replica.start()
        with http_client(replica.url) as client:
            digest = push_blob(client, repository, b"kept")
            begun = client.post(f"/v2/{repository}/blobs/uploads/").headers["Location"]
            in_vain = f"/v2/{repository}/blobs/uploads/?digest={digest_of(b'half' * 2)}"

            def half_and_half() -> Iterator[bytes]:
                yield b"half"
                say(bucket, prefix, TOO_NEW)
                wait_until(lambda: client_is_refused(replica), "the replica has noticed")
                yield b"half"

            refused = [
                client.post(in_vain, content=half_and_half()),
                client.get(f"/v2/{repository}/blobs/{digest}"),
                client.patch(begun, content=b"x"),
            ]
            assert [(answer.status_code, "Retry-After" in answer.headers) for answer in refused] == [(503, True)] * 3
            late.process.start(lambda: not late.process.is_running)
            assert late.process.ended() != 0
            say(bucket, prefix, WRITTEN)
            wait_until(lambda: client.get("/readyz").status_code == httpx.codes.OK, "the replica is ready again")
            assert client.get(f"/v2/{repository}/blobs/{digest}").content == b"kept"
            assert client.head(f"/v2/{repository}/blobs/{digest_of(b'half' * 2)}").status_code == 404
        assert "run zotpy 7.0.0 or newer" in late.process.log_tail()
        (reason,) = [event["reason"] for event in events(replica) if event["event"] == "left_behind"]
        assert "run zotpy 7.0.0 or newer" in reason
    finally:
        for each in (replica, late):
            each.process.kill()


def client_is_refused(replica: Replica) -> bool:
    """Whether the replica says that it is not ready, and what to run."""
    answer = httpx.get(f"{replica.url}/readyz")
    return answer.status_code == httpx.codes.SERVICE_UNAVAILABLE and "run zotpy 7.0.0 or newer" in answer.text


def say(bucket: Bucket, prefix: str, header: dict[str, Any]) -> None:
    """Write a layout as another release would."""

    async def write() -> None:
        async with open_s3_store(bucket.config(), prefix) as store:
            await store.put(keys.LAYOUT, frame(header))

    trio.run(write)


def events(replica: Replica) -> list[dict[str, Any]]:
    """Return all that the replica has logged."""
    lines = replica.process.log_tail(limit=100_000_000).splitlines()
    return [json.loads(line) for line in lines if line.startswith("{") and line.endswith("}")]
