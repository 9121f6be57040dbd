"""What the benchmark reads from /proc, and what it makes of it."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from bench.cluster.results import Report, cost_ratio, p99_ratio, ratio, verdict
from bench.cluster.runs import Latencies, Run
from bench.cluster.tables import cells, runs_table
from bench.load.workloads import WORKLOADS, Goal
from bench.measures import GIB, MIB, ProcessTree, all_cpu_s

if TYPE_CHECKING:
    from collections.abc import Iterator

CHILD = """
import subprocess, sys
burn = "import time\\nwhile time.process_time() < 0.3: pass"
subprocess.run([sys.executable, "-c", burn], check=True)
block = bytearray(64 << 20)
block[::4096] = b"x" * len(block[::4096])
del block
print("done", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def child() -> Iterator[subprocess.Popen[bytes]]:
    """Return a process that has burnt 0.3 s in a child of its own, and touched 64 MiB that it gave back."""
    command = [sys.executable, "-c", CHILD]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"done\n"
        while Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()[0] != "S":
            time.sleep(0.001)  # after its word it has some microseconds to go until it waits for us
        yield process
        process.kill()


def test_a_tree_counts_its_children(child: subprocess.Popen[bytes]) -> None:
    """CPU of a child that has ended counts; memory counts at its peak until the peak begins anew."""
    tree = ProcessTree(child.pid)
    assert tree.cpu_s() >= 0.3
    assert ProcessTree(os.getpid()).pids().count(child.pid) == 1
    assert tree.peak_rss_bytes() >= 64 * MIB > tree.rss_bytes() > 0
    tree.reset_peak()
    assert tree.peak_rss_bytes() < 64 * MIB


def test_a_span_takes_differences(child: subprocess.Popen[bytes]) -> None:
    """A process that does nothing in a span costs nothing in it, whatever it cost before."""
    trees = {"registry": ProcessTree(child.pid)}
    before = all_cpu_s(trees)
    assert before["registry"] > 0
    assert all_cpu_s(trees) == before


def a_run(registry: str, cost: float, throughput: float, turn: int = 1) -> Run:
    """Return a run whose replica takes this many CPU seconds for a GiB."""
    run = Run(registry, 1, "push-cpu length", "MB/s", "", 1, 1.0, throughput, throughput, 1.0, turn=turn)
    run.cpu_cores = {"replica0": cost * throughput * 1e6 / GIB}
    return run


@pytest.mark.parametrize(
    ("goal", "cost", "throughput", "verdict_wanted"),
    [
        (Goal("share", 0.55), 1.1, 10.0, "met"),
        (Goal("share", 0.55), 1.2, 10.0, "missed"),
        (Goal("times", 2), 1.0, 20.0, "met"),
        (Goal("times", 3), 1.0, 20.0, "missed"),
        (Goal("times", 3), 1.0, 30.0, "met"),
        (Goal("times", 3), 1.0, 25.0, "missed"),
        (Goal("value", 0.7), 0.6, 10.0, "met"),
        (Goal("value", 0.7), 0.71, 10.0, "missed"),
        (None, 1.0, 10.0, ""),
    ],
)
def test_medians_are_held_against_the_goal(
    goal: Goal | None, cost: float, throughput: float, verdict_wanted: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The ratio is that of the medians, of CPU or of throughput as the goal says."""
    workload = WORKLOADS["push-cpu length"]
    monkeypatch.setitem(WORKLOADS, workload.name, replace(workload, goal=goal))
    figures = ((0.1, throughput / 9), (cost, throughput), (99.0, throughput * 9))
    runs = [a_run("zotpy", *each, turn) for turn, each in enumerate(figures)]
    runs += [a_run("distribution", 2.0, 10.0)]
    report = Report([], {}, {}, {}, "", "", {}, runs=runs)
    ours = report.medians[0]
    assert ours.throughput == throughput
    assert ours.cost("replica") == pytest.approx(cost)
    assert cost_ratio(report, ours) == pytest.approx(cost / 2.0)
    assert ratio(report, ours) == pytest.approx(throughput / 10.0)
    assert verdict(report, ours) == (f"{goal}: {verdict_wanted}" if goal else "")
    assert runs_table(report).row_count == 2


def test_latencies_are_compared_turn_by_turn() -> None:
    """A busy moment of the machine meets both runs of its turn. The order in which they went does not matter."""

    def run(registry: str, p99: float, turn: int) -> Run:
        return replace(a_run(registry, 1.0, 10.0, turn), latencies_ms={"push": Latencies(100, 1.0, 2.0, p99, p99)})

    runs = [run("zotpy", 10.0, 1), run("unguessed", 10.0, 1), run("unguessed", 100.0, 2), run("zotpy", 130.0, 2)]
    report = Report([], {}, {}, {}, "", "", {}, runs=[*runs, run("zotpy", 60.0, 3), run("unguessed", 20.0, 3)])
    ours, theirs = report.medians
    assert p99_ratio(report, ours) == pytest.approx(1.3)
    assert p99_ratio(report, theirs) is None
    assert dict(cells(report, ours))["p99 of peer's"] == "1.30 x"


@pytest.mark.parametrize("peers", [[], [a_run("commit-1234567", 2.0, 10.0)]], ids=["none", "a commit"])
def test_without_distribution_there_is_no_verdict_on_a_ratio(peers: list[Run]) -> None:
    """A goal in terms of distribution is neither met nor missed where it was not measured."""
    report = Report([], {}, {}, {}, "", "", {}, runs=[a_run("zotpy", 1.0, 10.0), *peers])
    assert verdict(report, report.medians[0]) == "CPU <= 0.55 x: no peer"


def test_one_error_in_any_turn_makes_the_results_invalid() -> None:
    """A run with an error is named, and so is a run that measured nothing not valid."""
    report = Report([], {}, {}, {}, "", "", {}, runs=[])
    assert not report.is_valid
    report.runs.append(a_run("zotpy", 1.0, 10.0))
    assert report.is_valid
    report.runs.append(replace(a_run("zotpy", 1.0, 10.0, 2), error_count=1, errors=["PUT: 500"]))
    assert not report.is_valid
    assert not report.medians[0].is_valid
    assert report.errors == ["push-cpu length, 1 x zotpy: PUT: 500"]
