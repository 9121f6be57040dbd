"""Several workers on one port: all serve, a dying one cuts few requests, and none survives the supervisor."""

from __future__ import annotations

import os
import signal
import socket
import sys
from threading import Thread
from typing import TYPE_CHECKING

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.blackbox.balancer import answers
from tests.blackbox.images import stored_blobs
from tests.blackbox.registry_api import digest_of, http_client, pulled_blobs, push_blob
from tests.blackbox.supervised import Supervised, connected
from tests.forks.forked import run
from tests.processes import STOP_DEADLINE_S, has_ended, wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.blackbox.clients import Client
    from tests.blackbox.images import Layout
    from tests.servers import Bucket

MIB = 1 << 20


@pytest.fixture
def supervised(bucket: Bucket, prefix: str, tmp_path: Path) -> Iterator[Supervised]:
    """Return a running zotpy with two workers on the bucket."""
    registry = Supervised(tmp_path, bucket, prefix)
    try:
        registry.start()
        yield registry
    finally:
        registry.process.stop()


def body(content: bytes, in_the_middle: Callable[[], None]) -> Iterator[bytes]:
    """Yield the content in two halves, with something happening between them."""
    yield content[: len(content) // 2]
    in_the_middle()
    yield content[len(content) // 2 :]


def push(
    client: httpx.Client, repository: str, content: bytes, in_the_middle: Callable[[], None] = lambda: None
) -> httpx.Response:
    """Push a blob in one request."""
    digest = {"digest": digest_of(content)}
    return client.post(f"/v2/{repository}/blobs/uploads/", params=digest, content=body(content, in_the_middle))


def total(url: str, name: str) -> float:
    """Return what `/metrics` says of a series, its labels added up."""
    families = text_string_to_metric_families(httpx.get(f"{url}/metrics").raise_for_status().text)
    return sum(sample.value for family in families for sample in family.samples if sample.name == name)


def no_longer_listens(registry: Supervised) -> None:
    """Wait until no worker accepts connections any more."""
    wait_until(lambda: not answers(registry.url), "no worker listens", STOP_DEADLINE_S)


def test_an_upload_begun_at_one_worker_goes_on_at_another(supervised: Supervised, repository: str) -> None:
    """Each worker answers where it is the only one, and takes over what another began."""
    content = os.urandom(9 * MIB)
    with supervised.only(1), http_client(supervised.url) as client:
        started = client.post(f"/v2/{repository}/blobs/uploads/")
        accepted = client.patch(started.headers["Location"], content=content[: 6 * MIB])
        assert accepted.status_code == httpx.codes.ACCEPTED
    with supervised.only(2), http_client(supervised.url) as client:
        location = httpx.URL(accepted.headers["Location"]).copy_merge_params({"digest": digest_of(content)})
        created = client.put(location, content=content[6 * MIB :])
        assert created.status_code == httpx.codes.CREATED
        assert client.get(f"/v2/{repository}/blobs/{digest_of(content)}").content == content

    def answered_by() -> list[tuple[str, int]]:
        return [(event["method"], event["worker"]) for event in supervised.events("request")]

    wait_until(lambda: {("PATCH", 1), ("PUT", 2)} <= set(answered_by()), "each worker has logged its requests")


def test_a_killed_worker_takes_only_its_own_requests_along(supervised: Supervised, repository: str) -> None:
    """After kill -9 a push at another worker goes through, a retry of the broken one too, and the worker comes back."""
    broken, other = os.urandom(9 * MIB), os.urandom(9 * MIB)
    killed = supervised.pids()[1]
    answered_by_other: list[int] = []

    def push_at_other() -> None:
        with connected(supervised, 2) as client:
            answered_by_other.append(
                push(client, repository, other, lambda: os.kill(killed, signal.SIGKILL)).status_code
            )

    with connected(supervised, 1) as client, pytest.raises(httpx.TransportError):
        push(client, repository, broken, push_at_other)
    assert answered_by_other == [httpx.codes.CREATED]
    with http_client(supervised.url) as client:
        assert push(client, repository, broken).status_code == httpx.codes.CREATED

    wait_until(lambda: supervised.pids()[1] != killed, "the killed worker was started again")
    with supervised.only(1), http_client(supervised.url) as client:
        for content in (broken, other):
            assert client.get(f"/v2/{repository}/blobs/{digest_of(content)}").content == content
    (ended,) = supervised.events("worker ended")
    assert (ended["worker"], ended["why"]) == (1, "a worker was ended by SIGKILL")


def test_a_real_client_sees_workers_die(supervised: Supervised, crane: Client, repository: str, index: Layout) -> None:
    """Crane's own retries suffice while workers are killed and drained one after the other beside its pushes."""
    address = supervised.url.removeprefix("http://")
    for turn, number in enumerate((signal.SIGKILL, signal.SIGTERM) * 2):
        worker, before = 1 + turn // 2, supervised.pids()
        requests = len(supervised.events("request"))
        pushing = Thread(target=crane, args=("push", index.path, f"{address}/{repository}/{turn}:v1"))
        pushing.start()
        wait_until(lambda n=requests: len(supervised.events("request")) > n, "the push has begun")  # type: ignore[misc] # bound at once
        os.kill(before[worker], number)
        pushing.join()
        wait_until(lambda w=worker, b=before: supervised.pids()[w] != b[w], "the worker was started again")  # type: ignore[misc] # the same
        with http_client(supervised.url) as client:
            assert pulled_blobs(client, f"{repository}/{turn}", "v1") == stored_blobs(index.path)


@pytest.mark.parametrize("way", ["SIGTERM", "Ctrl-C", "systemd"])
def test_a_stop_drains_every_worker(supervised: Supervised, repository: str, way: str) -> None:
    """A push under way at either worker is acknowledged after the signal, and all ends with exit code 0."""
    processes = supervised.processes()
    contents = [os.urandom(9 * MIB), os.urandom(9 * MIB)]

    def stop() -> None:
        """Send what the terminal sends to all, or systemd, or Kubernetes to the supervisor alone."""
        number = signal.SIGINT if way == "Ctrl-C" else signal.SIGTERM
        for pid in processes[:1] if way == "SIGTERM" else processes:
            os.kill(pid, number)
        no_longer_listens(supervised)

    with connected(supervised, 1) as first, connected(supervised, 2) as second:
        acknowledged: list[int] = []

        def push_at_second() -> None:
            acknowledged.append(push(second, repository, contents[1], stop).status_code)

        acknowledged.append(push(first, repository, contents[0], push_at_second).status_code)
    assert acknowledged == [httpx.codes.CREATED] * 2
    assert supervised.process.ended() == 0
    assert all(map(has_ended, processes))
    assert list(supervised.temporary.iterdir()) == []


def test_a_killed_supervisor_leaves_no_worker(supervised: Supervised, repository: str) -> None:
    """After kill -9 of the supervisor its workers accept nothing, finish the push under way, and end tidily."""
    processes = supervised.processes()

    def kill() -> None:
        supervised.process.kill()
        no_longer_listens(supervised)

    with connected(supervised, 2) as client:
        assert push(client, repository, os.urandom(9 * MIB), kill).status_code == httpx.codes.CREATED
    wait_until(lambda: all(map(has_ended, processes)), "every worker has ended")
    assert list(supervised.temporary.iterdir()) == []


def test_metrics_speak_for_all_workers(supervised: Supervised) -> None:
    """Requests add up whichever worker answered and is asked, and are not forgotten with a worker that was killed."""

    def has_counted(count: int) -> Callable[[], bool]:
        return lambda: total(supervised.url, "zotpy_http_received_bytes_total") == count

    for worker in (1, 2):
        with connected(supervised, worker) as client:
            assert push(client, "a", b"x" * 1000 * worker).status_code == httpx.codes.CREATED
    for worker in (1, 2):
        wait_until(has_counted(3000), "both pushes are counted")
        with supervised.only(worker):
            assert has_counted(3000)()
            assert total(supervised.url, "zotpy_memory_budget_bytes") == 2 * 512 * MIB
    killed = supervised.pids()[1]
    os.kill(killed, signal.SIGKILL)
    wait_until(lambda: supervised.pids()[1] != killed, "the killed worker was started again")
    with connected(supervised, 1) as client:
        assert push(client, "a", b"x" * 4000).status_code == httpx.codes.CREATED
    wait_until(has_counted(7000), "the push at the new worker is counted with those before")
    assert total(supervised.url, "zotpy_memory_budget_bytes") == 2 * 512 * MIB


def test_a_port_in_use_is_told_once(bucket: Bucket, prefix: str, tmp_path: Path) -> None:
    """The supervisor cannot start: one line that names the address, exit code 1, no worker started."""
    registry = Supervised(tmp_path, bucket, prefix)
    with socket.create_server(("127.0.0.1", registry.port)):
        ran = start_in_vain(registry)
    why = f"zotpy: cannot listen on 127.0.0.1:{registry.port}: Address already in use."
    assert ran == f"{why} Stop the program that uses it, or set another http.port\n"


def test_a_worker_that_cannot_start_is_told_once(bucket: Bucket, prefix: str, tmp_path: Path) -> None:
    """The store refuses the workers: one line with the reason of one of them, exit code 1, and nothing is left."""
    registry = Supervised(tmp_path, bucket, prefix, secretkey="another")
    told = start_in_vain(registry)
    assert told.startswith(f"zotpy: the bucket '{bucket.name}' at {bucket.endpoint} cannot be used: ")
    assert told.count("\n") == 1
    assert list(registry.temporary.iterdir()) == []


def start_in_vain(registry: Supervised) -> str:
    """Start a zotpy that must fail, and return what it says beside its log."""
    file = registry.temporary.parent / "workers.json"
    command = [sys.executable, "-m", "zotpy", "serve", "-c", str(file), "--workers", "2"]
    env = {**os.environ, "TMPDIR": str(registry.temporary)}
    ran = run(command, env)
    assert ran.returncode == 1, ran.stderr
    assert ran.stdout == ""
    return "".join(line for line in ran.stderr.splitlines(keepends=True) if not line.startswith("{"))


def test_workers_share_the_store_on_this_disk(tmp_path: Path) -> None:
    """Without a bucket one SeaweedFS serves all workers; it is said once where, and nothing of it is left running."""
    registry = Supervised(tmp_path)
    registry.start()
    try:
        processes = registry.processes()
        with registry.only(1), http_client(registry.url) as client:
            digest = push_blob(client, "a", b"x" * MIB)
        with registry.only(2), http_client(registry.url) as client:
            assert client.get(f"/v2/a/blobs/{digest}").content == b"x" * MIB
        assert len(processes) == 4
    finally:
        registry.process.stop()
    assert registry.process.ended() == 0
    assert all(map(has_ended, processes))
    assert registry.process.log_tail().count("zotpy is ready on") == 1
    assert list(registry.temporary.iterdir()) == []
