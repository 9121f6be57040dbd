"""One process of a registry that is measured, whichever it is: where it runs, and what starts it."""

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.servers.certificates import Certificate
from bench.servers.processes import CHECKOUT, Process, accepts, free_port
from bench.servers.stores import Bucket


@dataclass(frozen=True)
class Place:
    """Where a registry process runs: on this machine, unless a command is put before its own that moves it."""

    name: str = ""
    """The name of its files; empty: that of the registry."""
    host: str = "127.0.0.1"
    port: int = field(default_factory=free_port)
    enter: Sequence[str] = ()
    tls: Certificate | None = None
    """With it clients speak TLS; without, in the clear."""


@dataclass
class RegistryServer:
    """One registry process on a port of its own."""

    name: str
    place: Place
    process: Process

    @property
    def port(self) -> int:
        """Where it listens."""
        return self.place.port

    def start(self) -> None:
        """Start it and wait until it takes connections. Raises `NotReady`."""
        self.process.start(lambda: accepts(self.port, self.place.host))


def registry_server(
    name: str, command: Sequence[str | Path], directory: Path, place: Place, checkout: Path = CHECKOUT
) -> RegistryServer:
    """Prepare a registry that this command starts, without our environment's settings; nothing is started yet."""
    label = place.name or name
    process = Process(label, [*place.enter, *command], directory / f"{label}.log", _without_settings(), cwd=checkout)
    return RegistryServer(name, place, process)


def driver(bucket: Bucket, prefix: str) -> dict[str, Any]:
    """Return what all of them call the settings of a bucket."""
    return {
        "region": bucket.region,
        "regionendpoint": bucket.endpoint,
        "bucket": bucket.name,
        "rootdirectory": f"/{prefix}",
        "forcepathstyle": True,
        "secure": False,
        "accesskey": bucket.access_key,
        "secretkey": bucket.secret_key,
    }


def _without_settings() -> dict[str, str]:
    """Return our environment without what would change how a registry or its S3 client runs."""
    prefixes = ("ZOTPY_", "REGISTRY_", "AWS_", "OTEL_")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(prefixes)}
    return {**kept, "OTEL_TRACES_EXPORTER": "none"}  # distribution would send its traces to a collector
