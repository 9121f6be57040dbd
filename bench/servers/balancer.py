"""The one address that clients are given: HAProxy, which sends each request to the replica with the fewest."""

from collections.abc import Sequence
from pathlib import Path

from bench.servers.processes import Process, accepts, find_program, free_port
from bench.servers.stores import printed

CONFIGURATION = """\
global
    nbthread 1
    tune.bufsize 65536
    tune.rcvbuf.client 262144
    tune.sndbuf.client 262144
    tune.rcvbuf.server 262144
    tune.sndbuf.server 262144
defaults
    mode http
    option splice-auto
    option redispatch 1
    retries 3
    timeout connect 5s
    timeout client 300s
    timeout server 300s
frontend clients
    bind 127.0.0.1:{port}
    default_backend replicas
backend replicas
    balance leastconn
    default-server check inter 1s fall 1 rise 1
{servers}
"""


class Balancer:
    """One HAProxy before some replicas, its buffers short. Raises `ProgramMissing`.

    With those that the kernel grows, megabytes of each connection would wait here, which clients count as sent.
    """

    def __init__(self, replicas: Sequence[tuple[str, int]], directory: Path) -> None:
        """Write its configuration; nothing is started yet."""
        self.port = free_port()
        servers = [f"    server replica{index} {host}:{port}" for index, (host, port) in enumerate(replicas)]
        path = directory / "haproxy.cfg"
        path.write_text(CONFIGURATION.format(port=self.port, servers="\n".join(servers)))
        self.process = Process("haproxy", [_haproxy(), "-db", "-f", path], directory / "haproxy.log")

    def start(self) -> None:
        """Start it and wait until it takes connections. Raises `NotReady`."""
        self.process.start(lambda: accepts(self.port))


def balancer_version() -> str:
    """Return the version of HAProxy. Raises `ProgramMissing`."""
    return printed(_haproxy(), "-v").split(" ")[2]


def _haproxy() -> Path:
    return find_program("haproxy", "apt-get install haproxy")
