"""SIGHUP and hung workers, on real processes: what is on the disk is read again, and nobody's request is cut."""

from __future__ import annotations

import json
import os
import pty
import signal
import ssl
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from cryptography import x509

from tests.blackbox.cluster import replica_settings
from tests.processes import STOP_DEADLINE_S, Process, descendants, free_port, has_ended, wait_until
from tests.unit.web.certificates import write_certificate

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.servers import Bucket

PATIENT_S, IMPATIENT_S = 120, 5
"""How long a worker may be silent: a busy machine must not make one hang of which the test wants nothing."""


class Reloaded:
    """A zotpy with TLS, whose log goes to a file, alone or with two workers."""

    def __init__(
        self, bucket: Bucket, prefix: str, directory: Path, workers: int, worker_timeout_s: int = PATIENT_S
    ) -> None:
        """Write its files; nothing is started yet."""
        self.directory = directory
        self.port = free_port()
        self.workers = workers
        write_certificate(directory)
        self.settings: dict[str, Any] = dict(replica_settings(self.port, bucket, prefix, directory, {}))
        self.settings["http"] |= {
            "tls": {"cert": str(directory / "cert.pem"), "key": str(directory / "key.pem")},
            "workers": workers,
            "workerTimeout": worker_timeout_s,
        }
        self.log = directory / "zotpy.log"
        self.write("info")
        command = [sys.executable, "-m", "zotpy", "serve", str(self.file)]
        self.process = Process("reloaded", command, directory / "output.log")

    @property
    def file(self) -> Path:
        """The configuration."""
        return self.directory / "reloaded.json"

    def write(self, level: str) -> None:
        """Write the configuration."""
        self.settings["log"] = {"level": level, "output": str(self.log), "format": "json"}
        self.file.write_text(json.dumps(self.settings))

    def events(self, name: str, log: Path | None = None) -> list[dict[str, Any]]:
        """Return the events of that name in the log."""
        file = log or self.log
        lines = file.read_text().splitlines() if file.exists() else []
        events = [json.loads(line) for line in lines if line.startswith("{") and line.endswith("}")]
        return [event for event in events if event["event"] == name]

    def pids(self) -> dict[int, int]:
        """Return the process id with which each worker was started last."""
        return {event["worker"]: event["pid"] for event in self.events("worker started")}

    def ask(self, path: str = "/v2/") -> int:
        """Ask on a connection of its own."""
        return httpx.get(f"https://127.0.0.1:{self.port}{path}", verify=False, timeout=60).status_code  # noqa: S501 - a certificate of the test

    def shown(self) -> int:
        """Return the number of the certificate that a new connection gets."""
        return x509.load_pem_x509_certificate(
            ssl.get_server_certificate(("127.0.0.1", self.port)).encode()
        ).serial_number

    def written(self) -> int:
        """Return the number of the certificate on the disk."""
        return x509.load_pem_x509_certificate((self.directory / "cert.pem").read_bytes()).serial_number


@contextmanager
def running(made: Reloaded) -> Iterator[Reloaded]:
    """Run it for the block."""
    try:
        made.process.start(lambda: bool(made.events("serving")))
        yield made
    finally:
        made.process.stop()


@pytest.fixture(params=[1, 2], ids=["alone", "workers"])
def reloaded(request: pytest.FixtureRequest, bucket: Bucket, prefix: str, tmp_path: Path) -> Iterator[Reloaded]:
    """Return a registry that runs, alone or with workers."""
    with running(Reloaded(bucket, prefix, tmp_path, request.param)) as made:
        yield made


def test_sighup_reloads_and_ends_nothing(reloaded: Reloaded) -> None:
    """The log's file is opened again, its level is the file's, the new certificate is used; the processes stay."""
    before = reloaded.pids()
    moved = reloaded.directory / "zotpy.log.1"
    reloaded.log.rename(moved)
    write_certificate(reloaded.directory)
    reloaded.write("debug")
    os.kill(reloaded.process.pid, signal.SIGHUP)
    wait_until(lambda: bool(reloaded.events("reloaded")), "the log's file is opened again")

    def all_show_it() -> bool:
        return all(reloaded.shown() == reloaded.written() for _ in range(8))  # whichever worker is asked

    wait_until(all_show_it, "the new certificate is used")

    def has_level() -> bool:
        assert reloaded.ask("/livez") == httpx.codes.OK
        return bool([event for event in reloaded.events("request") if event["level"] == "debug"])

    wait_until(has_level, "the log has the new level")
    assert reloaded.pids() == {}, "no worker was started again"
    assert [event["pid"] for event in reloaded.events("worker started", moved)] == list(before.values())


def test_a_file_with_a_mistake_changes_nothing(reloaded: Reloaded) -> None:
    """It is said, with each problem, and the registry goes on with what it has. Nothing says that it was reloaded."""
    reloaded.file.write_text("http: {port: none}\nbukkit: 1\n")
    os.kill(reloaded.process.pid, signal.SIGHUP)
    wait_until(lambda: bool(reloaded.events("reload_refused")), "the mistake is said")
    (refused,) = reloaded.events("reload_refused")
    assert len(refused["problems"]) == 2
    assert reloaded.ask() == httpx.codes.OK
    reloaded.write("debug")
    os.kill(reloaded.process.pid, signal.SIGHUP)
    wait_until(lambda: any(event["log_level"] == "debug" for event in reloaded.events("reloaded")), "it has reloaded")
    assert len(reloaded.events("reloaded")) == 1


def test_sighup_to_every_process_ends_none(reloaded: Reloaded) -> None:
    """A signal to the whole group, as `kill -HUP` of a job sends it, reaches workers as well."""
    pids = [reloaded.process.pid, *reloaded.pids().values()]
    for _ in range(3):
        for pid in pids:
            os.kill(pid, signal.SIGHUP)
    wait_until(lambda: bool(reloaded.events("reloaded")), "it has reloaded")
    assert reloaded.ask() == httpx.codes.OK
    assert not any(map(has_ended, pids))
    assert reloaded.events("worker ended") == []


def test_a_worker_that_is_stopped_is_replaced(bucket: Bucket, prefix: str, tmp_path: Path) -> None:
    """SIGSTOP ends no process and closes no connection, but the supervisor hears nothing any more."""
    with running(Reloaded(bucket, prefix, tmp_path, 2, IMPATIENT_S)) as registry:
        stopped = registry.pids()[1]
        os.kill(stopped, signal.SIGSTOP)
        wait_until(lambda: registry.pids()[1] != stopped, "the worker was replaced")
        assert has_ended(stopped)
        (hangs,) = registry.events("worker hangs")
        assert (hangs["worker"], hangs["pid"]) == (1, stopped)
        assert [registry.ask() for _ in range(8)] == [httpx.codes.OK] * 8


def test_a_terminal_that_is_closed_drains(tmp_path: Path) -> None:
    """It sends SIGHUP as well, but the user who closed it wants the registry to end."""
    port = free_port()
    (tmp_path / "output").touch()
    pid, terminal = pty.fork()
    if pid == 0:
        output = os.open(tmp_path / "output", os.O_WRONLY)
        os.dup2(output, 1)
        os.dup2(output, 2)
        command = [sys.executable, "-m", "zotpy", "serve", "--port", str(port), "--root", str(tmp_path / "root")]
        os.execv(sys.executable, command)  # noqa: S606 - our own program
    wait_until(lambda: "zotpy is ready" in (tmp_path / "output").read_text(), "it serves")
    started = descendants(pid)
    os.close(terminal)
    try:
        wait_until(lambda: has_ended(pid), "it has ended", STOP_DEADLINE_S)
    finally:
        if not has_ended(pid):
            os.kill(pid, signal.SIGKILL)
        status = os.waitpid(pid, 0)[1]
    assert os.waitstatus_to_exitcode(status) == 0
    assert "the terminal was closed" in (tmp_path / "output").read_text()
    assert started
    wait_until(lambda: all(map(has_ended, started)), "the store has ended")
