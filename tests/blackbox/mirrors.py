"""An upstream of a mirror: CNCF distribution, a program of others, on a directory of this machine."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import httpx
import yaml

from bench.servers.peers import find_or_build_peer
from tests.processes import Process, free_port, needed

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


class UpstreamProgram:
    """The upstream, and what it was asked."""

    def __init__(self, directory: Path) -> None:
        """Write its settings; nothing is started yet."""
        self.address = f"127.0.0.1:{free_port()}"
        self.url = f"http://{self.address}"
        settings: dict[str, Any] = {
            "version": "0.1",
            "log": {"level": "error", "accesslog": {"disabled": False}},
            "storage": {"filesystem": {"rootdirectory": str(directory / "data")}, "delete": {"enabled": True}},
            "http": {"addr": self.address, "secret": "of-the-tests"},
        }
        file = directory / "distribution.yml"
        file.write_text(yaml.safe_dump(settings))
        with needed():
            program = find_or_build_peer("registry")
        environment = {"PATH": "/usr/bin:/bin", "OTEL_TRACES_EXPORTER": "none"}
        self.process = Process("distribution", [program, "serve", file], directory / "distribution.log", environment)

    def start(self) -> None:
        """Start it, and wait until it answers."""
        self.process.start(self._answers)

    def gets(self) -> list[str]:
        """Return the paths of blobs that it was asked to send so far, in order."""
        lines = self.process.log_tail(0).splitlines()
        return [line.split('"GET ')[1].split()[0] for line in lines if '"GET /v2/' in line and "/blobs/" in line]

    def _answers(self) -> bool:
        try:
            return httpx.get(f"{self.url}/v2/").is_success
        except httpx.HTTPError:
            return False


def mirrored(url: str, **changed: object) -> Mapping[str, Mapping[str, object]]:
    """Return the section of a replica that mirrors an upstream below `hub`."""
    entry = {"urls": [url], "onDemand": True, "content": [{"prefix": "**", "destination": "/hub"}], **changed}
    return {"extensions": {"sync": {"registries": [entry]}}}
