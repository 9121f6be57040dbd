"""The registries that are measured: replicas of zotpy, and others on the same store."""

import json
import os
import shlex
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import yaml

import zotpy
from bench.servers.access import Locked
from bench.servers.certificates import Certificate
from bench.servers.peers import find_or_build_peer
from bench.servers.processes import CHECKOUT, Process, accepts, find_program, free_port
from bench.servers.stores import Bucket, printed

PROMISED = "2s"
"""`storage.promisedLife` of a replica that answers from memory."""
COMMAND_FIELDS = ("host", "port", "endpoint", "region", "bucket", "prefix", "access_key", "secret_key", "directory")
"""The fields that the command of any other registry may contain."""


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


@dataclass(frozen=True)
class Build:
    """One state of this program: where its checkout is, and the Python that runs it."""

    checkout: Path = CHECKOUT
    python: Path = Path(sys.executable)


@dataclass(frozen=True)
class Remembers:
    """What a replica keeps of what it has read."""

    cached: Path | None = None
    """Where it keeps bytes of blobs; `None`: nowhere."""
    promised: bool = False
    """Whether it answers from memory, for `PROMISED`."""


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


def zotpy_server(
    bucket: Bucket,
    prefix: str,
    directory: Path,
    place: Place | None = None,
    workers: int = 1,
    build: Build = Build(),
    locked: Locked | None = None,
    remembers: Remembers = Remembers(),
) -> RegistryServer:
    """Prepare a replica, or so many workers, that keeps everything under the prefix; nothing is started yet.

    Unless it is locked, everybody may do everything.
    """
    place = place or Place()
    http: dict[str, Any] = {"address": place.host, "port": str(place.port), "workers": workers}
    if place.tls is not None:
        http["tls"] = {"cert": str(place.tls.cert), "key": str(place.tls.key)}
    if locked is not None:
        http |= locked.settings()
    settings: dict[str, Any] = {
        "storage": {"storageDriver": {"name": "s3", **_driver(bucket, prefix)}},
        "http": http,
        "log": {"level": "error"},
    }
    if remembers.promised:
        settings["storage"]["promisedLife"] = PROMISED
    if remembers.cached is not None:
        settings["cache"] = {"directory": str(remembers.cached / f"{place.name or 'zotpy'}-cache")}
    path = directory / f"{place.name or 'zotpy'}.json"
    path.write_text(json.dumps(settings, indent=2))
    command: list[str | Path] = [build.python, "-m", "zotpy", "serve", "-c", path]
    return _server("zotpy", command, directory, place, build.checkout)


def distribution_server(name: str, bucket: Bucket, prefix: str, directory: Path, place: Place) -> RegistryServer:
    """Prepare CNCF distribution with the settings of its own example; nothing is started yet. Raises `ProgramMissing`.

    `distribution` is its version 3, `docker-registry` its version 2 as Debian packages it.
    """
    path = directory / f"{place.name or name}.yml"
    path.write_text(yaml.safe_dump(_distribution_settings(bucket, prefix, place)))
    return _server(name, [_distribution(name), "serve", path], directory, place)


def command_server(template: str, bucket: Bucket, prefix: str, directory: Path, place: Place) -> RegistryServer:
    """Prepare any registry; nothing is started yet. Raises `ValueError`."""
    of_bucket = (bucket.endpoint, bucket.region, bucket.name, prefix, bucket.access_key, bucket.secret_key)
    values = dict(zip(COMMAND_FIELDS, (place.host, place.port, *of_bucket, directory), strict=True))
    return _server("command", filled_in(template, values), directory, place)


def filled_in(template: str, values: Mapping[str, object]) -> list[str]:
    """Return the words of a command line that has the names of `COMMAND_FIELDS` in braces. Raises `ValueError`."""
    try:
        words = [word.format_map(values) for word in shlex.split(template)]
    except (KeyError, IndexError, AttributeError) as error:
        msg = f"the command knows {', '.join(COMMAND_FIELDS)} in braces, not {error}"
        raise ValueError(msg) from error
    if not words:
        msg = "the command is empty"
        raise ValueError(msg)
    return words


def _server(
    name: str, command: Sequence[str | Path], directory: Path, place: Place, checkout: Path = CHECKOUT
) -> RegistryServer:
    label = place.name or name
    process = Process(label, [*place.enter, *command], directory / f"{label}.log", _without_settings(), cwd=checkout)
    return RegistryServer(name, place, process)


def _distribution_settings(bucket: Bucket, prefix: str, place: Place) -> dict[str, Any]:
    http: dict[str, Any] = {"addr": f"{place.host}:{place.port}", "secret": "of-the-benchmark"}
    if place.tls is not None:
        http["tls"] = {"certificate": str(place.tls.cert), "key": str(place.tls.key)}
    return {
        "version": "0.1",
        "log": {"level": "error", "accesslog": {"disabled": True}},
        "storage": {
            "s3": _driver(bucket, prefix),
            "delete": {"enabled": True},
            "redirect": {"disable": True},
            "cache": {"blobdescriptor": "inmemory"},
            "maintenance": {"uploadpurging": {"enabled": False}},
        },
        "http": http,
    }


def _driver(bucket: Bucket, prefix: str) -> dict[str, Any]:
    """Return what both programs call the settings of a bucket."""
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


Prepare = Callable[[Bucket, str, Path, Place], RegistryServer]
"""Prepares one process of a registry on a prefix of a bucket; raises `ProgramMissing`."""
REGISTRIES: Mapping[str, Prepare] = {
    "zotpy": zotpy_server,
    **{name: partial(distribution_server, name) for name in ("distribution", "docker-registry")},
}
"""The registries that can be measured, by their names in tables."""


def registry_version(name: str) -> str:
    """Return the version of a registry; zotpy's with the commit of the checkout. Raises `ProgramMissing`."""
    if name == "zotpy":
        return f"{zotpy.__version__} ({printed('git', '-C', CHECKOUT, 'describe', '--always', '--dirty')})"
    return printed(_distribution(name), "--version").rpartition(" ")[2]


def _distribution(name: str) -> Path:
    if name == "docker-registry":
        return find_program(name, "apt-get install docker-registry")
    return find_or_build_peer("registry")
