"""A plain round robin of requests, not of connections: HAProxy in HTTP mode, without health checks or stickiness."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

import httpx

from tests.processes import Process, find_program, free_port

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

REPLICA_HEADER = "X-Answered-By"
"""Response header in which the balancer names the replica that answered."""

CONFIGURATION = """\
global
    nbthread 1
    log stdout format raw daemon
defaults
    mode http
    log global
    option httplog
    timeout connect 10s
    timeout client 300s
    timeout server 300s
frontend clients
    bind 127.0.0.1:{port}
    http-response set-header {header} %s
    default_backend replicas
backend replicas
    balance roundrobin
    no option prefer-last-server
{servers}
"""
REQUEST_LINE = re.compile(r'clients replicas/\S+ \S+ (?P<status>\d{3}) .* "(?P<method>[A-Z]+) (?P<path>\S+) ')


@dataclass(frozen=True)
class Request:
    """One request that the balancer passed on."""

    method: str
    path: str
    status: int


class Balancer:
    """The one address that clients are given."""

    def __init__(self, replica_ports: Sequence[int], directory: Path) -> None:
        """Write the configuration; nothing is started yet."""
        self.address = f"127.0.0.1:{free_port()}"
        servers = [f"    server replica{index} 127.0.0.1:{port}" for index, port in enumerate(replica_ports)]
        configuration = directory / "haproxy.cfg"
        configuration.write_text(
            CONFIGURATION.format(
                port=self.address.rpartition(":")[2], header=REPLICA_HEADER, servers="\n".join(servers)
            )
        )
        haproxy = find_program("haproxy", "apt-get install haproxy")
        self.process = Process("haproxy", [haproxy, "-db", "-f", configuration], directory / "haproxy.log")

    @property
    def url(self) -> str:
        """The base URL of the registry behind the balancer."""
        return f"http://{self.address}"

    def start(self) -> None:
        """Start HAProxy and wait until it passes requests on."""
        self.process.start(lambda: answers(self.url))

    def requests(self, since: int = 0) -> list[Request]:
        """Return the requests passed on, in the order of their ends, that the log holds after the offset `since`."""
        found = REQUEST_LINE.finditer(self.process.log_tail(since, limit=100_000_000))
        return [Request(line["method"], line["path"], int(line["status"])) for line in found]


def answers(url: str) -> bool:
    """Whether a registry answers its version check with 200 at this base URL."""
    try:
        return httpx.get(f"{url}/v2/", timeout=5).status_code == httpx.codes.OK
    except httpx.TransportError:
        return False
