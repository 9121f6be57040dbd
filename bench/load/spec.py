"""What a load is, and what came of it: what the program that measures and the processes that make a load say."""

from collections import Counter
from dataclasses import dataclass, field

from bench.clients.blobs import Flow
from bench.clients.paced import Link
from bench.measures import MIB

MOST_MESSAGES = 20


@dataclass(frozen=True)
class Terms:
    """What a workload is run with, unless the command line says otherwise."""

    clients: int = 3
    """How many clients each replica has; of a target, how many in all."""
    flows: tuple[Flow, ...] = ("docker",)
    layer_bytes: int = 16 * MIB
    store_delay_ms: float = 20.0
    """Before each call."""
    store_rate_mb_per_s: float = 90.0
    """The rate of each connection to the store; 0: no limit."""
    alone: bool = False
    """One replica, which clients reach directly; else a cluster behind a balancer, each replica with its link."""
    link: Link | None = None
    """Of each client."""
    tls: bool = False
    """Whether clients use TLS to a replica that is alone."""
    cached: bool = False
    """Whether zotpy runs with its byte cache on disk, at each commit that has one; another peer runs as always."""
    promised: bool = False
    """Whether zotpy may answer from memory (`storage.promisedLife`), at each commit that can; another peer runs as
    always."""


@dataclass(frozen=True)
class Target:
    """The registry that is driven."""

    url: str
    ca_file: str | None = None
    verify_tls: bool = True
    user: str | None = None
    password: str | None = None


@dataclass(frozen=True)
class Sizes:
    """How large things are."""

    layer_bytes: int = 16 * MIB
    """A layer in `push` and `pull`."""
    image_layers: int = 2
    """Layers of the one image in `pull`."""
    longest_layer_bytes: int = 32 * MIB
    """The length of the longest layer. The published distribution has no end, but a run needs one."""
    base_layers: int = 4
    """Layers that all images in `images` share."""
    unique_layers: int = 2
    small_bytes: tuple[int, int] = (1 << 10, 16 << 10)
    """The shortest and the longest blob in `small`."""


@dataclass(frozen=True)
class Load:
    """One workload on one registry."""

    workload: str
    target: Target
    seed: str
    clients: int
    flows: tuple[Flow, ...] = ("docker",)
    """Client k pushes in flow k, and so on around."""
    sizes: Sizes = field(default_factory=Sizes)
    pull_share: float = 0.9
    """The share of pulls among the operations in `mixed`."""
    tries: int = 1
    """How often a client tries: if replicas are killed, it tries again, as real ones do."""
    prepared_bytes: int = 0
    """Content of each client whose digests are computed before the clock starts."""
    link: Link | None = None
    """Of each client."""
    worker: int = 0
    workers: int = 1
    """Client k belongs to worker k modulo `workers`."""


@dataclass(frozen=True)
class Times:
    """When a run begins, what of it counts, and from when on nothing new is begun; of the monotonic clock.

    Without an end each client does one thing.
    """

    begin: float
    count_from: float
    until: float


SoFar = Counter[str]
"""How far a run is: `bytes`, `operations`, `errors`."""


class LoadFailed(Exception):
    """The load generator could not do what it was told; the message says why."""


@dataclass
class Outcome:
    """What some clients did within the time that counts."""

    duration_s: float
    sent_bytes: int = 0
    received_bytes: int = 0
    latencies_ms: dict[str, list[float]] = field(default_factory=dict)
    errors: list[str] = field(default_factory=list)
    """The first of them."""
    error_count: int = 0
    retries: int = 0
    acknowledged: int = 0
    shared: dict[str, list[str]] = field(default_factory=dict)

    @property
    def mb_per_s(self) -> float:
        """How many 10^6 bytes were sent and received in a second."""
        return (self.sent_bytes + self.received_bytes) / 1e6 / self.duration_s

    def per_s(self, kind: str) -> float:
        """Return how many operations of a kind there were in a second."""
        return len(self.latencies_ms.get(kind, ())) / self.duration_s

    def add(self, other: "Outcome") -> None:
        """Add what other clients did in the same time."""
        for name in ("sent_bytes", "received_bytes", "error_count", "retries", "acknowledged"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        for kind, values in other.latencies_ms.items():
            self.latencies_ms.setdefault(kind, []).extend(values)
        for name, digests in other.shared.items():
            self.shared.setdefault(name, []).extend(digests)
        self.errors = [*self.errors, *other.errors][:MOST_MESSAGES]
