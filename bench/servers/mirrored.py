"""The surroundings of a mirror: an upstream with images, the way to it, and a count of what came over that way."""

import hashlib
import json
import os
import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from bench.clients.connection import Connection
from bench.servers.peers import find_or_build_peer
from bench.servers.processes import Process, accepts, free_port

IMAGE_TYPE = "application/vnd.oci.image.manifest.v1+json"


@dataclass(frozen=True, slots=True)
class Way:
    """The relay before an upstream."""

    process: Process
    port: int
    counts_port: int

    @property
    def url(self) -> str:
        """The upstream's address for a mirror."""
        return f"http://127.0.0.1:{self.port}"

    def counts(self) -> tuple[int, int]:
        """Return how many requests the upstream was sent so far, and how many bytes came back."""
        with socket.create_connection(("127.0.0.1", self.counts_port)) as stream, stream.makefile() as lines:
            requests, sent_bytes = lines.readline().split()
        return int(requests), int(sent_bytes)


def way(directory: Path, upstream_port: int, delay_ms: float, rate_mb: float) -> Way:
    """Prepare a relay in which each request waits and each connection has a rate."""
    port, counts_port = free_port(), free_port()
    ends = f"127.0.0.1:{port}=127.0.0.1:{upstream_port}"
    options = ["--way", ends, "--delay-ms", str(delay_ms), "--rate-mb", str(rate_mb), "--counts-port", str(counts_port)]
    return Way(Process.of_module("relay", "bench.servers.relay", options, directory), port, counts_port)


def push(port: int, name: str, layers: Sequence[bytes]) -> None:
    """Push an image of these layers as `v1`."""
    connection, described = Connection(port), list[dict[str, object]]()
    for layer in [b"{}", *layers]:
        digest = f"sha256:{hashlib.sha256(layer).hexdigest()}"
        location = connection.call("POST", f"/v2/{name}/blobs/uploads/", {"Content-Length": "0"}).headers["location"]
        target = location.partition(f":{port}")[2] or location
        joint = "&" if "?" in target else "?"
        connection.call("PUT", f"{target}{joint}digest={digest}", {"Content-Length": str(len(layer))}, [(layer,)])
        described.append({"mediaType": "application/octet-stream", "digest": digest, "size": len(layer)})
    manifest = json.dumps(
        {"schemaVersion": 2, "mediaType": IMAGE_TYPE, "config": described[0], "layers": described[1:]}
    ).encode()
    headers = {"Content-Type": IMAGE_TYPE, "Content-Length": str(len(manifest))}
    answer = connection.call("PUT", f"/v2/{name}/manifests/v1", headers, [(manifest,)])
    connection.close()
    if answer.status != 201:  # noqa: PLR2004 - created
        msg = f"the push ended with {answer.status}: {answer.body!r}"
        raise ValueError(msg)


@contextmanager
def running(process: Process, port: int) -> Iterator[Process]:
    """Run a program until the end of the block."""
    process.start(lambda: accepts(port))
    try:
        yield process
    finally:
        process.kill()


def distribution(directory: Path, name: str, upstream: str = "") -> tuple[Process, int]:
    """Prepare distribution on a directory, as a proxy if an upstream is given."""
    port = free_port()
    settings: dict[str, Any] = {
        "version": "0.1",
        "log": {"level": "error", "accesslog": {"disabled": True}},
        "storage": {"filesystem": {"rootdirectory": str(directory / name)}},
        "http": {"addr": f"127.0.0.1:{port}", "secret": "bench"},
    }
    if upstream:
        settings["proxy"] = {"remoteurl": upstream}
    file = directory / f"{name}.yml"
    file.write_text(yaml.safe_dump(settings))
    environment = {"PATH": os.environ["PATH"], "OTEL_TRACES_EXPORTER": "none"}
    return Process(name, [find_or_build_peer("registry"), "serve", file], directory / f"{name}.log", environment), port
