"""What is measured: a store at a distance, and on it one or more clusters, each of replicas behind a balancer."""

import re
import socket
import sys
import urllib.request
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from bench.cluster.network import Network, network
from bench.cluster.options import Options
from bench.measures import ProcessTree
from bench.servers.balancer import Balancer
from bench.servers.processes import Process, accepts, free_port
from bench.servers.registries import CHECKOUT, REGISTRIES, Prepare, RegistryServer, command_server
from bench.servers.stores import STORES, Bucket, StoreServer, make_bucket

BUCKET = "zotpy-bench"
_STORE_CALLS = re.compile(r'^zotpy_store_calls_total\{.*?operation="(\w+)".*\} (\S+)$', re.MULTILINE)


class StoreWay:
    """The way to the store: every call waits, each connection has a rate, and calls are counted."""

    def __init__(self, bucket: Bucket, options: Options, host: str, directory: Path) -> None:
        """Prepare it; nothing is started yet."""
        self.port, self._counts_port = free_port(), free_port()
        command: list[str | Path] = [sys.executable, "-m", "bench.servers.relay"]
        command += ["--upstream", bucket.endpoint.removeprefix("http://"), "--host", host, "--port", str(self.port)]
        command += ["--counts-port", str(self._counts_port), "--delay-ms", f"{options.store_delay_ms:g}"]
        if options.store_rate_mb_per_s:
            command += ["--rate-mb", f"{options.store_rate_mb_per_s:g}"]
        self.process = Process("relay", command, directory / "relay.log", cwd=CHECKOUT)

    def start(self) -> None:
        """Start it and wait until it takes connections. Raises `NotReady`."""
        self.process.start(lambda: accepts(self._counts_port) and accepts(self.port))

    def calls(self) -> int:
        """Return how many calls there were."""
        with socket.create_connection(("127.0.0.1", self._counts_port)) as connection:
            return int(connection.makefile().read())


class Cluster:
    """Replicas of one registry, as many as are asked for, behind a balancer."""

    def __init__(self, name: str, prepare: Prepare, site: "Site") -> None:
        """Start none yet."""
        self.name = name
        self.replicas: list[RegistryServer] = []
        self._prepare = prepare
        self._site = site
        self._addresses: list[tuple[str, int]] = []
        self._balancer: Balancer | None = None

    @property
    def url(self) -> str:
        """Where clients are sent."""
        assert self._balancer is not None, "it has grown at least once"
        return f"http://127.0.0.1:{self._balancer.port}"

    def grow(self, count: int) -> None:
        """Start replicas until there are so many, and a balancer before them. Raises `NotReady`."""
        site = self._site
        while len(self.replicas) < count:
            slot = site.network.slot(self.name, len(self.replicas), site.way.port)
            bucket = replace(site.bucket, endpoint=slot.store_endpoint)
            replica = self._prepare(bucket, f"registry/{self.name}", site.directory, slot.place)
            site.stack.callback(replica.process.kill)
            replica.start()
            self.replicas.append(replica)
            self._addresses.append(slot.address)
        if self._balancer is not None:
            self._balancer.process.kill()
        self._balancer = Balancer(self._addresses, site.directory)
        site.stack.callback(self._balancer.process.kill)
        self._balancer.start()

    def trees(self) -> dict[str, ProcessTree]:
        """Return the processes of this cluster by name."""
        assert self._balancer is not None, "it has grown at least once"
        found = {f"replica{index}": ProcessTree(one.process.pid) for index, one in enumerate(self.replicas)}
        return {**found, "balancer": ProcessTree(self._balancer.process.pid)}

    def store_operations(self) -> Counter[str]:
        """Return how often the replicas say that they called the store, by operation; nothing if they do not say."""
        counts: Counter[str] = Counter()
        for replica in self.replicas if self.name == "zotpy" else ():
            url = f"http://{replica.place.host}:{replica.port}/metrics"
            with suppress(OSError), urllib.request.urlopen(url, timeout=10) as answer:
                for operation, value in _STORE_CALLS.findall(answer.read().decode()):
                    counts[operation] += int(float(value))
        return counts


@dataclass
class Site:
    """Everything that runs."""

    store: StoreServer
    bucket: Bucket
    way: StoreWay
    network: Network
    directory: Path
    stack: ExitStack

    def trees(self) -> dict[str, ProcessTree]:
        """Return the processes that all clusters share."""
        shared = {"store": ProcessTree(self.store.process.pid), "relay": ProcessTree(self.way.process.pid)}
        return {**shared, **self.network.trees()}

    def clusters(self, options: Options) -> list[Cluster]:
        """Return the clusters to compare, ours first; none of their replicas runs yet."""
        found = [Cluster("zotpy", REGISTRIES["zotpy"], self)]
        if options.peer is not None and options.against is not None:
            peer = REGISTRIES.get(options.peer) or partial(command_server, options.against)
            found.append(Cluster(options.peer, peer, self))
        return found


@contextmanager
def site(options: Options, directory: Path) -> Iterator[Site]:
    """Run a store and the way to it. Raises `ProgramMissing` or `NotReady`."""
    with (
        network(options.link_mb_per_s, directory, with_namespaces=options.with_namespaces) as links,
        ExitStack() as stack,
    ):
        store = STORES[options.store](directory)
        stack.callback(store.process.kill)  # asked to end, SeaweedFS waits 15 s; its data goes anyway
        store.start()
        bucket = store.bucket(BUCKET)
        make_bucket(bucket)
        way = StoreWay(bucket, options, links.store_host, directory)
        stack.callback(way.process.kill)
        way.start()
        yield Site(store, bucket, way, links, directory, stack)
