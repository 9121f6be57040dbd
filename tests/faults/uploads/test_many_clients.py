"""Many clients at one replica, measured from outside: descriptors, memory and lines of the log."""

from __future__ import annotations

import json
import resource
import socket
from contextlib import ExitStack, contextmanager
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.blackbox.registry_api import DEADLINE_S, http_client, push_blob
from tests.faults.uploads.flood import forget_peak, resident_bytes
from tests.faults.uploads.replicas import MIB, UploadReplica, blob_status
from tests.processes import Process

if TYPE_CHECKING:
    import random
    from collections.abc import Iterator

    from tests.servers import Bucket

pytestmark = pytest.mark.usefixtures("plain_starts")

FILES = 420
"""What the system lets the replica open in `test_clients_leave_descriptors_for_the_store`."""
CLIENTS = 800
HEAD_BYTES = 60 * 1024
HEAD_MEMORY_BYTES = 2 * MIB


@contextmanager
def running(bucket: Bucket, prefix: str, directory: Path, *, files: int | None = None) -> Iterator[UploadReplica]:
    """Run a replica with at most this many files."""
    replica = UploadReplica(0, bucket, prefix, directory)
    replica.configure({"http": {"headMemory": HEAD_MEMORY_BYTES}})
    if files is not None:
        command = ["sh", "-c", f'ulimit -n {files}; exec "$@"', "sh", *replica.process._command]
        replica.process = Process("replica", command, directory / "replica.log")
    try:
        replica.start()
        yield replica
    finally:
        replica.process.kill()


def opened_files(replica: UploadReplica) -> set[int]:
    """Return the descriptors of a replica."""
    return {int(file.name) for file in Path(f"/proc/{replica.process.pid}/fd").iterdir()}


def lines(replica: UploadReplica, event: str) -> list[dict[str, object]]:
    """Return the lines of the log of one kind."""
    log = replica.process.log_path.read_text()
    assert "Traceback" not in log
    return [line for line in map(json.loads, log.splitlines()) if line["event"] == event]


def connect(replica: UploadReplica) -> socket.socket:
    """Open a connection on which nothing is asked."""
    return socket.create_connection(("127.0.0.1", replica.port), DEADLINE_S)


@pytest.fixture(autouse=True)
def many_files() -> Iterator[None]:
    """Let the test itself open a socket for each client."""
    before, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(before, min(most, 4 * CLIENTS)), most))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (before, most))


def test_clients_leave_descriptors_for_the_store(
    bucket: Bucket, prefix: str, tmp_path: Path, source: random.Random
) -> None:
    """Three times as many clients as a replica takes stay connected for as long as it lets them; pushes go on."""
    with running(bucket, prefix, tmp_path, files=FILES) as replica, ExitStack() as idle:
        for _ in range(FILES):
            idle.enter_context(connect(replica))
        with http_client(replica.url) as client:
            digest = push_blob(client, "many/clients", source.randbytes(20 * MIB))
        assert blob_status(replica, "many/clients", digest) == 200
        assert len(opened_files(replica)) < FILES * 3 // 4
        assert lines(replica, "descriptors_exhausted") == []


def test_no_descriptors_are_two_lines_and_an_idle_connection_less(bucket: Bucket, prefix: str, tmp_path: Path) -> None:
    """Clients that come when there are none are answered: the connection that was idle for the longest is closed."""
    with running(bucket, prefix, tmp_path) as replica, ExitStack() as idle:
        clients = [idle.enter_context(connect(replica)) for _ in range(10)]
        for client in clients:  # an answer shows that its connection was accepted
            client.sendall(b"GET /livez HTTP/1.1\r\nHost: replica\r\n\r\n")
            assert client.recv(64 * 1024).startswith(b"HTTP/1.1 200 ")
        with http_client(replica.url) as other:
            assert other.get("/v2/").status_code == 200
        taken = opened_files(replica)
        none_free = next(number for number in count() if number not in taken)
        _, most = resource.prlimit(replica.process.pid, resource.RLIMIT_NOFILE)
        resource.prlimit(replica.process.pid, resource.RLIMIT_NOFILE, (none_free, most))
        with http_client(replica.url) as other:
            assert other.get("/v2/").status_code == 200
        resource.prlimit(replica.process.pid, resource.RLIMIT_NOFILE, (most, most))
        with http_client(replica.url) as other:
            assert other.get("/v2/").status_code == 200
        clients[0].settimeout(DEADLINE_S)
        assert clients[0].recv(1) == b""
        begun = lines(replica, "descriptors_exhausted")
        ended = lines(replica, "descriptors_exhausted_no_more")
        # Linux refuses to accept also if nobody waits: again, if the new client took the only free descriptor.
        assert 1 <= len(begun) == len(ended) <= 2
        assert {line["reason"] for line in begun} == {"Too many open files"}
        assert all(int(str(line["times"])) >= 1 for line in ended)


def test_unfinished_heads_hold_a_bounded_memory(bucket: Bucket, prefix: str, tmp_path: Path) -> None:
    """Clients that send almost a whole head of 64 KiB and stop hold a few MiB together, and others are served."""
    with running(bucket, prefix, tmp_path) as replica, ExitStack() as slow:
        with http_client(replica.url) as client:
            assert client.get("/v2/").status_code == 200
        base = resident_bytes(replica)
        forget_peak(replica)
        head = b"GET /v2/ HTTP/1.1\r\nHost: replica\r\nX: " + b"a" * HEAD_BYTES
        clients = []
        for _ in range(CLIENTS):
            client_socket = slow.enter_context(connect(replica))
            client_socket.sendall(head)
            clients.append(client_socket)
        with http_client(replica.url) as client:
            assert client.get("/v2/").status_code == 200
        refused = clients[: CLIENTS - 2 * HEAD_MEMORY_BYTES // HEAD_BYTES]
        assert {opened.recv(12) for opened in refused} == {b"HTTP/1.1 408"}
        assert resident_bytes(replica, "VmHWM") <= base + HEAD_MEMORY_BYTES + 24 * MIB
