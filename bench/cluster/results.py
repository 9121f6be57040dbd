"""What a run of `bench/run.py` found, and all that is needed to repeat it, as JSON."""

import json
import math
import statistics
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Literal

from bench.load.workloads import WORKLOADS, Unit
from bench.measures import describe_machine

SCHEMA = 1
GOAL_PEER = "distribution"
"""Of which goals are told in shares and multiples."""
NEAR = 0.8
"""Of what the generator can do: a result above is not the registry's alone."""
LINK_FULL = 0.85
CORES_FULL = 0.9
NOISY_CORES = 0.25
PERCENTILES = (50, 90, 99)
Limit = Literal["links", "cores", "generator", "waiting"]
"""What set the pace: the replicas' links were full; the machine's cores were; the generator was near its own end; or
none of them, and clients waited for the store's distance, one call after another."""


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
    """Of the generator, in a second."""


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
    """In its unit."""
    mb_per_s: float
    """Sent and received by clients, 10^6 bytes."""
    operations_per_s: float
    """Of the workload's headline operation."""
    latencies_ms: dict[str, Latencies] = field(default_factory=dict)
    """By kind of operation."""
    cpu_cores: dict[str, float] = field(default_factory=dict)
    """CPU seconds in a second, of each process."""
    peak_rss_mib: dict[str, float] = field(default_factory=dict)
    busy_cores: float = 0.0
    """Of the whole machine, whoever kept them busy."""
    link_use: float | None = None
    """Throughput as a share of all links together."""
    links_to_replicas: float | None = None
    """What the links carried that way, as a share of what they can: the store's answers are in it, too."""
    links_from_replicas: float | None = None
    """The same the other way."""
    store_calls: float | None = None
    """For each headline operation, counted on the way to the store."""
    store_operations: dict[str, float] = field(default_factory=dict)
    """The same as the replicas tell it, by operation."""
    acknowledged: int = 0
    checked: int = 0
    read_back_bytes: int = 0
    kills: int = 0
    retries: int = 0
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
    def other_cores(self) -> float:
        """What kept cores busy that was not of this benchmark."""
        return max(0.0, self.busy_cores - sum(self.cpu_cores.values()))

    def judge(self, cores: int, ability: Ability | None) -> None:
        """Say what set the pace, and what to beware of."""
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


@dataclass
class Report:
    """Everything that was found."""

    command: list[str]
    settings: dict[str, Any]
    limits: dict[str, str]
    versions: dict[str, str]
    commit: str
    began_at: str
    """UTC, ISO 8601."""
    machine: dict[str, Any] = field(default_factory=describe_machine)
    abilities: dict[str, Ability] = field(default_factory=dict)
    """Of the generator, by workload."""
    runs: list[Run] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    """What kept a workload from being run at all."""

    @property
    def errors(self) -> list[str]:
        """What makes it invalid, each with where it happened."""
        found = list(self.failures)
        for run in self.runs:
            where = run.name
            found += [f"{where}: {error}" for error in run.errors]
            found += [f"{where}: lost: {what}" for what in run.lost]
            if not run.throughput:
                found.append(f"{where}: nothing was done")
        return found

    @property
    def is_valid(self) -> bool:
        """Whether something was measured, and all of it counts."""
        return bool(self.runs) and not self.failures and all(run.is_valid for run in self.runs)

    @property
    def medians(self) -> list[Run]:
        """The medians of all turns, in the order of their first ones."""
        turns: dict[str, list[Run]] = {}
        for run in self.runs:
            turns.setdefault(run.name, []).append(run)
        return [median_of(runs) for runs in turns.values()]

    def find(self, registry: str, replicas: int, workload: str) -> Run | None:
        """Return the run of these, if there is one; the medians of several turns."""
        for run in self.medians:
            if (run.registry, run.replicas, run.workload) == (registry, replicas, workload):
                return run
        return None

    def write(self, path: Path) -> None:
        """Write it as JSON."""
        document = {"schema": SCHEMA, "valid": self.is_valid, "errors": self.errors, **asdict(self)}
        path.write_text(json.dumps(document, indent=2) + "\n")


def scaling(report: Report, run: Run) -> float | None:
    """Return how many times the throughput of the fewest replicas it is; none for that one itself."""
    first = min(one.replicas for one in report.runs if (one.registry, one.workload) == (run.registry, run.workload))
    base = report.find(run.registry, first, run.workload)
    is_base = first == run.replicas
    return None if base is None or is_base or not base.throughput else run.throughput / base.throughput


def ratio(report: Report, run: Run) -> float | None:
    """Return our throughput for each of the peer's, where both were measured; none on the peer's own run."""
    peer = _peer_of(report, run)
    return None if peer is None or not peer.throughput else run.throughput / peer.throughput


def cost_ratio(report: Report, run: Run) -> float | None:
    """Return our replicas' CPU for each GiB or operation, for each of the peer's; none on the peer's own run."""
    peer = _peer_of(report, run)
    ours, theirs = run.cost("replica"), None if peer is None else peer.cost("replica")
    return None if ours is None or not theirs else ours / theirs


def _peer_of(report: Report, run: Run) -> Run | None:
    others = (one for one in report.medians if (one.replicas, one.workload) == (run.replicas, run.workload))
    return next((one for one in others if one.registry != run.registry), None) if run.registry == "zotpy" else None


def verdict(report: Report, run: Run) -> str:
    """Return what is wanted of our run, and whether it is so; nothing where nothing is wanted."""
    goal = WORKLOADS[run.workload].goal
    if goal is None or run.registry != "zotpy":
        return ""
    peer = _peer_of(report, run)
    has_peer = peer is not None and peer.registry == GOAL_PEER
    ratios = (cost_ratio(report, run), ratio(report, run)) if has_peer else (None, None)
    is_met = goal.is_met(run.cost("replica"), *ratios)
    return f"{goal}: {'no peer' if is_met is None else 'met' if is_met else 'missed'}"


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


def read_report(path: Path) -> Report:
    """Return what was written. Raises `OSError`, or `ValueError` if it is of another schema."""
    document = json.loads(path.read_text())
    if document.get("schema") != SCHEMA:
        msg = f"{path} has schema {document.get('schema')}, and {SCHEMA} is known"
        raise ValueError(msg)
    for derived in ("schema", "valid", "errors"):
        del document[derived]
    document["abilities"] = {name: Ability(**one) for name, one in document["abilities"].items()}
    document["runs"] = list(_runs(document["runs"]))
    return Report(**document)


def _runs(documents: Iterable[dict[str, Any]]) -> Iterable[Run]:
    for one in documents:
        kinds = {kind: Latencies(**values) for kind, values in one["latencies_ms"].items()}
        yield Run(**{**one, "latencies_ms": kinds})
