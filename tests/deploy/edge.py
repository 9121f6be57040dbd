"""The HAProxy of `deploy/baremetal/haproxy`, its rules as they are and the addresses of a test."""

from __future__ import annotations

import csv
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import httpx

from deploy.baremetal.trial.places import ADMIN_SOCKET
from tests.processes import Process, find_program, free_port, wait_until

if TYPE_CHECKING:
    from collections.abc import Sequence

FOLDER = Path(__file__).parents[2] / "deploy" / "baremetal" / "haproxy"


def render(*arguments: str | Path) -> str:
    """Return what `render` prints; it must end well."""
    command = ["sh", str(FOLDER / "render"), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


class Edge:
    """The one address that clients are given."""

    def __init__(
        self,
        ports: Sequence[int],
        directory: Path,
        *,
        template: str = "haproxy.cfg",
        certificate: Path | None = None,
        client_ca: Path | None = None,
    ) -> None:
        """Write the configuration for backends on these ports; nothing is started yet."""
        self.plain, self.tls, self.inside = (f"127.0.0.1:{free_port()}" for _ in range(3))
        addresses: list[str | Path] = ["--plain", self.plain, "--tls", self.tls, "--inside", self.inside]
        if certificate is not None:
            addresses += ["--cert", certificate]
        if client_ca is not None:
            addresses += ["--client-ca", client_ca]
        self.configuration = directory / "haproxy.cfg"
        self.configuration.write_text(
            render(
                *("--template", FOLDER / template),
                *addresses,
                *("--socket", ADMIN_SOCKET, "--unprivileged"),
                *(f"127.0.0.1:{port}" for port in ports),
            )
        )
        haproxy = find_program("haproxy", "apt-get install haproxy")
        command: list[str | Path] = [haproxy, "-db", "-f", self.configuration]
        self.process = Process("haproxy", command, directory / "haproxy.log", cwd=directory)

    @property
    def url(self) -> str:
        """The base URL without TLS."""
        return f"http://{self.plain}"

    def start(self) -> None:
        """Start HAProxy and wait until it finds every backend ready."""
        self.process.start(lambda: set(self.states()) == {"UP"})

    def stop(self) -> None:
        """End it."""
        self.process.stop()

    def states(self) -> list[str]:
        """Return what HAProxy says of each backend, in their order: `UP`, `DOWN` and others."""
        try:
            page = httpx.get(f"http://{self.inside}/stats;csv", timeout=5).text
        except httpx.TransportError:
            return []
        rows = csv.DictReader(page.removeprefix("# ").splitlines())
        return [row["status"] for row in rows if row["pxname"] == "replicas" and row["svname"] != "BACKEND"]

    def wait_for(self, *states: str) -> None:
        """Wait until HAProxy says this of the backends."""
        wait_until(lambda: self.states() == list(states), f"HAProxy finds its backends {states}: {self.states()}")

    def servers(self, since: int = 0) -> list[str]:
        """Return the backend that answered each request in the log after the offset `since`; `<NOSRV>`: none."""
        lines = self.process.log_tail(since, limit=100_000_000).splitlines()
        return [line.partition("replicas/")[2].split()[0] for line in lines if " replicas/" in line and '"' in line]
