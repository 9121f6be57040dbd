"""One run of a workload: its figures, and the median of several."""

import math
import statistics
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any, Literal

from bench.load.workloads import WORKLOADS, Unit

NEAR = 0.8
"""A share of what the generator can do. The generator limits a result above it as well as the registry."""
LINK_FULL = 0.85
CORES_FULL = 0.9
NOISY_CORES = 0.25
PERCENTILES = (50, 90, 99)
Limit = Literal["links", "cores", "generator", "waiting"]
"""What limited the throughput: the replicas' links were full; the machine's cores were full; or the generator was near
its own limit. If it was none of them, clients waited for the distant store, one call after another."""


@dataclass(frozen=True)
class Latencies:
    """How long one kind of operation took, in milliseconds."""

    count: int
    p50: float
    p90: float
    p99: float
    most: float


def latencies_of(values_ms: Sequence[float]) -> Latencies:
    """Summarize times, of which there is at least one; a percentile is the value that so many do not exceed."""
    ordered = sorted(values_ms)
    p50, p90, p99 = (ordered[math.ceil(len(ordered) * percent / 100) - 1] for percent in PERCENTILES)
    return Latencies(len(ordered), p50, p90, p99, ordered[-1])


@dataclass(frozen=True)
class Ability:
    """What the generator does against a server that does nothing."""

    throughput: float
    unit: Unit
    cpu_s: float
    """CPU seconds of the generator in a second."""


@dataclass
class Run:
    """One workload on one number of replicas of one registry."""

    registry: str
    replicas: int
    workload: str
    unit: Unit
    seed: str
    clients: int
    duration_s: float
    throughput: float
    """The throughput in its unit."""
    mb_per_s: float
    """How many 10^6 bytes clients sent and received in a second."""
    operations_per_s: float
    """How often the workload's headline operation was done in a second."""
    latencies_ms: dict[str, Latencies] = field(default_factory=dict)
    """The latencies by kind of operation."""
    cpu_cores: dict[str, float] = field(default_factory=dict)
    """CPU seconds in a second, of each process."""
    peak_rss_mib: dict[str, float] = field(default_factory=dict)
    busy_cores: float = 0.0
    """The busy cores of the whole machine, whatever kept them busy."""
    link_use: float | None = None
    """Throughput as a share of all links together."""
    links_to_replicas: float | None = None
    """What the links carried in this direction, as a share of what they can carry. It includes the store's answers."""
    links_from_replicas: float | None = None
    """The same the other way."""
    store_calls: float | None = None
    """Store calls for each headline operation, counted on the way to the store."""
    store_sent_mib: float | None = None
    """What the store has sent for each headline operation, heads and bodies."""
    store_operations: dict[str, float] = field(default_factory=dict)
    """The calls for each of them by operation."""
    acknowledged: int = 0
    checked: int = 0
    read_back_bytes: int = 0
    kills: int = 0
    retries: int = 0
    guesses: dict[str, int] = field(default_factory=dict)
    """How often wrong passwords got each status."""
    errors: list[str] = field(default_factory=list)
    error_count: int = 0
    lost: list[str] = field(default_factory=list)
    lost_count: int = 0
    limit: Limit = "waiting"
    warnings: list[str] = field(default_factory=list)
    turn: int = 1
    """Registries take turns, so that a drift of the machine meets all of them."""

    @property
    def name(self) -> str:
        """What was run, and on what."""
        return f"{self.workload}, {self.replicas} x {self.registry}"

    @property
    def is_valid(self) -> bool:
        """Whether something was done, nothing went wrong, and nothing was lost."""
        return self.throughput > 0 and not self.error_count and not self.lost_count

    @property
    def headline(self) -> Latencies | None:
        """The latencies of the workload's headline operation."""
        return self.latencies_ms.get(WORKLOADS[self.workload].headline)

    def cores_of(self, role: str) -> float:
        """Return the CPU seconds in a second of all processes whose name begins so."""
        return sum(cores for name, cores in self.cpu_cores.items() if name.startswith(role))

    def cost(self, role: str) -> float | None:
        """Return the CPU of a role: seconds for each GiB, or milliseconds for each operation."""
        if self.throughput == 0:
            return None
        if self.unit == "MB/s":
            return self.cores_of(role) / (self.mb_per_s * 1e6 / (1 << 30))
        return 1000 * self.cores_of(role) / self.operations_per_s

    @property
    def highest_peak_mib(self) -> float:
        """The most memory that any replica had."""
        return max((mib for name, mib in self.peak_rss_mib.items() if name.startswith("replica")), default=0)

    @property
    def other_cores(self) -> float:
        """How many cores programs kept busy that do not belong to this benchmark."""
        return max(0.0, self.busy_cores - sum(self.cpu_cores.values()))

    def judge(self, cores: int, ability: Ability | None) -> None:
        """Say what limited the throughput, and which warnings apply."""
        near = ability is not None and self.throughput >= NEAR * ability.throughput
        ways = (self.link_use, self.links_to_replicas, self.links_from_replicas)
        if max(way or 0.0 for way in ways) >= LINK_FULL:
            self.limit = "links"
        elif near:
            self.limit = "generator"
        elif self.busy_cores >= CORES_FULL * cores:
            self.limit = "cores"
        if near and ability is not None:
            self.warnings.append(
                f"the generator can do {ability.throughput:.0f} {self.unit} at most: this may be its figure"
            )
        if self.other_cores >= NOISY_CORES:
            self.warnings.append(f"other programs kept {self.other_cores:.1f} of {cores} cores busy")


def median_of(turns: Sequence[Run]) -> Run:
    """Return the median of each figure of some turns; what was counted in them is added."""
    if len(turns) == 1:
        return turns[0]
    throughput = statistics.median(run.throughput for run in turns)
    levelled = []
    for run in turns:  # CPU is told for what was moved: it is the median of that, not of the cores
        times = throughput / run.throughput if run.throughput else 1.0
        cores = {name: cores * times for name, cores in run.cpu_cores.items()}
        levelled.append(replace(run, cpu_cores=cores))
    values = {each.name: [getattr(run, each.name) for run in levelled] for each in fields(Run)}
    same = ("replicas", "clients", "turn")
    return replace(turns[0], **{name: _combined(each) for name, each in values.items() if name not in same})


def _combined(values: Sequence[Any]) -> Any:
    known = [value for value in values if value is not None]
    combine = next((how for kind, how in _COMBINE.items() if known and isinstance(known[0], kind)), None)
    return None if combine is None else combine(known)


_COMBINE: dict[type, Callable[[list[Any]], Any]] = {
    str: lambda words: Counter(words).most_common(1)[0][0],
    int: sum,
    float: statistics.median,
    list: lambda lists: [one for each in lists for one in each],
    dict: lambda dicts: {name: _combined([each.get(name) for each in dicts]) for name in dicts[0]},
    Latencies: lambda all_of: Latencies(**_combined([asdict(each) for each in all_of])),
}
