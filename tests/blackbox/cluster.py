"""Replicas of zotpy as separate processes that share nothing but one prefix of one bucket."""

from __future__ import annotations

import json
import os
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import httpx

from bench.servers.registry import driver as driver_of
from tests.blackbox.balancer import Balancer, answers
from tests.processes import Process, free_port

if TYPE_CHECKING:
    import ssl
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from tests.servers import Bucket

REPLICAS = 2


class Replica:
    """One zotpy process on a port of its own."""

    def __init__(
        self,
        index: int,
        bucket: Bucket,
        prefix: str,
        directory: Path,
        driver: Mapping[str, object] | None = None,
        source: Path | None = None,
    ) -> None:
        """Write the settings as zot would write them, with more of the S3 driver's; nothing is started yet.

        `source` holds the package of another release, which is run in place of this one.
        """
        self.source = source
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.settings = directory / f"replica{index}.json"
        settings = replica_settings(self.port, bucket, prefix, directory, driver or {})
        if source is not None:
            del settings["http"]["drainNotice"]  # one of the earlier releases does not know it
        self._write(settings)
        command = [sys.executable, "-m", "zotpy", "serve", "-c", str(self.settings)]
        env = None if source is None else {**os.environ, "PYTHONPATH": str(source)}
        self.process = Process(f"replica{index}", command, directory / f"replica{index}.log", env, source)

    def configure(self, settings: Mapping[str, Mapping[str, object]]) -> None:
        """Change settings of some sections, for the next start."""
        written = json.loads(self.settings.read_text())
        self._write(written | {name: written.get(name, {}) | section for name, section in settings.items()})

    def start(self) -> None:
        """Start the replica, or start it again, and wait until it answers."""
        self.process.start(lambda: answers(self.url))

    @contextmanager
    def running(self) -> Iterator[None]:
        """Let the replica run within the block, from when it is ready."""
        self.process.start(lambda: is_ready(self.url))
        try:
            yield
        finally:
            self.process.stop()

    def _write(self, settings: Mapping[str, object]) -> None:
        self.settings.write_text(json.dumps(settings, indent=2))


class Cluster:
    """Replicas of one registry behind one balancer."""

    def __init__(
        self, bucket: Bucket, prefix: str, directory: Path, sources: Sequence[Path | None] = (None,) * REPLICAS
    ) -> None:
        """Write all settings, of one replica for each of the sources; nothing is started yet."""
        self.replicas = [
            Replica(index, bucket, prefix, directory, source=source) for index, source in enumerate(sources)
        ]
        self.balancer = Balancer([replica.port for replica in self.replicas], directory)

    @property
    def address(self) -> str:
        """The host and port that clients are given: the balancer's."""
        return self.balancer.address

    @property
    def url(self) -> str:
        """The base URL behind which requests alternate between the replicas."""
        return self.balancer.url

    @property
    def processes(self) -> list[Process]:
        """Every process of the cluster."""
        return [*(replica.process for replica in self.replicas), self.balancer.process]

    def start(self) -> None:
        """Start all of it and wait until every replica and the balancer answer."""
        for replica in self.replicas:
            replica.start()
        self.balancer.start()

    def stop(self) -> None:
        """End all of it at once, the balancer first."""
        for process in reversed(self.processes):
            process.kill()

    def log_sizes(self) -> list[int]:
        """Return how much each process has written so far."""
        return [process.log_size() for process in self.processes]

    def logs_since(self, sizes: list[int]) -> list[tuple[str, str]]:
        """Return the name of each process with what it wrote after these sizes."""
        return [(process.name, process.log_tail(size)) for process, size in zip(self.processes, sizes, strict=True)]


def replica_settings(
    port: int, bucket: Bucket, prefix: str, directory: Path, driver: Mapping[str, object]
) -> dict[str, Any]:
    """Return the settings of one replica, named as zot names them.

    It ends without a notice. With one it would listen for 10 s more, because tests ask for its readiness.
    """
    return {
        "distSpecVersion": "1.1.1",
        "storage": {
            "rootDirectory": str(directory),
            "dedupe": True,
            "gc": False,
            "remoteCache": True,
            "storageDriver": {
                "name": "s3",
                **driver_of(bucket, prefix),
                "createbucket": True,
                **driver,
            },
        },
        "http": {"address": "127.0.0.1", "port": str(port), "drainNotice": "0s"},
        "log": {"level": "info"},
    }


def is_ready(url: str, context: ssl.SSLContext | None = None) -> bool:
    """Say whether a replica answers."""
    try:
        return httpx.get(f"{url}/readyz", timeout=60, verify=context or True).status_code == httpx.codes.OK
    except httpx.TransportError:
        return False
