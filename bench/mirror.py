"""`python -m bench.mirror`: pulls by way of a mirror, beside pulls from the upstream itself and distribution's proxy.

The upstream is CNCF distribution on a directory, behind a relay in which each request waits and each connection has a
rate. A client pulls a manifest by tag and then its layers, three at a time, as docker does. It prints seconds for each
pull, seconds until the first byte of the first layer, what it costs in CPU time, and how much the upstream sent. Each
registry has served a small image before. Pulls from zotpy's own bucket take turns, and the median of each kind counts:
an unchanged tag for which the upstream is asked, one within `manifestCheckInterval`, and an image of its own. Then many
clients pull another image at once, by way of two replicas. With `--zot` it also pulls by way of zot's mirror.
"""

import argparse
import hashlib
import json
import math
import os
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from bench.clients.connection import Connection
from bench.measures import GIB, MIB, ProcessTree
from bench.servers.mirrored import IMAGE_TYPE, Way, distribution, push, running, way
from bench.servers.other_registries import zot_server
from bench.servers.processes import Process
from bench.servers.registries import zotpy_server
from bench.servers.registry import Place, RegistryServer
from bench.servers.stores import Bucket, SeaweedServer, make_bucket

AT_ONCE = 3
NAME, CROWDED, SMALL = "bench/app", "bench/crowded", "bench/small"
ASKED, HELD = "hub", "held"
"""Where the upstream is mirrored: without `manifestCheckInterval`, and with one that does not end meanwhile."""

Row = Callable[..., dict[str, Any]]
"""See `Measuring.row`."""


@dataclass(frozen=True, slots=True)
class Pull:
    """One pull of the whole image."""

    seconds: float
    first_byte_s: float
    """The seconds from the request for the first layer to its first byte."""
    waited_s: float
    """The seconds from the beginning of the pull to that byte. So it has the time for the manifest as well."""


class Client:
    """Pulls the image from one registry."""

    def __init__(self, port: int, name: str) -> None:
        self.port = port
        self.name = name

    def pull(self) -> Pull:
        """Pull a manifest by tag, and all that it names. Raises `ValueError` for wrong bytes."""
        began = time.monotonic()
        manifest = json.loads(self._get("manifests/v1", {"Accept": IMAGE_TYPE})[0])
        asked = time.monotonic()
        with ThreadPoolExecutor(AT_ONCE) as pool:
            found = list(pool.map(self._blob, [layer["digest"] for layer in manifest["layers"]]))
        return Pull(time.monotonic() - began, found[0], asked - began + found[0])

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


def crowd(clients: Sequence[Client]) -> Pull:
    """Let all clients pull at once, and return the last of everything."""
    with ThreadPoolExecutor(len(clients)) as pool:
        pulls = list(pool.map(Client.pull, clients))
    return Pull(
        max(pull.seconds for pull in pulls),
        max(pull.first_byte_s for pull in pulls),
        max(pull.waited_s for pull in pulls),
    )


def replica_of(bucket: Bucket, directory: Path, name: str, upstream: str) -> RegistryServer:
    """Prepare a replica that mirrors the upstream; all of them share the bucket."""
    replica = zotpy_server(bucket, "mirror", directory, Place(name))
    path = directory / f"{name}.json"
    entries = [
        {"urls": [upstream], "onDemand": True, "content": [{"prefix": "**", "destination": f"/{place}"}], **more}
        for place, more in ((ASKED, {}), (HELD, {"manifestCheckInterval": "1h"}))
    ]
    settings = json.loads(path.read_text())
    path.write_text(json.dumps(settings | {"extensions": {"sync": {"registries": entries}}}))
    return replica


@dataclass(frozen=True, slots=True)
class Measuring:
    """What all pulls are measured with."""

    relay: Way

    def row(self, what: str, pull: Callable[[], Pull], size_bytes: int, *processes: Process) -> dict[str, Any]:
        """Measure one pull of so many bytes, and what it costs these processes."""
        trees = [ProcessTree(process.pid) for process in processes]
        before_s, before = sum(tree.cpu_s() for tree in trees), self.relay.counts()
        found = pull()
        requests, sent_bytes = (after - earlier for after, earlier in zip(self.relay.counts(), before, strict=True))
        return {
            "pull": what,
            "seconds": found.seconds,
            "first_byte_s": found.first_byte_s,
            "waited_s": found.waited_s,
            "cpu_s": sum(tree.cpu_s() for tree in trees) - before_s if trees else None,
            "size_bytes": size_bytes,
            "upstream_requests": requests,
            "upstream_sent_bytes": sent_bytes,
        }


def measured(console: Console, options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """Measure all pulls, one after another."""
    layers = [os.urandom(options.layer_mib * MIB) for _ in range(options.layers)]
    crowded = [os.urandom(options.crowd_mib * MIB)]
    size_bytes = sum(map(len, layers))
    with tempfile.TemporaryDirectory(prefix="zotpy-mirror") as text, ExitStack() as stack:
        directory = Path(text)
        process, there = distribution(directory, "upstream")
        stack.enter_context(running(process, there))
        console.print("pushing the images to the upstream")
        push(there, NAME, layers)
        push(there, CROWDED, crowded)
        push(there, SMALL, [os.urandom(MIB) for _ in range(AT_ONCE)])
        relay = way(directory, there, options.delay_ms, options.rate_mb)
        stack.enter_context(running(relay.process, relay.port))
        store = SeaweedServer(directory)
        store.start()
        stack.callback(store.process.kill)
        bucket = store.bucket("mirror")
        make_bucket(bucket)
        replicas = [replica_of(bucket, directory, name, relay.url) for name in ("mirror", "second-mirror")]
        for each in replicas:
            each.start()
            stack.callback(each.process.kill)
            push(each.port, NAME, layers[:0])  # opens connections to the store
        replica, row = replicas[0], Measuring(relay).row
        proxy, proxied = distribution(directory, "proxy", relay.url)
        stack.enter_context(running(proxy, proxied))
        mirrored, held = Client(replica.port, f"{ASKED}/{NAME}"), Client(replica.port, f"{HELD}/{NAME}")
        for port, name in ((relay.port, SMALL), (replica.port, f"{ASKED}/{SMALL}"), (proxied, SMALL)):
            Client(port, name).pull()
        yield row("from the upstream", Client(relay.port, NAME).pull, size_bytes)
        yield row("zotpy, first", mirrored.pull, size_bytes, replica.process)
        yield row("a push to zotpy", pushing(replica.port, "own/app", layers), size_bytes, replica.process)
        held.pull()
        again = {
            "zotpy, unchanged": mirrored.pull,
            "zotpy, unchanged, within the interval": held.pull,
            "zotpy, own image": Client(replica.port, "own/app").pull,
        }
        yield from in_turns(again, options.turns, row, size_bytes, replica.process)
        yield row("distribution's proxy, first", Client(proxied, NAME).pull, size_bytes, proxy)
        yield row("distribution's proxy, unchanged", Client(proxied, NAME).pull, size_bytes, proxy)
        if options.zot:
            yield from by_way_of_zot(zot_server(bucket, "zot", directory, Place("zot"), relay.url), row, size_bytes)
        many = [Client(replicas[number % 2].port, f"{ASKED}/{CROWDED}") for number in range(options.crowd)]
        name = f"{options.crowd} clients of two replicas"
        yield row(name, lambda: crowd(many), sum(map(len, crowded)), *(each.process for each in replicas))


def in_turns(
    pulls: dict[str, Callable[[], Pull]], turns: int, row: Row, size_bytes: int, process: Process
) -> Iterator[dict[str, Any]]:
    """Measure several pulls, one after another, again and again, and return the median of each by its seconds."""
    found = [[row(what, pull, size_bytes, process) for what, pull in pulls.items()] for _ in range(turns)]
    for rows in zip(*found, strict=True):
        yield sorted(rows, key=lambda each: each["seconds"])[turns // 2]


def by_way_of_zot(zot: RegistryServer, row: Row, size_bytes: int) -> Iterator[dict[str, Any]]:
    """Measure the same two pulls by way of zot, on the same store."""
    zot.start()
    try:
        Client(zot.port, f"hub/{SMALL}").pull()
        for what in ("first", "unchanged"):
            yield row(f"zot's mirror, {what}", Client(zot.port, f"hub/{NAME}").pull, size_bytes, zot.process)
    finally:
        zot.process.kill()


def pushing(port: int, name: str, layers: Sequence[bytes]) -> Callable[[], Pull]:
    """Return what pushes an image; there is no first byte."""

    def run() -> Pull:
        began = time.monotonic()
        push(port, name, layers)
        return Pull(time.monotonic() - began, math.nan, math.nan)

    return run


def main() -> None:
    """Read the command line, measure, and print a table."""
    parser = argparse.ArgumentParser(prog="python -m bench.mirror", description=__doc__)
    parser.add_argument("--layers", type=int, default=5)
    parser.add_argument("--layer-mib", type=int, default=100)
    parser.add_argument("--turns", type=int, default=5, help="how often each of the pulls that take turns is done")
    parser.add_argument("--crowd", type=int, default=32, help="how many clients pull an image of one layer at once")
    parser.add_argument("--crowd-mib", type=int, default=20, help="how long that layer is")
    parser.add_argument("--delay-ms", type=float, default=40.0, help="of each request to the upstream")
    parser.add_argument("--rate-mb", type=float, default=50.0, help="of each connection to the upstream")
    parser.add_argument(
        "--zot", action="store_true", help="measure zot, too, with its sync extension, which is on PATH"
    )
    parser.add_argument("--json", type=Path, help="where to write the figures")
    options = parser.parse_args()
    rows = list(measured(Console(stderr=True), options))
    table = Table(
        "pull", "s", "a layer's first byte, s", "since the pull began", "CPU s/GiB", "upstream sent", "in requests"
    )
    for row in rows:
        cpu = "" if row["cpu_s"] is None else f"{row['cpu_s'] * GIB / row['size_bytes']:.2f}"
        firsts = ["" if math.isnan(row[name]) else f"{row[name]:.3f}" for name in ("first_byte_s", "waited_s")]
        sent = f"{row['upstream_sent_bytes'] / row['size_bytes']:.2f}"
        table.add_row(row["pull"], f"{row['seconds']:.2f}", *firsts, cpu, sent, str(row["upstream_requests"]))
    Console(width=120).print(table)
    if options.json is not None:
        options.json.write_text(json.dumps({"options": vars(options) | {"json": None}, "pulls": rows}, indent=2))


if __name__ == "__main__":
    main()
