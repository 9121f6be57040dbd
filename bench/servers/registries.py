"""The registries that are measured: replicas of zotpy, and others on the same store."""

import json
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from bench.servers.access import Locked
from bench.servers.other_registries import distribution_server, version_of, zot_server
from bench.servers.processes import CHECKOUT
from bench.servers.registry import Place, RegistryServer, driver, registry_server
from bench.servers.stores import Bucket, printed
from zotpy.release import version

PROMISED = "2s"
"""`storage.promisedLife` of a replica that answers from memory."""


@dataclass(frozen=True)
class Build:
    """One state of this program: where its checkout is, and the Python that runs it."""

    checkout: Path = CHECKOUT
    python: Path = Path(sys.executable)

    def knows(self, setting: str) -> bool:
        """Say whether it has a setting, such as `promisedLife`: the page about its configuration names it."""
        return setting in (self.checkout / "docs" / "configuration.md").read_text()


@dataclass(frozen=True)
class Remembers:
    """What a replica keeps of what it has read."""

    cached: Path | None = None
    """Where it keeps bytes of blobs; `None`: nowhere."""
    promised: bool = False
    """Whether it answers from memory, for `PROMISED`."""


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

    Unless it is locked, everybody may do everything. An older build remembers only what it can.
    """
    place = place or Place()
    http: dict[str, Any] = {"address": place.host, "port": str(place.port), "workers": workers}
    if place.tls is not None:
        http["tls"] = {"cert": str(place.tls.cert), "key": str(place.tls.key)}
    if locked is not None:
        http |= locked.settings()
    settings: dict[str, Any] = {
        "storage": {"storageDriver": {"name": "s3", **driver(bucket, prefix)}},
        "http": http,
        "log": {"level": "error"},
    }
    if remembers.promised and build.knows("promisedLife"):
        settings["storage"]["promisedLife"] = PROMISED
    if remembers.cached is not None and build.knows("cache.directory"):
        settings["cache"] = {"directory": str(remembers.cached / f"{place.name or 'zotpy'}-cache")}
    path = directory / f"{place.name or 'zotpy'}.json"
    path.write_text(json.dumps(settings, indent=2))
    command: list[str | Path] = [build.python, "-m", "zotpy", "serve", "-c", path]
    return registry_server("zotpy", command, directory, place, build.checkout)


Prepare = Callable[[Bucket, str, Path, Place], RegistryServer]
"""Prepares one process of a registry on a prefix of a bucket; raises `ProgramMissing`."""
REGISTRIES: Mapping[str, Prepare] = {
    "zotpy": zotpy_server,
    **{name: partial(distribution_server, name) for name in ("distribution", "docker-registry")},
    "zot": zot_server,
}
"""The registries that can be measured, by their names in tables."""


def registry_version(name: str) -> str:
    """Return the version of a registry; zotpy's with the commit of the checkout. Raises `ProgramMissing`."""
    if name == "zotpy":
        return f"{version()} ({printed('git', '-C', CHECKOUT, 'describe', '--always', '--dirty')})"
    return version_of(name)
