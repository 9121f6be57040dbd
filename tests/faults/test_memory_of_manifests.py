"""The memory of a real replica, measured, while many clients push and pull long manifests or ask for long uploads."""

from __future__ import annotations

import hashlib
import json
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import TYPE_CHECKING

import httpx
import pytest

from tests.blackbox.registry_api import DEADLINE_S, http_client, push_blob
from tests.faults.uploads.conftest import mortal_store, own_bucket  # noqa: F401 - fixtures
from tests.faults.uploads.flood import STILL, forget_peak, hanging, resident_bytes
from tests.faults.uploads.replicas import MIB, UploadReplica, begin, metrics_of, wait_for
from tests.processes import POLL_S
from zotpy.core.media_types import OCI_IMAGE

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.servers import Bucket, SeaweedServer

pytestmark = pytest.mark.usefixtures("plain_starts")

BUDGET_BYTES = 64 * MIB
CLIENTS = 80
LONG_BYTES = 4 * MIB - 64 * 1024
SLACK_BYTES = 32 * MIB
"""Copies of the one manifest that is parsed or hashed just now, connections, and what the allocator keeps.

Measured on a busy machine: 15 to 28 MiB, of which bodies that wait for memory take at most 2.5 MiB. One allocator arena
for all threads changes nothing.
"""


@pytest.fixture
def replica(own_bucket: Bucket, prefix: str, tmp_path: Path) -> Iterator[UploadReplica]:  # noqa: F811
    """Return a replica with a small memory budget, whose clients wait two seconds for memory."""
    started = UploadReplica(0, own_bucket, prefix, tmp_path, upload={"memoryBudget": BUDGET_BYTES})
    started.configure({"http": {"busyTimeout": "2s"}})
    try:
        started.start()
        yield started
    finally:
        started.process.kill()


def long_image(replica: UploadReplica) -> bytes:
    """Write an image of almost the length that is accepted, of a blob that is there."""
    with http_client(replica.url) as client:
        config = push_blob(client, "r", b"{}")
    descriptor = {"mediaType": "application/x", "digest": config, "size": 2}
    document = {"schemaVersion": 2, "mediaType": OCI_IMAGE, "config": descriptor, "layers": []}
    return json.dumps(document | {"annotations": {"note": "x" * LONG_BYTES}}).encode()


def put(replica: UploadReplica, content: bytes) -> str:
    """Push an image by its digest, and return that."""
    digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
    with http_client(replica.url) as client:
        answer = client.put(f"/v2/r/manifests/{digest}", content=content, headers={"Content-Type": OCI_IMAGE})
        assert answer.status_code == 201, answer.text
    return digest


def ask(stack: ExitStack, replica: UploadReplica, head: str) -> socket.socket:
    """Send the head of a request over a connection whose system takes little that is not read."""
    client = socket.socket()
    stack.callback(client.close)
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 64 * 1024)
    client.connect(("127.0.0.1", replica.port))
    client.sendall(f"{head}\r\nHost: replica\r\n".encode())
    return client


def answered(clients: list[socket.socket]) -> dict[int, list[str]]:
    """Return the heads of the answers that are there, by status, without taking them."""
    found: dict[int, list[str]] = {}
    for client in clients:
        client.settimeout(0)
        try:
            head = client.recv(2000, socket.MSG_PEEK).partition(b"\r\n\r\n")[0].decode()
        except BlockingIOError:
            continue
        found.setdefault(int(head.split(" ")[1]), []).append(head.lower())
    return found


def wait_until_all_are_answered(clients: list[socket.socket]) -> dict[int, list[str]]:
    """Wait until each client has an answer, or its beginning."""
    give_up_at = time.monotonic() + DEADLINE_S
    while sum(map(len, (found := answered(clients)).values())) < len(clients):
        assert time.monotonic() < give_up_at, {status: len(heads) for status, heads in found.items()}
        time.sleep(POLL_S)
    return found


def test_clients_that_do_not_read_long_manifests_hold_no_more_than_the_budget(replica: UploadReplica) -> None:
    """Some are served as far as they read, the others are told in time to try again, and afterwards all is free."""
    digest = put(replica, long_image(replica))
    base = resident_bytes(replica)
    forget_peak(replica)
    with ExitStack() as stack:
        clients = [ask(stack, replica, f"GET /v2/r/manifests/{digest} HTTP/1.1") for _ in range(CLIENTS)]
        for waiting in clients:
            waiting.sendall(b"\r\n")
        found = wait_until_all_are_answered(clients)
        assert set(found) == {200, 429}
        assert all("retry-after:" in head for head in found[429])
        assert metrics_of(replica).held_bytes <= BUDGET_BYTES
        head = httpx.head(f"{replica.url}/v2/r/manifests/{digest}", timeout=DEADLINE_S)
        assert head.status_code == 200  # it takes no memory
    assert resident_bytes(replica, "VmHWM") <= base + BUDGET_BYTES + SLACK_BYTES
    wait_for(replica, lambda now: now.held_bytes == 0)
    assert len(httpx.get(f"{replica.url}/v2/r/manifests/{digest}", timeout=DEADLINE_S).content) > LONG_BYTES


def test_pushes_of_manifests_to_a_store_that_hangs_hold_no_more_than_the_budget(
    replica: UploadReplica,
    mortal_store: SeaweedServer,  # noqa: F811
) -> None:
    """No more is read than the budget has room for. Waiting clients are told in time to try again."""
    content = long_image(replica)
    digest = put(replica, content)
    base = resident_bytes(replica)
    forget_peak(replica)
    head = f"Content-Type: {OCI_IMAGE}\r\nContent-Length: {len(content)}\r\n\r\n".encode()
    with ExitStack() as stack, hanging(mortal_store):
        clients = [ask(stack, replica, f"PUT /v2/r/manifests/{digest} HTTP/1.1") for _ in range(CLIENTS)]
        left = {client: memoryview(head + content) for client in clients}
        give_up_at = time.monotonic() + DEADLINE_S
        moved: list[int] = []
        while len(moved) <= STILL or len(set(moved[-STILL:])) > 1 or 429 not in answered(clients):
            for client in clients:
                send_some(client, left)
            moved.append(sum(map(len, left.values())))
            assert time.monotonic() < give_up_at, moved[-STILL:]
            time.sleep(POLL_S)
        assert all("retry-after:" in head for head in answered(clients)[429])
        assert metrics_of(replica).held_bytes <= BUDGET_BYTES
    assert resident_bytes(replica, "VmHWM") <= base + BUDGET_BYTES + SLACK_BYTES
    wait_for(replica, lambda now: now.held_bytes == 0)
    put(replica, content)


def send_some(client: socket.socket, left: dict[socket.socket, memoryview]) -> None:
    """Send as much of what is left as the socket takes now."""
    client.settimeout(0)
    try:
        while left[client]:
            left[client] = left[client][client.send(left[client][:MIB]) :]
    except BlockingIOError:
        return
    except (BrokenPipeError, ConnectionResetError):
        left[client] = memoryview(b"")


def test_the_status_of_an_upload_is_told_without_its_tail(replica: UploadReplica) -> None:
    """A hundred clients that ask at once how far an upload is cost no more memory than one."""
    session = begin(replica, "r")
    with http_client(replica.url) as client:
        chunk = bytes(8 * MIB - 4096)
        headers = {"Content-Range": f"0-{len(chunk) - 1}"}
        location = client.patch(session.location, content=chunk, headers=headers).headers["Location"]
        assert client.get(location).headers["Range"] == f"0-{len(chunk) - 1}"
    base = resident_bytes(replica)
    forget_peak(replica)
    with ExitStack() as stack:
        clients = [ask(stack, replica, f"GET {location} HTTP/1.1") for _ in range(CLIENTS)]
        for waiting in clients:
            waiting.sendall(b"\r\n")
        found = wait_until_all_are_answered(clients)
        assert set(found) == {204}
        assert all(f"range: 0-{len(chunk) - 1}" in head for head in found[204])
    assert resident_bytes(replica, "VmHWM") <= base + SLACK_BYTES


def test_a_manifest_that_is_pushed_with_many_tags_is_in_memory_once(replica: UploadReplica) -> None:
    """Each tag holds the manifest in the bucket; all of them are written from the same bytes."""
    content = long_image(replica)
    digest = put(replica, content)
    base = resident_bytes(replica)
    forget_peak(replica)
    with http_client(replica.url) as client:
        answer = client.put(
            f"/v2/r/manifests/{digest}",
            params=[("tag", f"v{number}") for number in range(20)],
            content=content,
            headers={"Content-Type": OCI_IMAGE},
        )
        assert answer.status_code == 201, answer.text
    assert resident_bytes(replica, "VmHWM") <= base + SLACK_BYTES


VALUES = b'{"x":[' + b"[[]]," * ((4 * MIB - 100) // 5) + b"0]}"
ABSENT = json.dumps(
    {
        "schemaVersion": 2,
        "config": {"mediaType": "application/x", "digest": f"sha256:{'0' * 64}", "size": 2},
        "layers": [],
        "annotations": {"note": "x" * LONG_BYTES},
    }
).encode()


@pytest.mark.parametrize(
    ("content", "status", "word"),
    [(VALUES, 400, "values"), (ABSENT, 404, "MANIFEST_BLOB_UNKNOWN"), (b"\xff" * LONG_BYTES, 400, "UTF-8")],
    ids=["values", "absent", "encoding"],
)
def test_manifests_that_are_refused_leave_nothing_in_memory(
    replica: UploadReplica, content: bytes, status: int, word: str
) -> None:
    """However many come one after another; other requests are answered between them."""
    put(replica, long_image(replica))
    base = resident_bytes(replica)
    forget_peak(replica)
    with ThreadPoolExecutor(8) as pool, http_client(replica.url) as client:
        pushes = [pool.submit(push_refused, replica, content, status) for _ in range(32)]
        while not all(push.done() for push in pushes):
            assert client.get("/livez").status_code == 200
        assert all(word in push.result() for push in pushes)
    assert resident_bytes(replica, "VmHWM") <= base + BUDGET_BYTES + SLACK_BYTES


def push_refused(replica: UploadReplica, content: bytes, status: int) -> str:
    """Push a manifest that is refused, and return what its client is told."""
    with http_client(replica.url) as client:
        answer = client.put("/v2/r/manifests/v1", content=content, headers={"Content-Type": OCI_IMAGE})
        assert answer.status_code == status, answer.text
        return answer.text
