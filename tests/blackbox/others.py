"""Other registries, from which repositories are imported."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import bcrypt
import yaml

from bench.servers.peers import find_or_build_peer
from tests.blackbox.balancer import answers
from tests.processes import Process, free_port, needed

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

USER, PASSWORD = "alice", "correct-horse"


class Distribution:
    """CNCF distribution on a directory of this machine, and what it was asked."""

    def __init__(self, directory: Path, user: str = "", *, logs_access: bool = False) -> None:
        """Write its settings; nothing is started yet. If a user is named, nobody else gets in."""
        self.port = free_port()
        self.address = f"127.0.0.1:{self.port}"
        self.url = f"http://{self.address}"
        settings: dict[str, Any] = {
            "version": "0.1",
            "log": {"level": "error", "accesslog": {"disabled": not logs_access}},
            "storage": {"filesystem": {"rootdirectory": str(directory / "data")}, "delete": {"enabled": True}},
            "http": {"addr": self.address, "secret": "of-the-tests"},
        }
        if user:
            settings["auth"] = {"htpasswd": {"realm": "here", "path": str(write_users(directory, user))}}
        file = directory / "distribution.yml"
        file.write_text(yaml.safe_dump(settings))
        with needed():
            program = find_or_build_peer("registry")
        command: list[str | Path] = [program, "serve", file]
        environment = {"PATH": "/usr/bin:/bin", "OTEL_TRACES_EXPORTER": "none"}
        self.process = Process("distribution", command, directory / "distribution.log", environment)

    def start(self) -> None:
        """Start it, and wait until it answers."""
        self.process.start(lambda: answers(self.url))

    def gets(self) -> list[str]:
        """Return the paths of blobs that it was asked to send so far, in order, if it logs access."""
        lines = self.process.log_tail(0).splitlines()
        return [line.split('"GET ')[1].split()[0] for line in lines if '"GET /v2/' in line and "/blobs/" in line]


@contextmanager
def running_distribution(directory: Path, *, logs_access: bool = False) -> Iterator[Distribution]:
    """Run a distribution without content within the block, in a directory that is made."""
    directory.mkdir()
    made = Distribution(directory, logs_access=logs_access)
    try:
        made.start()
        yield made
    finally:
        made.process.kill()


def write_users(directory: Path, user: str = USER) -> Path:
    """Write a file of users with one user in it."""
    file = directory / "htpasswd"
    file.write_text(f"{user}:{bcrypt.hashpw(PASSWORD.encode(), bcrypt.gensalt(4)).decode()}\n")
    return file
