"""Many clients that send as much as they are let, and what that costs the replica in memory."""

from __future__ import annotations

import os
import re
import signal
import socket
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Self

from tests.blackbox.registry_api import DEADLINE_S
from tests.faults.uploads.replicas import MIB, Metrics, UploadReplica, metrics_of
from tests.processes import POLL_S

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import TracebackType

    from tests.servers import SeaweedServer

ABSENT = f"sha256:{'0' * 64}"
PIECE = bytes(MIB)
STILL = 10
"""How many times in a row nothing must have moved before all count as blocked."""


class Flood:
    """Clients that each push a blob of zeros of the same length, by one POST."""

    def __init__(self, replica: UploadReplica, count: int, length_bytes: int) -> None:
        """Begin with this many clients."""
        self.replica = replica
        self.length_bytes = length_bytes
        self.sockets: list[socket.socket] = []
        self.sent_bytes = 0
        for _ in range(count):
            self.add()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for client in self.sockets:
            client.close()

    def add(self) -> None:
        """Let one more client connect, and send its head."""
        client = socket.create_connection(("127.0.0.1", self.replica.port))
        repository = f"flood/{len(self.sockets)}"
        head = f"POST /v2/{repository}/blobs/uploads/?digest={ABSENT} HTTP/1.1\r\nHost: replica\r\n"
        client.sendall(f"{head}Content-Length: {self.length_bytes}\r\n\r\n".encode())
        client.settimeout(0)
        self.sockets.append(client)

    def push(self) -> None:
        """Send from each client as much as its socket takes now."""
        for client in self.sockets:
            try:
                while taken := client.send(PIECE):
                    self.sent_bytes += taken
            except BlockingIOError:
                continue

    def push_until_blocked(self) -> Metrics:
        """Send until no socket takes any more, bodies wait for memory, and nothing moves."""
        seen: list[tuple[int, int, int]] = []
        give_up_at = time.monotonic() + DEADLINE_S
        while True:
            self.push()
            now = metrics_of(self.replica)
            seen = [*seen[-STILL:], (self.sent_bytes, now.held_bytes, now.waiting)]
            if len(seen) > STILL and len(set(seen)) == 1 and now.waiting:
                return now
            assert time.monotonic() < give_up_at, seen
            time.sleep(POLL_S)

    def push_on(self, more_bytes: int) -> None:
        """Send this much more."""
        end = self.sent_bytes + more_bytes
        give_up_at = time.monotonic() + DEADLINE_S
        while self.sent_bytes < end:
            self.push()
            assert time.monotonic() < give_up_at, (self.sent_bytes, end)


@contextmanager
def hanging(server: SeaweedServer) -> Iterator[None]:
    """Let the store hang: its connections stay open, and nothing is read from them or answered."""
    pid = server.process.pid
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def resident_bytes(replica: UploadReplica, field: str = "VmRSS") -> int:
    """Return the resident memory of a replica now, or with `VmHWM` its peak since `forget_peak`."""
    status = Path(f"/proc/{replica.process.pid}/status").read_text()
    found = re.search(rf"{field}:\s+(\d+) kB", status)
    assert found is not None
    return int(found[1]) * 1024


def forget_peak(replica: UploadReplica) -> None:
    """Measure the peak of a replica's memory from now on (proc(5), clear_refs)."""
    Path(f"/proc/{replica.process.pid}/clear_refs").write_text("5")
