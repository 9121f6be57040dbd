"""The registries that zotpy is measured beside, on the same store."""

import json
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from bench.servers.peers import find_or_build_peer
from bench.servers.processes import find_program
from bench.servers.registry import Place, RegistryServer, driver, registry_server
from bench.servers.stores import Bucket, printed

COMMAND_FIELDS = ("host", "port", "endpoint", "region", "bucket", "prefix", "access_key", "secret_key", "directory")
"""The fields that the command of any other registry may contain."""


def distribution_server(name: str, bucket: Bucket, prefix: str, directory: Path, place: Place) -> RegistryServer:
    """Prepare CNCF distribution with the settings of its own example; nothing is started yet. Raises `ProgramMissing`.

    `distribution` is its version 3, `docker-registry` its version 2 as Debian packages it.
    """
    path = directory / f"{place.name or name}.yml"
    path.write_text(yaml.safe_dump(_distribution_settings(bucket, prefix, place)))
    return registry_server(name, [_distribution(name), "serve", path], directory, place)


def zot_server(bucket: Bucket, prefix: str, directory: Path, place: Place, upstream: str = "") -> RegistryServer:
    """Prepare zot, which mirrors everything of `upstream` below `hub` if one is given; nothing is started yet.

    Raises `ProgramMissing`. Its deduplication is off, as it needs a database beside the bucket.
    """
    label = place.name or "zot"
    settings: dict[str, Any] = {
        "storage": {
            "rootDirectory": str(directory / label),
            "dedupe": False,
            "gc": False,
            "storageDriver": {"name": "s3", **driver(bucket, prefix)},
        },
        "http": {"address": place.host, "port": str(place.port)},
        "log": {"level": "error"},
    }
    if place.tls is not None:
        settings["http"]["tls"] = {"cert": str(place.tls.cert), "key": str(place.tls.key)}
    if upstream:
        mirrored = {"urls": [upstream], "onDemand": True, "content": [{"prefix": "**", "destination": "/hub"}]}
        downloads = str(directory / f"{label}-downloads")
        settings["extensions"] = {"sync": {"enable": True, "downloadDir": downloads, "registries": [mirrored]}}
    path = directory / f"{label}.json"
    path.write_text(json.dumps(settings, indent=2))
    return registry_server("zot", [_zot(), "serve", path], directory, place)


def command_server(template: str, bucket: Bucket, prefix: str, directory: Path, place: Place) -> RegistryServer:
    """Prepare any registry; nothing is started yet. Raises `ValueError`."""
    of_bucket = (bucket.endpoint, bucket.region, bucket.name, prefix, bucket.access_key, bucket.secret_key)
    values = dict(zip(COMMAND_FIELDS, (place.host, place.port, *of_bucket, directory), strict=True))
    return registry_server("command", filled_in(template, values), directory, place)


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


def _distribution_settings(bucket: Bucket, prefix: str, place: Place) -> dict[str, Any]:
    http: dict[str, Any] = {"addr": f"{place.host}:{place.port}", "secret": "of-the-benchmark"}
    if place.tls is not None:
        http["tls"] = {"certificate": str(place.tls.cert), "key": str(place.tls.key)}
    return {
        "version": "0.1",
        "log": {"level": "error", "accesslog": {"disabled": True}},
        "storage": {
            "s3": driver(bucket, prefix),
            "delete": {"enabled": True},
            "redirect": {"disable": True},
            "cache": {"blobdescriptor": "inmemory"},
            "maintenance": {"uploadpurging": {"enabled": False}},
        },
        "http": http,
    }


def version_of(name: str) -> str:
    """Return the version of one of these registries. Raises `ProgramMissing`."""
    if name == "zot":
        return str(json.loads(printed(_zot(), "--version")).get("commit") or "of PATH")
    return printed(_distribution(name), "--version").rpartition(" ")[2]


def _distribution(name: str) -> Path:
    if name == "docker-registry":
        return find_program(name, "apt-get install docker-registry")
    return find_or_build_peer("registry")


def _zot() -> Path:
    return find_program("zot", "build it with its sync extension, and put it into a directory of PATH")
