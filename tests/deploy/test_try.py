"""`sh deploy/baremetal/try`: a whole site on one machine by one command."""

from __future__ import annotations

import os
import re
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import pytest

from tests.blackbox.clients import Client, isolated_environment
from tests.blackbox.images import Layout, large_layer, small_layer, stored_blobs
from tests.blackbox.registry_api import http_client, push_blob
from tests.processes import Process, descendants, find_program, free_port, has_ended, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

CHECKOUT = Path(__file__).parents[2]
END_DEADLINE_S = 120.0
ANY_PORTS = ("--port", "0", "--inside-port", "0", "--replica-port", "0")


class Trial:
    """The command, run as a process; what it prints says where the site is."""

    def __init__(self, directory: Path, *arguments: str) -> None:
        """Remember what to run; nothing is started yet."""
        self.root = directory / ("deep" * 25) / "site"  # longer than the path of a socket may be
        command: list[str | Path] = [sys.executable, "-m", "deploy.baremetal.trial", "--root", self.root, *arguments]
        environ = {**os.environ, "PYTHONPATH": str(CHECKOUT)}
        self.process = Process("try", command, directory / "try.log", environ, directory)
        self.started: list[int] = []

    def start(self) -> None:
        """Start the site and wait until it says that it is ready."""
        self.process.log_path.write_text("")  # what it prints says where this start is
        self.process.start(lambda: "The registry is ready" in self.process.log_tail())
        self.started = descendants(self.process.pid)

    @property
    def address(self) -> str:
        """Where to push."""
        return self.said(r"ready on http://(\S+)")

    def said(self, pattern: str) -> str:
        """Return what the command printed in the place that the pattern's group has."""
        found = re.search(pattern, self.process.log_tail())
        assert found, self.process.log_tail()
        return found[1]

    def replicas(self) -> list[int]:
        """Return the process ids of the replicas that run now, in their order."""
        pids = {Path(f"/proc/{pid}/cmdline").read_bytes(): pid for pid in descendants(self.process.pid)}
        return [pid for words, pid in sorted(pids.items()) if b"\0serve\0" in words]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Trial]:
    """Return the site of these tests."""
    find_program("haproxy", "apt-get install haproxy")
    site = Trial(tmp_path_factory.mktemp("site"), *ANY_PORTS)
    try:
        yield site
    finally:
        site.process.stop()


@pytest.fixture
def trial(site: Trial) -> Trial:
    """Return a site that runs."""
    if not site.process.is_running:
        site.start()
    return site


def test_port_that_is_taken_is_named(trial: Trial, tmp_path: Path) -> None:
    """A second site on the same port, or on the same directory, ends at once and says what to do."""
    for arguments, said in [
        (["--port", trial.address.rpartition(":")[2]], "choose another with --port"),
        (["--root", str(trial.root)], "is in use by the process"),
        (["--replicas", "0"], "1 to 64"),
        (
            ["--replica-port", str(port := free_port()), "--port", str(port)],
            "twice: choose another with --replica-port",
        ),
    ]:
        second = tmp_path / f"second-{len(arguments)}-{arguments[0]}"
        second.mkdir()
        other = Trial(second, *ANY_PORTS, *arguments)
        other.process.start(lambda: True)
        assert other.process.ended(END_DEADLINE_S) == 1
        assert said in other.process.log_tail()


def test_nothing_outlives_a_site_that_is_killed(trial: Trial) -> None:
    """After `kill -9` of the command itself every process of the site ends, too, and the data is there for the next."""
    with http_client(f"http://{trial.address}") as client:
        digest = push_blob(client, "a", b"hello")
    trial.process.kill()
    wait_until(lambda: all(map(has_ended, trial.started)), "everything has ended with the command")

    trial.start()
    assert httpx.get(f"http://{trial.address}/v2/a/blobs/{digest}").content == b"hello"


def test_site_outlives_its_replicas_and_ends_in_order(trial: Trial, tmp_path: Path) -> None:
    """An image is pushed, a replica killed and started again, the image pulled; Ctrl-C leaves no process behind."""
    image = Layout(tmp_path / "layout")
    image.tag(image.add_image([large_layer(), small_layer("httpx")]), "image")
    crane = Client("crane", isolated_environment(tmp_path / "home"))
    name = f"{trial.address}/team/app:v1"
    crane("push", image.path, name)

    before = trial.replicas()
    assert len(before) == 3
    os.kill(before[0], signal.SIGKILL)
    crane("pull", "--format", "oci", name, tmp_path / "pulled")
    assert stored_blobs(tmp_path / "pulled") == stored_blobs(image.path)
    wait_until(lambda: len(trial.replicas()) == 3, "the replica that was killed runs again")
    assert len(set(trial.replicas()) & set(before)) == 2
    page = httpx.get(f"http://{trial.said(r'page +http://([^/]+)')}/stats")
    assert (page.status_code, "replica3" in page.text) == (200, True)

    everything = {*trial.started, *descendants(trial.process.pid)}
    os.kill(trial.process.pid, signal.SIGINT)
    assert trial.process.ended(END_DEADLINE_S) == 0
    assert [pid for pid in everything if not has_ended(pid)] == []
    assert trial.process.log_tail().endswith("ended\n")
