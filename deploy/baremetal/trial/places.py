"""Where everything of a site is: ports, files, and what stands in them."""

import argparse
import json
import os
import shutil
import socket
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from zotpy.embedded import EmbeddedStore

RENDER = Path(__file__).parents[1] / "haproxy" / "render"
PORT, INSIDE_PORT, FIRST_REPLICA_PORT = 5000, 8404, 5001
MOST_REPLICAS = 64
ADMIN_SOCKET = "unix@admin.sock"
"""Where HAProxy is administered, in its working directory: HAProxy takes no path of a socket over 97 bytes."""


class SiteError(Exception):
    """The site cannot run; the message says why and what to do."""


@dataclass(frozen=True)
class Site:
    """Where everything of the site is."""

    root: Path
    port: int
    inside_port: int
    replica_ports: Sequence[int]

    @property
    def configuration(self) -> Path:
        """The one file that all replicas read; it holds the keys of the store."""
        return self.root / "config.json"

    @property
    def haproxy(self) -> Path:
        """HAProxy's configuration."""
        return self.root / "haproxy.cfg"

    def log(self, name: str) -> Path:
        """Return the file in which the output of one process is kept."""
        return self.root / f"{name}.log"


def write(site: Site, store: EmbeddedStore) -> None:
    """Write what replicas and HAProxy read."""
    settings = {
        # HAProxy notices within 1.5 s.
        "http": {"address": "127.0.0.1", "trustedProxies": ["127.0.0.0/8"], "drainNotice": "2s"},
        "storage": {
            "storageDriver": {
                "name": "s3",
                "regionendpoint": store.endpoint,
                "region": store.region,
                "bucket": store.bucket,
                "accesskey": store.access_key,
                "secretkey": store.secret_key,
            }
        },
    }
    site.configuration.touch(mode=0o600)
    site.configuration.write_text(json.dumps(settings, indent=2))
    places = ["--plain", f"127.0.0.1:{site.port}", "--inside", f"127.0.0.1:{site.inside_port}"]
    replicas = [f"127.0.0.1:{port}" for port in site.replica_ports]
    command = ["sh", str(RENDER), *places, "--socket", ADMIN_SOCKET, "--unprivileged", *replicas]
    site.haproxy.write_bytes(subprocess.run(command, check=True, capture_output=True).stdout)  # noqa: S603 - our own


def find_haproxy() -> str:
    """Return the program. Raises `SiteError`."""
    found = shutil.which("haproxy", path=os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/sbin"]))
    if found is None:
        msg = "HAProxy is not here: install it, for example with `apt-get install haproxy`"
        raise SiteError(msg)
    return found


def site_for(options: argparse.Namespace) -> Site:
    """Return the site that the arguments ask for. Raises `SiteError` where a port is taken."""
    count = options.replicas
    if not 1 <= count <= MOST_REPLICAS:
        msg = f"--replicas {count}: 1 to {MOST_REPLICAS} are possible"
        raise SiteError(msg)
    taken: set[int] = set()
    port = _port(options.port, taken, "--port")
    inside_port = _port(options.inside_port, taken, "--inside-port")
    first = options.replica_port
    replica_ports = [_port(first and first + number, taken, "--replica-port") for number in range(count)]
    root: Path = options.root.absolute()
    try:
        root.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        msg = f"--root {root}: {error.strerror}"
        raise SiteError(msg) from error
    return Site(root, port, inside_port, replica_ports)


def _port(wanted: int, taken: set[int], option: str) -> int:
    """Return the port, or any free one for 0."""
    while True:
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", wanted))
            except (OSError, OverflowError) as error:
                msg = f"port {wanted} cannot be used ({error}): choose another with {option}, or 0 for any free one"
                raise SiteError(msg) from error
            port: int = probe.getsockname()[1]
        if port not in taken:
            taken.add(port)
            return port
        if wanted:
            msg = f"port {wanted} is wanted twice: choose another with {option}"
            raise SiteError(msg)


def arguments() -> argparse.ArgumentParser:
    """Return what reads the command line."""
    parser = argparse.ArgumentParser(prog="try", description="A whole site on one machine, to try it. Ctrl-C ends it.")
    data = Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share") / "zotpy-site"
    parser.add_argument("--port", type=int, default=PORT, help="where the registry is (default %(default)s; 0: any)")
    parser.add_argument("--replicas", type=int, default=3, help="how many (default %(default)s)")
    parser.add_argument(
        "--replica-port", type=int, default=FIRST_REPLICA_PORT, help="of the first one (default %(default)s; 0: any)"
    )
    parser.add_argument(
        "--inside-port", type=int, default=INSIDE_PORT, help="HAProxy's page and metrics (default %(default)s; 0: any)"
    )
    parser.add_argument("--root", type=Path, default=data, help="data and logs (default %(default)s)")
    return parser
