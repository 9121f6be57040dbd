"""What is measured: a store at a distance, and on it one or more clusters, each of replicas behind a balancer."""

import socket
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from bench.cluster.network import Network, network
from bench.cluster.options import COMMIT, OPEN, UNGUESSED, Options
from bench.load.spec import Target, Terms
from bench.measures import ProcessTree
from bench.servers.access import PASSWORD, USER, Locked
from bench.servers.balancer import Balancer
from bench.servers.certificates import Certificate, make_certificate
from bench.servers.commits import build_of
from bench.servers.other_registries import command_server
from bench.servers.processes import Process, accepts, free_port
from bench.servers.registries import REGISTRIES, Prepare, Remembers, zotpy_server
from bench.servers.stores import STORES, Bucket, StoreServer, make_bucket

if TYPE_CHECKING:
    from bench.servers.registry import RegistryServer

BUCKET = "zotpy-bench"


class StoreWay:
    """The way to the store: every call waits, each connection has a rate, and calls are counted."""

    def __init__(self, bucket: Bucket, terms: Terms, host: str, directory: Path) -> None:
        """Prepare it; nothing is started yet."""
        self.port, self._counts_port = free_port(), free_port()
        arguments = [f"--way={host}:{self.port}={bucket.endpoint.removeprefix('http://')}"]
        arguments += [f"--counts-port={self._counts_port}", f"--delay-ms={terms.store_delay_ms:g}"]
        if terms.store_rate_mb_per_s:
            arguments.append(f"--rate-mb={terms.store_rate_mb_per_s:g}")
        self.process = Process.of_module("relay", "bench.servers.relay", arguments, directory)

    def start(self) -> None:
        """Start it and wait until it takes connections. Raises `NotReady`."""
        self.process.start(lambda: accepts(self._counts_port) and accepts(self.port))

    def counts(self) -> tuple[int, int, Counter[str]]:
        """Return how many calls there were, how many bytes the store has sent, and the calls of each operation."""
        with socket.create_connection(("127.0.0.1", self._counts_port)) as connection:
            (calls, sent_bytes), *operations = (line.split() for line in connection.makefile())
        return int(calls), int(sent_bytes), Counter({name: int(count) for name, count in operations})


class Cluster:
    """Replicas of one registry, as many as are asked for, behind a balancer unless one is to be alone."""

    def __init__(self, name: str, prepare: Prepare, site: "Site", user: str | None = None) -> None:
        """Start none yet. If there is a user, clients log in."""
        self.name = name
        self._user = user
        self.replicas: list[RegistryServer] = []
        self._prepare = prepare
        self._site = site
        self._addresses: list[tuple[str, int]] = []
        self._balancer: Balancer | None = None

    @property
    def target(self) -> Target:
        """Where clients are sent."""
        certificate = self._site.certificate
        port = self._balancer.port if self._balancer is not None else self.replicas[0].port
        ca_file = None if certificate is None else str(certificate.cert)
        url = f"{'http' if certificate is None else 'https'}://127.0.0.1:{port}"
        return Target(url, ca_file, user=self._user, password=None if self._user is None else PASSWORD)

    def grow(self, count: int) -> None:
        """Start replicas until there are so many, and a balancer before them. Raises `NotReady`."""
        site = self._site
        while len(self.replicas) < count:
            slot = site.network.slot(self.name, len(self.replicas), site.way.port)
            bucket = replace(site.ground.bucket, endpoint=slot.store_endpoint)
            place = replace(slot.place, tls=site.certificate)
            replica = self._prepare(bucket, f"{site.directory.name}/{self.name}", site.directory, place)
            site.stack.callback(replica.process.kill)
            replica.start()
            self.replicas.append(replica)
            self._addresses.append(slot.address)
        if site.is_alone:
            return
        if self._balancer is not None:
            self._balancer.process.kill()
        self._balancer = Balancer(self._addresses, site.directory)
        site.stack.callback(self._balancer.process.kill)
        self._balancer.start()

    def trees(self) -> dict[str, ProcessTree]:
        """Return the processes of this cluster by name."""
        found = {f"replica{index}": ProcessTree(one.process.pid) for index, one in enumerate(self.replicas)}
        return found if self._balancer is None else {**found, "balancer": ProcessTree(self._balancer.process.pid)}


@dataclass(frozen=True)
class Ground:
    """What all sites share."""

    store: StoreServer
    bucket: Bucket
    network: Network


@dataclass
class Site:
    """Everything that runs for some workloads."""

    ground: Ground
    way: StoreWay
    network: Network
    directory: Path
    stack: ExitStack
    is_alone: bool
    is_cached: bool
    """Whether zotpy runs with its byte cache on disk, at each commit that has one; another peer runs as always."""
    certificate: Certificate | None
    is_promised: bool = False
    """Whether zotpy may answer from memory, at each commit that can; another peer runs as always."""

    def trees(self) -> dict[str, ProcessTree]:
        """Return the processes that all clusters share."""
        shared = {"store": ProcessTree(self.ground.store.process.pid), "relay": ProcessTree(self.way.process.pid)}
        return {**shared, **self.network.trees()}

    def clusters(self, options: Options) -> list[Cluster]:
        """Return the clusters to compare, ours first; none of their replicas runs yet."""
        locked = Locked.made(self.directory) if options.access else None
        remembers = Remembers(self.directory if self.is_cached else None, self.is_promised)
        prepare = partial(zotpy_server, workers=options.workers, locked=locked, remembers=remembers)
        found = [Cluster("zotpy", prepare, self, USER if options.access else None)]
        if options.peer is not None and options.against is not None:
            is_locked = options.access and options.against.startswith((UNGUESSED, COMMIT))
            beside = self._peer(options, options.against, prepare)
            found.append(Cluster(options.peer, beside, self, USER if is_locked else None))
        return found

    def _peer(self, options: Options, against: str, prepare: "partial[RegistryServer]") -> Prepare:
        if against == UNGUESSED:
            return prepare
        if against.startswith(COMMIT):
            return partial(prepare, build=build_of(against.removeprefix(COMMIT), self.directory))
        if against == OPEN:
            return partial(zotpy_server, workers=options.workers)
        return REGISTRIES.get(against) or partial(command_server, against)


def site_of(terms: Terms) -> Terms:
    """Return those terms that a site is made of, all others as they are unless said."""
    names = ("store_delay_ms", "store_rate_mb_per_s", "alone", "tls", "cached", "promised")
    return Terms(**{name: getattr(terms, name) for name in names})


@contextmanager
def ground(options: Options, directory: Path) -> Iterator[Ground]:
    """Run a store, in a network with a link for each replica if there will be clusters.

    Raises `ProgramMissing` or `NotReady`.
    """
    has_clusters = not all(options.terms(workload).alone for workload in options.workloads)
    link_mb_per_s = options.link_mb_per_s if has_clusters else 0
    with network(link_mb_per_s, directory, with_namespaces=options.with_namespaces) as links, ExitStack() as stack:
        store = STORES[options.store](directory)
        stack.callback(store.process.kill)  # asked to end, SeaweedFS waits 15 s; its data goes anyway
        store.start()
        bucket = store.bucket(BUCKET)
        make_bucket(bucket)
        yield Ground(store, bucket, links)


@contextmanager
def site(below: Ground, terms: Terms, directory: Path) -> Iterator[Site]:
    """Run a way to the store. Raises `ProgramMissing` or `NotReady`."""
    links = Network() if terms.alone else below.network
    with ExitStack() as stack:
        way = StoreWay(below.bucket, terms, links.store_host, directory)
        stack.callback(way.process.kill)
        way.start()
        certificate = make_certificate(directory) if terms.tls else None
        yield Site(below, way, links, directory, stack, terms.alone, terms.cached, certificate, terms.promised)
