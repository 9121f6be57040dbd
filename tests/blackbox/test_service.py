"""A replica as a service: what systemd hears of it, and what a balancer sees of its end."""

from __future__ import annotations

import json
import os
import signal
import sys
from typing import TYPE_CHECKING

import httpx
import pytest

from tests.blackbox.balancer import answers
from tests.blackbox.cluster import replica_settings
from tests.blackbox.registry_api import digest_of, http_client
from tests.notices import NoticeSocket, notice_socket
from tests.processes import Process, free_port, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.servers import Bucket

pytestmark = pytest.mark.usefixtures("plain_starts")

READY_DEADLINE_S = 60.0
MIB = 1 << 20


class Service:
    """A zotpy that systemd would have started."""

    def __init__(self, bucket: Bucket, prefix: str, directory: Path, notices: NoticeSocket, workers: int) -> None:
        """Write its settings; nothing is started yet."""
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        file = directory / "service.json"
        file.write_text(json.dumps(replica_settings(self.port, bucket, prefix, directory, {})))
        command = [sys.executable, "-m", "zotpy", "serve", "-c", str(file), "--workers", str(workers)]
        environ = {
            **os.environ,
            "NOTIFY_SOCKET": notices.address,
            "WATCHDOG_USEC": "200000",
            "ZOTPY_HTTP_DRAINNOTICE": "10s",
        }
        self.process = Process("service", command, directory / "service.log", environ)

    def readiness(self) -> int:
        """Ask as a balancer does, on a connection of its own."""
        return httpx.get(f"{self.url}/readyz", timeout=60).status_code


@pytest.fixture
def notices() -> Iterator[NoticeSocket]:
    """Return the socket whose name the service gets."""
    with notice_socket() as opened:
        yield opened


@pytest.fixture(params=[1, 2], ids=["alone", "workers"])
def service(
    request: pytest.FixtureRequest, bucket: Bucket, prefix: str, tmp_path: Path, notices: NoticeSocket
) -> Iterator[Service]:
    """Return a service that runs, alone or with workers; it may not be ready."""
    made = Service(bucket, prefix, tmp_path, notices, request.param)
    try:
        made.process.start(lambda: True)
        yield made
    finally:
        made.process.stop()


def test_systemd_hears_of_a_whole_life(service: Service, notices: NoticeSocket) -> None:
    """READY=1 once requests are answered and not before, WATCHDOG=1 on and on, STOPPING=1, and exit code 0."""
    *before, _ = notices.receive_until("READY=1")
    assert answers(service.url)
    assert [message for message in before if message != ["WATCHDOG=1"]] == []
    for _ in range(3):
        assert notices.receive() == ["WATCHDOG=1"]
    os.kill(service.process.pid, signal.SIGTERM)
    notices.receive_until("STOPPING=1")
    assert service.process.ended() == 0
    ending = [message[0].partition("=")[0] for message in notices.received()]
    assert "EXTEND_TIMEOUT_USEC" in ending
    assert set(ending) <= {"EXTEND_TIMEOUT_USEC", "WATCHDOG"}


def test_the_balancer_sees_the_end_before_the_listener_goes(
    service: Service, notices: NoticeSocket, repository: str
) -> None:
    """At SIGTERM `/readyz` fails at once; who still comes is answered, and the push under way goes through.

    Also where SIGTERM comes again and again: wrappers pass on what the process got as well.
    """
    notices.receive_until("READY=1")
    content = os.urandom(2 * MIB)
    digest = digest_of(content)
    for _ in range(20):  # each worker that is asked knows that somebody asks
        assert service.readiness() == httpx.codes.OK

    def body() -> Iterator[bytes]:
        yield content[:MIB]
        for _ in range(3):
            os.kill(service.process.pid, signal.SIGTERM)
        wait_until(lambda: service.readiness() == httpx.codes.SERVICE_UNAVAILABLE, "the replica is not ready")
        late = httpx.get(f"{service.url}/v2/", timeout=60)
        assert (late.status_code, late.headers["Connection"]) == (httpx.codes.OK, "close")
        wait_until(lambda: not answers(service.url), "nobody listens any more")
        os.kill(service.process.pid, signal.SIGTERM)
        yield content[MIB:]

    with http_client(service.url) as client:
        created = client.post(f"/v2/{repository}/blobs/uploads/", params={"digest": digest}, content=body())
    assert created.status_code == httpx.codes.CREATED
    assert service.process.ended() == 0


def test_a_store_that_refuses_is_never_ready(
    bucket: Bucket, prefix: str, tmp_path: Path, notices: NoticeSocket
) -> None:
    """A start that fails says no READY=1, and ends with exit code 1."""
    refused = type(bucket)(bucket.endpoint, bucket.region, bucket.name, bucket.access_key, "another")
    service = Service(refused, prefix, tmp_path, notices, 1)
    service.process.start(lambda: True)
    assert service.process.ended(READY_DEADLINE_S) == 1
    assert [message for message in notices.received() if message != ["WATCHDOG=1"]] == []
