"""The registries that are measured: one zotpy replica, and CNCF distribution on the same store."""

import json
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import yaml

import zotpy
from bench.servers.peers import find_or_build_peer
from bench.servers.processes import Process, accepts, free_port
from bench.servers.stores import Bucket, printed

CHECKOUT = Path(__file__).parents[2]


@dataclass
class RegistryServer:
    """One registry process on a port of its own."""

    name: str
    port: int
    process: Process

    def start(self) -> None:
        """Start it and wait until it takes connections. Raises `NotReady`."""
        self.process.start(lambda: accepts(self.port))

    def stop(self) -> None:
        """Ask it to end."""
        self.process.stop()


def zotpy_server(bucket: Bucket, prefix: str, directory: Path, workers: int = 1) -> RegistryServer:
    """Prepare a replica, or so many workers, that keeps everything under the prefix; nothing is started yet."""
    port = free_port()
    driver = {
        "name": "s3",
        "region": bucket.region,
        "regionendpoint": bucket.endpoint,
        "bucket": bucket.name,
        "rootdirectory": f"/{prefix}",
        "forcepathstyle": True,
        "secure": False,
        "accesskey": bucket.access_key,
        "secretkey": bucket.secret_key,
    }
    settings = {
        "storage": {"storageDriver": driver},
        "http": {"address": "127.0.0.1", "port": str(port), "workers": workers},
        "log": {"level": "error"},
    }
    path = directory / "zotpy.json"
    path.write_text(json.dumps(settings, indent=2))
    command: list[str | Path] = [sys.executable, "-m", "zotpy", "serve", "-c", path]
    process = Process("zotpy", command, directory / "zotpy.log", _without_settings(), cwd=CHECKOUT)
    return RegistryServer("zotpy", port, process)


def distribution_server(bucket: Bucket, prefix: str, directory: Path) -> RegistryServer:
    """Prepare CNCF distribution with the settings of its own example; nothing is started yet."""
    port = free_port()
    path = directory / "distribution.yml"
    path.write_text(yaml.safe_dump(_distribution_settings(bucket, prefix, port)))
    command: list[str | Path] = [find_or_build_peer("registry"), "serve", path]
    return RegistryServer(
        "distribution", port, Process("distribution", command, directory / "distribution.log", _without_settings())
    )


def _distribution_settings(bucket: Bucket, prefix: str, port: int) -> dict[str, Any]:
    return {
        "version": "0.1",
        "log": {"level": "error", "accesslog": {"disabled": True}},
        "storage": {
            "s3": {
                "region": bucket.region,
                "regionendpoint": bucket.endpoint,
                "forcepathstyle": True,
                "secure": False,
                "bucket": bucket.name,
                "rootdirectory": f"/{prefix}",
                "accesskey": bucket.access_key,
                "secretkey": bucket.secret_key,
            },
            "delete": {"enabled": True},
            "redirect": {"disable": True},
            "cache": {"blobdescriptor": "inmemory"},
            "maintenance": {"uploadpurging": {"enabled": False}},
        },
        "http": {"addr": f"127.0.0.1:{port}", "secret": "of-the-benchmark"},
    }


def _without_settings() -> dict[str, str]:
    """Return our environment without what would change how a registry or its S3 client runs."""
    prefixes = ("ZOTPY_", "REGISTRY_", "AWS_", "OTEL_")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(prefixes)}
    return {**kept, "OTEL_TRACES_EXPORTER": "none"}  # distribution would send its traces to a collector


Prepare = Callable[[Bucket, str, Path], RegistryServer]


def registries(names: Sequence[str], workers: int) -> dict[str, Prepare]:
    """Return how the named ones are prepared, by the name that tables give them; only zotpy has workers."""
    known: dict[str, Prepare] = {
        "zotpy": partial(zotpy_server, workers=workers),
        "distribution": distribution_server,
    }
    return {name: known[name] for name in names}


def registry_version(name: str) -> str:
    """Return the version of a registry; zotpy's with the commit of the checkout."""
    if name == "zotpy":
        return f"{zotpy.__version__} ({printed('git', '-C', CHECKOUT, 'describe', '--always', '--dirty')})"
    return printed(find_or_build_peer("registry"), "--version").rpartition(" ")[2]
