"""A Docker daemon of the tests' own: images, socket and processes end with it, and it changes no network."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING

from tests.blackbox.clients import Client, isolated_environment
from tests.processes import Process, missing

if TYPE_CHECKING:
    from collections.abc import Mapping

NO_NETWORK = ("--bridge=none", "--iptables=false", "--ip6tables=false", "--ip-forward=false", "--ip-masq=false")


class Docker:
    """The daemon on a socket of its own, and what the command `docker` needs to reach it."""

    def __init__(self, directory: Path, settings: Mapping[str, object] | None = None) -> None:
        """Find the programs; `settings` are those of `daemon.json`. The path must be short: it holds sockets."""
        self._programs = _programs()
        self.address = f"unix://{directory}/docker.sock"
        self.saved = directory / "saved.tar"
        """For an image that a test saves, to load it again."""
        self._directory = directory
        file = directory / "daemon.json"
        file.write_text(json.dumps({"storage-driver": "vfs", **(settings or {})}))
        places = {"--data-root": "data", "--exec-root": "run", "--pidfile": "docker.pid"}
        words: list[str | Path] = [word for option, name in places.items() for word in (option, directory / name)]
        command: list[str | Path] = [
            self._programs / "dockerd",
            "--config-file",
            file,
            "-H",
            self.address,
            *words,
            *NO_NETWORK,
        ]
        path = f"{self._programs}:{os.environ['PATH']}:/usr/sbin:/sbin"
        self.process = Process("dockerd", command, directory / "dockerd.log", {"PATH": path, "HOME": str(directory)})

    def start(self) -> None:
        """Start it with its containerd, and wait until it answers."""
        first = self.client(self._directory / "first")
        self.process.start(lambda: first.tried("version") is None)

    def client(self, home: Path) -> Client:
        """Return the command `docker` with a home of its own, in which it keeps its logins."""
        made = isolated_environment(home) | {"DOCKER_HOST": self.address}
        made["PATH"] = f"{self._programs}:{made['PATH']}"
        return Client(str(self._programs / "docker"), made)


def _programs() -> Path:
    """Return the directory of what `tests/peers/build` has unpacked."""
    kept = os.environ.get("ZOTPY_TEST_PEERS")
    if not kept or not (path := Path(kept) / "docker").exists():
        missing("docker's daemon is needed: sh tests/peers/build, and name what it prints in ZOTPY_TEST_PEERS")
    if os.geteuid() != 0:
        missing("docker's daemon is needed, which only root can start")
    return path
