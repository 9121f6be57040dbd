"""Other registries, from which repositories are imported."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import bcrypt
import yaml

from bench.servers.peers import find_or_build_peer
from tests.processes import Process, free_port, needed

if TYPE_CHECKING:
    from pathlib import Path

USER, PASSWORD = "alice", "correct-horse"


class Distribution:
    """CNCF distribution on a directory of this machine."""

    def __init__(self, directory: Path, user: str = "") -> None:
        """Write its settings; nothing is started yet. If a user is named, nobody else gets in."""
        self.port = free_port()
        self.address = f"127.0.0.1:{self.port}"
        self.url = f"http://{self.address}"
        settings: dict[str, Any] = {
            "version": "0.1",
            "log": {"level": "error", "accesslog": {"disabled": True}},
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


def write_users(directory: Path, user: str = USER) -> Path:
    """Write a file of users with one user in it."""
    file = directory / "htpasswd"
    file.write_text(f"{user}:{bcrypt.hashpw(PASSWORD.encode(), bcrypt.gensalt(4)).decode()}\n")
    return file
