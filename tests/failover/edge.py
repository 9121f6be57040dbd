"""HAProxy with the rules of `deploy/baremetal`: what it logged of each request, and which replica has one now."""

from __future__ import annotations

import re
import socket
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from deploy.baremetal.trial.places import ADMIN_SOCKET
from tests.deploy.edge import Edge
from tests.processes import wait_until

if TYPE_CHECKING:
    from collections.abc import Sequence

REQUEST_LINE = re.compile(
    r"^\S+ \[\S+\] registry replicas/(?P<server>\S+) \S+ (?P<status>-?\d+) \d+ \S+ \S+ (?P<end>\S{4})"
    r' \d+/\d+/\d+/\d+/\+?(?P<retries>\d+) \S+ "(?P<method>\S+) (?P<target>\S+)',
    re.MULTILINE,
)
SESSION = re.compile(r"src=(?P<client>\S+) .*srv=(?P<server>\S+)")
WHOLE = "----"
"""How the log says that neither side broke off."""


@dataclass(frozen=True)
class Passed:
    """One request as HAProxy saw it."""

    server: str
    """The last replica that it was sent to."""
    status: int
    """-1: there was no answer."""
    end: str
    """Which side broke off, and when; four letters."""
    retries: int
    method: str
    target: str

    @property
    def failed(self) -> bool:
        """Whether its client got an error that is not its own, or less than the whole answer."""
        return self.status < 0 or self.status >= 500 or self.end != WHOLE


class WatchedEdge(Edge):
    """The one address that clients are given."""

    def __init__(self, ports: Sequence[int], directory: Path) -> None:
        """Write the configuration; nothing is started yet."""
        self._sockets = tempfile.TemporaryDirectory(prefix="zotpy")  # the path of a socket has 107 bytes at most
        super().__init__(ports, directory)
        short = Path(self._sockets.name) / "admin.sock"
        self._socket = str(short)
        rules = self.configuration.read_text()
        self.configuration.write_text(rules.replace(ADMIN_SOCKET, self._socket))

    @property
    def port(self) -> int:
        """The port that clients are given."""
        return int(self.plain.rpartition(":")[2])

    def stop(self) -> None:
        """End it."""
        super().stop()
        self._sockets.cleanup()

    def passed(self, since: int = 0) -> list[Passed]:
        """Return the requests in the log after the offset `since`, in the order of their ends."""
        found = REQUEST_LINE.finditer(self.process.log_tail(since, limit=1_000_000_000))
        return [
            Passed(
                line["server"], int(line["status"]), line["end"], int(line["retries"]), line["method"], line["target"]
            )
            for line in found
        ]

    def is_up(self, server: str) -> bool:
        """Whether the replica gets new requests."""
        return self.states()[int(server.removeprefix("replica")) - 1].startswith("UP")

    def server_of(self, client_port: int) -> str:
        """Wait until a replica has the request of this client's connection, and return its name."""
        found: list[str] = []

        def is_there() -> bool:
            sessions = SESSION.finditer(self._ask("show sess"))
            found[:] = [line["server"] for line in sessions if line["client"] == f"127.0.0.1:{client_port}"]
            return found != [] and found[0] != "<none>"

        wait_until(is_there, f"a replica has the request of the client at port {client_port}")
        return found[0]

    def _ask(self, command: str) -> str:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(self._socket)
            connection.sendall(f"{command}\n".encode())
            return b"".join(iter(lambda: connection.recv(65536), b"")).decode()
