"""What a load is: told by the program that measures to the processes that make it, as one line of JSON."""

from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any

from bench.clients.blobs import Flow
from bench.clients.paced import Link

MIB = 1 << 20


@dataclass(frozen=True)
class Terms:
    """What a workload is run with, unless the command line says otherwise."""

    clients: int = 3
    """For each replica; of a target, in all."""
    flows: tuple[Flow, ...] = ("docker",)
    layer_bytes: int = 16 * MIB
    store_delay_ms: float = 20.0
    """Before each call."""
    store_rate_mb_per_s: float = 90.0
    """Of each connection to the store; 0: no limit."""
    alone: bool = False
    """One replica, which clients reach directly; else a cluster behind a balancer, each replica with its link."""
    link: Link | None = None
    """Of each client."""
    tls: bool = False
    """Between clients and a replica that is alone."""

    def but(self, **changes: Any) -> "Terms":
        """Return them with some changes."""
        return replace(self, **changes)


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
    """Of a layer as registries hold them: the published distribution has no end, a run has."""
    base_layers: int = 4
    """Layers that all images in `images` share."""
    unique_layers: int = 2
    small_bytes: tuple[int, int] = (1 << 10, 16 << 10)
    """Between them are the blobs in `small`."""


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
    """Of the operations in `mixed`."""
    tries: int = 1
    """Where replicas are killed, a client tries again, as real ones do."""
    prepared_bytes: int = 0
    """Content of each client whose digests are computed before the clock starts."""
    link: Link | None = None
    """Of each client."""
    worker: int = 0
    workers: int = 1
    """Client k belongs to worker k modulo `workers`."""

    def as_json(self) -> dict[str, Any]:
        """Return it as a document."""
        return asdict(self)


def load_from(document: dict[str, Any]) -> Load:
    """Return the load that a document holds."""
    known = {field.name for field in fields(Load)}
    sizes = dict(document["sizes"])
    return Load(
        **{name: value for name, value in document.items() if name in known - {"target", "sizes", "flows", "link"}},
        target=Target(**document["target"]),
        flows=tuple(document["flows"]),
        link=None if document["link"] is None else Link(**document["link"]),
        sizes=Sizes(**{**sizes, "small_bytes": tuple(sizes["small_bytes"])}),
    )
