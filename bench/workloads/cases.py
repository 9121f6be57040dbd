"""What a case of the benchmark is: a workload in one variant, the rows it fills, and the targets they are held to."""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

from bench.clients.endpoint import Endpoint
from bench.measures import MIB, ProcessTree
from bench.servers.shaping import Shape

Better = Literal["lower", "higher"]


@dataclass(frozen=True)
class Sizes:
    """How much each workload does."""

    blob_bytes: int = 256 * MIB
    blobs: int = 4
    blobs_at_once: int = 2
    far_blob_bytes: int = 100 * MIB
    images_per_client: int = 200
    clients: int = 16
    link_pushed_bytes: int = 48 * MIB
    link_pulled_bytes: int = 64 * MIB


QUICK = Sizes(blob_bytes=64 * MIB, images_per_client=6, link_pushed_bytes=2 * MIB, link_pulled_bytes=2 * MIB)


@dataclass(frozen=True)
class Target:
    """What zotpy must reach: of the peer's value, a share at most or a multiple at least; or a value at most."""

    kind: Literal["share", "times", "value"]
    bound: float

    def __str__(self) -> str:
        sign = {"share": f"<= {self.bound:g} x", "times": f">= {self.bound:g} x", "value": f"< {self.bound:g}"}
        return sign[self.kind]


@dataclass(frozen=True)
class Row:
    """One measure of a case, as the table shows it."""

    metric: str
    title: str
    better: Better = "lower"
    target: Target | None = None


BUSY = Row("busy_cores", f"busy cores of {os.cpu_count()}")
"""Of the whole machine: near all of them, it was the machine that set the pace."""


@dataclass(frozen=True)
class Site:
    """A registry that runs, and the processes whose cost counts: `registry`, `store`, and a `proxy` if there is one."""

    registry: str
    endpoint: Endpoint
    trees: Mapping[str, ProcessTree]


Metrics = dict[str, float]


@dataclass(frozen=True)
class Case:
    """One workload in one variant. `run` raises `Refused` or `OSError` where anything was not as it must be."""

    workload: str
    variant: str
    rows: tuple[Row, ...]
    run: Callable[[Site, str], Metrics]
    """Called with the registry and a seed that no other run on this registry has."""
    shape: Shape | None = None
    tls: bool = False
    """Whether clients and registry speak TLS."""

    @property
    def name(self) -> str:
        """The workload and its variant."""
        return f"{self.workload} {self.variant}".strip()
