"""A store that answers without an end, for a real replica: each request is an error, and memory stays where it was."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import pytest
import trio

from bench.servers.processes import Process, free_port
from tests.blackbox.registry_api import http_client
from tests.unit.s3.partial import PartialService
from tests.unit.s3.scripted import Endless
from zotpy.s3.config import LONGEST_OBJECT_BYTES
from zotpy.s3.messages import LONGEST_DOCUMENT_BYTES, LONGEST_ERROR_BYTES

if TYPE_CHECKING:
    from tests.unit.s3.scripted import Seen

pytestmark = pytest.mark.usefixtures("plain_starts")

MIB = 2**20
AT_ONCE = 4
SLACK_BYTES = 48 * MIB
"""What the process may take besides: modules that are loaded late, what the allocator keeps, and its connections."""
PIECE = bytes(64 * 1024)


class Replica(Process):
    """`zotpy serve` in front of a service of the test's."""

    def __init__(self, store_port: int, directory: Path) -> None:
        """Write its configuration; nothing is started yet."""
        self.port = free_port()
        driver = {
            "name": "s3",
            "regionendpoint": f"http://127.0.0.1:{store_port}",
            "bucket": "bucket",
            "accesskey": "key",
            "secretkey": "secret",
        }
        file = directory / "config.json"
        file.write_text(json.dumps({"storage": {"storageDriver": driver}, "http": {"port": self.port}}))
        command: list[str | Path] = [sys.executable, "-m", "zotpy", "serve", "-c", file]
        super().__init__("replica", command, directory / "replica.log")

    def memory(self, field: str) -> int:
        """Return the resident memory of the process now (`VmRSS`), or its peak (`VmHWM`)."""
        found = re.search(rf"{field}:\s+(\d+) kB", Path(f"/proc/{self.pid}/status").read_text())
        assert found is not None
        return int(found[1]) * 1024

    def status_of(self, path: str) -> int:
        """Ask for a path, and return the status of the answer; 0: nobody listens."""
        with http_client(f"http://127.0.0.1:{self.port}") as client:
            try:
                return client.get(path).status_code
            except httpx.ConnectError:
                return 0


@pytest.mark.parametrize(
    ("operation", "store_status", "path", "most_bytes"),
    [
        ("GetObject", 200, "/v2/a/manifests/latest", LONGEST_OBJECT_BYTES),
        ("ListObjectsV2", 200, "/v2/a/tags/list", LONGEST_DOCUMENT_BYTES),
        ("ListObjectsV2", 200, "/v2/_catalog", LONGEST_DOCUMENT_BYTES),
        ("GetObject", 403, "/v2/a/manifests/latest", LONGEST_ERROR_BYTES),
    ],
)
async def test_an_answer_without_an_end_is_an_error_of_the_store(
    operation: str, store_status: int, path: str, most_bytes: int, tmp_path: Path, nursery: trio.Nursery
) -> None:
    """Requests at once take no more memory than the bound of each, are answered, and the replica goes on serving."""
    service = PartialService()
    server = await service.start(nursery)
    replica = Replica(server.port, tmp_path)
    in_thread = trio.to_thread.run_sync
    try:
        await in_thread(replica.start, lambda: replica.status_of("/readyz") == 200)
        base = replica.memory("VmRSS")

        def refuse(name: str, seen: Seen) -> Endless | None:
            return Endless(PIECE, store_status) if name == operation and "/meta/" not in seen.target else None

        service.refuse = refuse
        statuses: list[int] = []

        async def ask() -> None:
            statuses.append(await in_thread(replica.status_of, path))

        async with trio.open_nursery() as clients:
            for _ in range(AT_ONCE):
                clients.start_soon(ask)
        assert len(statuses) == AT_ONCE
        assert set(statuses) <= {429, 503}  # try again
        assert replica.memory("VmHWM") <= base + AT_ONCE * most_bytes + SLACK_BYTES
        assert await in_thread(replica.status_of, "/readyz") == 200
    finally:
        replica.kill()
