"""What a run of `bench/run.py` found, and all that is needed to repeat it, as JSON."""

import json
import statistics
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from bench.cluster.runs import Ability, Latencies, Run, median_of
from bench.load.workloads import WORKLOADS
from bench.measures import describe_machine

SCHEMA = 1
GOAL_PEER = "distribution"
"""The registry with which goals compare, as shares and multiples."""


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
    """What the generator can do, by workload."""
    runs: list[Run] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    """Why a workload could not be run at all."""

    @property
    def errors(self) -> list[str]:
        """What makes it invalid, each with the run in which it happened."""
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

    def write(self, path: Path) -> None:
        """Write it as JSON."""
        document = {"schema": SCHEMA, "valid": self.is_valid, "errors": self.errors, **asdict(self)}
        path.write_text(json.dumps(document, indent=2) + "\n")


def scaling(report: Report, run: Run) -> float | None:
    """Return how many times the throughput of the fewest replicas it is; none for that one itself."""
    same = (one for one in report.medians if (one.registry, one.workload) == (run.registry, run.workload))
    base = min(same, key=lambda one: one.replicas)
    return None if base.replicas == run.replicas or not base.throughput else run.throughput / base.throughput


def ratio(report: Report, run: Run) -> float | None:
    """Return our throughput for each of the peer's, if both were measured; none on the peer's own run."""
    peer = _peer_of(report, run)
    return None if peer is None or not peer.throughput else run.throughput / peer.throughput


def cost_ratio(report: Report, run: Run) -> float | None:
    """Return our replicas' CPU for each GiB or operation, for each of the peer's; none on the peer's own run."""
    peer = _peer_of(report, run)
    ours, theirs = run.cost("replica"), None if peer is None else peer.cost("replica")
    return None if ours is None or not theirs else ours / theirs


def p99_ratio(report: Report, run: Run) -> float | None:
    """Return the median of our p99 for each of the peer's, turn by turn; none on the peer's own run.

    A percentile of so few operations depends on what else the machine did. Turns that are near in time share that.
    """
    peer = _peer_of(report, run)
    if peer is None:
        return None
    turns: dict[int, dict[str, float]] = {}
    for one in report.runs:
        if (one.workload, one.replicas) == (run.workload, run.replicas) and one.headline is not None:
            turns.setdefault(one.turn, {})[one.registry] = one.headline.p99
    pairs = [
        (each[run.registry], each[peer.registry]) for each in turns.values() if {run.registry, peer.registry} <= {*each}
    ]
    return statistics.median(ours / theirs for ours, theirs in pairs) if pairs else None


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


def read_report(path: Path) -> Report:
    """Return what was written. Raises `OSError`, or `ValueError` if it is of another schema."""
    document = json.loads(path.read_text())
    if document.get("schema") != SCHEMA:
        msg = f"{path} has schema {document.get('schema')}, and {SCHEMA} is known"
        raise ValueError(msg)
    for derived in ("schema", "valid", "errors"):
        del document[derived]
    document["abilities"] = {name: Ability(**one) for name, one in document["abilities"].items()}
    for one in document["runs"]:
        one["latencies_ms"] = {kind: Latencies(**values) for kind, values in one["latencies_ms"].items()}
    document["runs"] = [Run(**one) for one in document["runs"]]
    return Report(**document)
