"""`python -m bench.mirror`: pulls by way of a mirror, beside pulls from the upstream itself and distribution's proxy.

The upstream is CNCF distribution on a directory, behind a relay in which each request waits and each connection has a
rate. A client pulls a manifest by tag and then its layers, three at a time, as docker does. It prints seconds for each
pull, seconds until the first byte of the first layer, and what the mirror costs in CPU time.
"""

import argparse
import hashlib
import json
import os
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from rich.console import Console
from rich.table import Table

from bench.clients.connection import Connection
from bench.measures import GIB, MIB, ProcessTree
from bench.servers.peers import find_or_build_peer
from bench.servers.processes import Process, accepts, free_port
from bench.servers.registries import Place, zotpy_server
from bench.servers.stores import SeaweedServer, make_bucket

AT_ONCE = 3
IMAGE_TYPE = "application/vnd.oci.image.manifest.v1+json"
NAME = "bench/app"


@dataclass(frozen=True, slots=True)
class Pull:
    """One pull of the whole image."""

    seconds: float
    first_byte_s: float
    """From the request for the first layer to its first byte."""


class Client:
    """Pulls the image from one registry."""

    def __init__(self, port: int, name: str) -> None:
        self.port = port
        self.name = name

    def pull(self) -> Pull:
        """Pull a manifest by tag, and all that it names. Raises `ValueError` for wrong bytes."""
        began = time.monotonic()
        manifest = json.loads(self._get("manifests/v1", {"Accept": IMAGE_TYPE})[0])
        with ThreadPoolExecutor(AT_ONCE) as pool:
            found = list(pool.map(self._blob, [layer["digest"] for layer in manifest["layers"]]))
        return Pull(time.monotonic() - began, found[0])

    def _blob(self, digest: str) -> float:
        _, first_byte_s = self._get(f"blobs/{digest}", {}, digest)
        return first_byte_s

    def _get(self, what: str, headers: dict[str, str], digest: str = "") -> tuple[bytes, float]:
        connection, hasher, first, content = Connection(self.port), hashlib.sha256(), list[float](), bytearray()

        def take(piece: memoryview | bytes | bytearray) -> None:
            if not first:
                first.append(time.monotonic())
            hasher.update(piece)
            if not digest:
                content.extend(piece)

        began = time.monotonic()
        try:
            answer = connection.call("GET", f"/v2/{self.name}/{what}", headers, take=take)
        finally:
            connection.close()
        if answer.status != 200 or (digest and f"sha256:{hasher.hexdigest()}" != digest):  # noqa: PLR2004 - OK
            msg = f"{self.name}/{what}: status {answer.status}, or other bytes than asked for"
            raise ValueError(msg)
        return bytes(content), first[0] - began


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


def measured(console: Console, delay_ms: float, rate_mb: float, layers: Sequence[bytes]) -> Iterator[dict[str, Any]]:
    """Measure all pulls, one after another."""
    with tempfile.TemporaryDirectory(prefix="zotpy-mirror") as text, ExitStack() as stack:
        directory = Path(text)
        process, there = distribution(directory, "upstream")
        stack.enter_context(running(process, there))
        console.print("pushing the image to the upstream")
        push(there, NAME, layers)
        relayed = free_port()
        options = ["--way", f"127.0.0.1:{relayed}=127.0.0.1:{there}", "--delay-ms", str(delay_ms)]
        relay = Process.of_module("relay", "bench.servers.relay", [*options, "--rate-mb", str(rate_mb)], directory)
        stack.enter_context(running(relay, relayed))
        upstream = f"http://127.0.0.1:{relayed}"
        store = SeaweedServer(directory)
        store.start()
        stack.callback(store.process.kill)
        bucket = store.bucket("mirror")
        make_bucket(bucket)
        replica = zotpy_server(bucket, "mirror", directory, Place("mirror"))
        settings = json.loads((directory / "mirror.json").read_text())
        entry = {"urls": [upstream], "onDemand": True, "content": [{"prefix": "**", "destination": "/hub"}]}
        settings["extensions"] = {"sync": {"registries": [entry]}}
        (directory / "mirror.json").write_text(json.dumps(settings))
        replica.start()
        stack.callback(replica.process.kill)
        proxy, proxied = distribution(directory, "proxy", upstream)
        stack.enter_context(running(proxy, proxied))
        push(replica.port, NAME, layers[:0])  # opens connections to the store
        mirrored, local = Client(replica.port, f"hub/{NAME}"), Client(replica.port, "own/app")
        yield _row("from the upstream", Client(relayed, NAME).pull)
        yield _row("zotpy, first", mirrored.pull, replica.process)
        yield _row("zotpy, unchanged", mirrored.pull, replica.process)
        push(replica.port, "own/app", layers)
        yield _row("zotpy, own image", local.pull, replica.process)
        yield _row("distribution's proxy, first", Client(proxied, NAME).pull, proxy)
        yield _row("distribution's proxy, unchanged", Client(proxied, NAME).pull, proxy)


def _row(what: str, pull: Callable[[], Pull], process: Process | None = None) -> dict[str, Any]:
    tree = None if process is None else ProcessTree(process.pid)
    before_s = 0.0 if tree is None else tree.cpu_s()
    found = pull()
    cpu_s = None if tree is None else tree.cpu_s() - before_s
    return {"pull": what, "seconds": found.seconds, "first_byte_s": found.first_byte_s, "cpu_s": cpu_s}


def main() -> None:
    """Read the command line, measure, and print a table."""
    parser = argparse.ArgumentParser(prog="python -m bench.mirror", description=__doc__)
    parser.add_argument("--layers", type=int, default=5)
    parser.add_argument("--layer-mib", type=int, default=100)
    parser.add_argument("--delay-ms", type=float, default=40.0, help="of each request to the upstream")
    parser.add_argument("--rate-mb", type=float, default=50.0, help="of each connection to the upstream")
    parser.add_argument("--json", type=Path, help="where to write the figures")
    options = parser.parse_args()
    console = Console(stderr=True)
    layers = [os.urandom(options.layer_mib * MIB) for _ in range(options.layers)]
    rows = list(measured(console, options.delay_ms, options.rate_mb, layers))
    share = options.layers * options.layer_mib * MIB / GIB
    table = Table("pull", "s", "first byte, s", "CPU s/GiB")
    for row in rows:
        cpu = "" if row["cpu_s"] is None else f"{row['cpu_s'] / share:.2f}"
        table.add_row(row["pull"], f"{row['seconds']:.2f}", f"{row['first_byte_s']:.3f}", cpu)
    Console().print(table)
    if options.json is not None:
        options.json.write_text(json.dumps({"options": vars(options) | {"json": None}, "pulls": rows}, indent=2))


if __name__ == "__main__":
    main()
