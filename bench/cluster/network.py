"""The links of replicas: each has its own to clients and store, so that a replica more is a link more."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.measures import ProcessTree
from bench.servers.namespaces import Namespaces, link_bytes, why_none
from bench.servers.processes import Process, accepts, free_port
from bench.servers.registry import Place

REPLICA_PORT = 5000
ANY_HOST = "0.0.0.0"  # noqa: S104 - inside a namespace that nothing leads to


@dataclass(frozen=True)
class Slot:
    """Where one replica runs."""

    place: Place
    store_endpoint: str
    """The store as the replica reaches it."""
    address: tuple[str, int]
    """The replica as the balancer reaches it."""


class Network:
    """Gives replicas their links. This one has no limit but the machine."""

    what = "no limit to the links of replicas: the machine is the limit"
    """The network in words, for the report."""
    store_host = "127.0.0.1"
    """The address on which the way to the store must listen."""

    def slot(self, registry: str, index: int, store_port: int) -> Slot:
        """Make room for a replica; replicas of several registries with one index share one link. Raises `NotReady`."""
        place = Place(f"{registry}{index}")
        return Slot(place, f"http://127.0.0.1:{store_port}", ("127.0.0.1", place.port))

    def trees(self) -> dict[str, ProcessTree]:
        """Return the processes that make the links, if any do."""
        return {}

    def carried(self) -> tuple[int, int] | None:
        """Return the bytes that all links have carried, to replicas and from them; none if nobody counts."""
        return None


class KernelLinks(Network):
    """A network namespace for each replica."""

    store_host = ANY_HOST

    def __init__(self, namespaces: Namespaces, rate_mb_per_s: float) -> None:
        """Use namespaces whose hub was entered."""
        self.what = f"each replica in a network namespace of its own, tc: {rate_mb_per_s:g} MB/s each way"
        self._namespaces = namespaces
        self._rate = rate_mb_per_s * 1e6
        self._made: list[tuple[list[str], str, str]] = []
        self._registries: list[str] = []

    def slot(self, registry: str, index: int, store_port: int) -> Slot:
        """Return a port in the namespace of this index."""
        while len(self._made) <= index:
            self._made.append(self._namespaces.add_replica(self._rate))
        if registry not in self._registries:
            self._registries.append(registry)
        enter, there, here = self._made[index]
        place = Place(f"{registry}{index}", there, REPLICA_PORT + self._registries.index(registry), enter)
        return Slot(place, f"http://{here}:{store_port}", (there, place.port))

    def carried(self) -> tuple[int, int] | None:
        """Return what the kernel has counted."""
        links = link_bytes()
        return sum(there for there, _ in links), sum(back for _, back in links)


class ProxyLinks(Network):
    """A proxy for each replica, if no namespaces can be made."""

    def __init__(self, rate_mb_per_s: float, why: str, directory: Path, stack: ExitStack) -> None:
        """End the proxies with the stack."""
        self.what = f"each replica behind a proxy: {rate_mb_per_s:g} MB/s each way (no network namespaces: {why})"
        self._rate = rate_mb_per_s
        self._directory = directory
        self._stack = stack
        self._trees: dict[str, ProcessTree] = {}

    def slot(self, registry: str, index: int, store_port: int) -> Slot:
        """Start a proxy for this replica alone."""
        place = Place(f"{registry}{index}")
        inward, outward = free_port(), free_port()
        ways = ((inward, place.port), (outward, store_port))  # clients come in, calls to the store go out
        words = [f"--way=127.0.0.1:{here}=127.0.0.1:{there}" for here, there in ways]
        name = f"link-{place.name}"
        arguments = [f"--link-mb={self._rate:g}", *words]
        process = Process.of_module(name, "bench.servers.relay", arguments, self._directory)
        self._stack.callback(process.kill)
        process.start(lambda: accepts(outward))
        self._trees[name] = ProcessTree(process.pid)
        return Slot(place, f"http://127.0.0.1:{outward}", ("127.0.0.1", inward))

    def trees(self) -> dict[str, ProcessTree]:
        """Return the proxies."""
        return dict(self._trees)


@contextmanager
def network(rate_mb_per_s: float, directory: Path, *, with_namespaces: bool) -> Iterator[Network]:
    """Give links of this rate, shaped by the kernel where it can; all is gone after the block."""
    with ExitStack() as stack:
        if rate_mb_per_s == 0:
            yield Network()
            return
        why = why_none() if with_namespaces else "not wanted"
        if why:
            yield ProxyLinks(rate_mb_per_s, why, directory, stack)
            return
        namespaces = Namespaces()
        stack.enter_context(namespaces.hub())
        yield KernelLinks(namespaces, rate_mb_per_s)
