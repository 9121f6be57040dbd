"""What a run of the benchmark found: samples, how they compare, whether they are valid, and all of it as JSON."""

import json
import platform
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from bench.workloads.cases import Case, Metrics, Row

Verdict = Literal["met", "missed", "no peer", ""]


@dataclass(frozen=True)
class Sample:
    """One run of one case on one registry. With an error it has no metrics."""

    case: str
    registry: str
    round: int
    seed: str
    metrics: Metrics
    error: str = ""


@dataclass(frozen=True)
class Spread:
    """The samples of one measure."""

    least: float
    median: float
    most: float
    count: int


@dataclass(frozen=True)
class Comparison:
    """One row of the table."""

    case: str
    metric: str
    spreads: dict[str, Spread]
    """By registry; a registry without a valid sample is not in it."""
    ratio: float | None
    """zotpy's median for each of the peer's; for a target in multiples, how many times as good zotpy is."""
    target: str
    verdict: Verdict


def compare(case: Case, row: Row, samples: Sequence[Sample], ours: str, peer: str | None) -> Comparison:
    """Compare our samples of a measure with the peer's, and with the target."""
    spreads = {}
    for registry in filter(None, (ours, peer)):
        values = [
            sample.metrics[row.metric]
            for sample in samples
            if sample.case == case.name and sample.registry == registry and row.metric in sample.metrics
        ]
        if values:
            spreads[registry] = Spread(min(values), statistics.median(values), max(values), len(values))
    ratio = _ratio(row, spreads.get(ours), spreads.get(peer or ""))
    target = str(row.target) if row.target is not None else ""
    return Comparison(case.name, row.metric, spreads, ratio, target, _verdict(row, spreads.get(ours), ratio))


def _ratio(row: Row, ours: Spread | None, peer: Spread | None) -> float | None:
    if ours is None or peer is None or ours.median == 0 or peer.median == 0:
        return None
    is_slowness = row.better == "lower" and row.target is not None and row.target.kind == "times"
    return peer.median / ours.median if is_slowness else ours.median / peer.median


def _verdict(row: Row, ours: Spread | None, ratio: float | None) -> Verdict:
    if row.target is None or ours is None:
        return ""
    if row.target.kind == "value":
        return "met" if ours.median < row.target.bound else "missed"
    if ratio is None:
        return "no peer"
    is_met = ratio <= row.target.bound if row.target.kind == "share" else ratio >= row.target.bound
    return "met" if is_met else "missed"


def describe_machine() -> dict[str, Any]:
    """Describe the machine, without its name."""
    cpus = [line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")]
    memory = Path("/proc/meminfo").read_text().split(maxsplit=2)
    return {
        "cpu": cpus[0].partition(":")[2].strip() if cpus else platform.machine(),
        "cores": len(cpus) or None,
        "memory_mib": int(memory[1]) // 1024,
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "load_at_start": float(Path("/proc/loadavg").read_text().split()[0]),
    }


@dataclass
class Results:
    """Everything that a run found, and what it ran with."""

    settings: dict[str, Any]
    versions: dict[str, str]
    yardsticks: dict[str, float]
    machine: dict[str, Any] = field(default_factory=describe_machine)
    samples: list[Sample] = field(default_factory=list)
    comparisons: list[Comparison] = field(default_factory=list)

    @property
    def errors(self) -> list[str]:
        """What went wrong, each with where it did; any makes the run invalid."""
        return [f"{one.case}, {one.registry}, round {one.round}: {one.error}" for one in self.samples if one.error]

    @property
    def is_valid(self) -> bool:
        """Whether something was measured and nothing went wrong."""
        return bool(self.samples) and not self.errors

    def write(self, path: Path) -> None:
        """Write it as JSON."""
        document = {"valid": self.is_valid, "errors": self.errors, **asdict(self)}
        path.write_text(json.dumps(document, indent=2) + "\n")
