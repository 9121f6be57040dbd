"""What the benchmark reads from /proc, and what it makes of it."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from bench.clients.connection import Refused
from bench.measures import MIB, ProcessTree, measured
from bench.results import Results, Sample, compare
from bench.tables import comparison_table
from bench.workloads.cases import Case, Row, Site, Target

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
    with measured({"registry": ProcessTree(child.pid)}) as span:
        pass
    assert span.cpu_s["registry"] == 0
    assert span.peak_rss_bytes["registry"] > 0
    assert span.cpu_s.keys() == {"registry", "client"}


def no_run(_site: Site, _seed: str) -> dict[str, float]:
    """Stand for a run in tests that need none."""
    raise AssertionError


@pytest.mark.parametrize(
    ("target", "better", "ours", "ratio", "verdict"),
    [
        (Target("share", 0.55), "lower", 1.1, 0.55, "met"),
        (Target("share", 0.55), "lower", 1.2, 0.6, "missed"),
        (Target("times", 2), "lower", 1.0, 2.0, "met"),
        (Target("times", 3), "lower", 1.0, 2.0, "missed"),
        (Target("times", 3), "higher", 6.0, 3.0, "met"),
        (Target("times", 3), "higher", 5.0, 2.5, "missed"),
        (Target("value", 0.7), "lower", 0.6, 0.3, "met"),
        (Target("value", 0.7), "lower", 0.7, 0.35, "missed"),
        (None, "lower", 1.0, 0.5, ""),
    ],
)
def test_medians_are_held_against_the_target(
    target: Target | None, better: str, ours: float, ratio: float, verdict: str
) -> None:
    """The ratio is that of the medians, in the direction of the target."""
    row = Row("cost", "cost", "lower" if better == "lower" else "higher", target)
    case = Case("work", "", (row,), no_run)
    samples = [Sample("work", "zotpy", turn, "", {"cost": value}) for turn, value in enumerate((0.1, ours, 99.0))]
    samples += [Sample("work", "peer", 1, "", {"cost": 2.0}), Sample("other", "peer", 1, "", {"cost": 50.0})]
    found = compare(case, row, samples, "zotpy", "peer")
    assert found.ratio == pytest.approx(ratio)
    assert found.verdict == verdict
    assert (found.spreads["zotpy"].least, found.spreads["zotpy"].most) == (0.1, 99.0)
    assert comparison_table([case], ["zotpy", "peer"], [found]).row_count == 1


def test_without_a_peer_there_is_no_verdict_on_a_ratio() -> None:
    """A target in terms of a peer is neither met nor missed where there is none."""
    row = Row("cost", "cost", target=Target("share", 0.5))
    found = compare(
        Case("work", "", (row,), no_run), row, [Sample("work", "zotpy", 1, "", {"cost": 1.0})], "zotpy", None
    )
    assert (found.ratio, found.verdict) == (None, "no peer")


def test_one_error_makes_the_results_invalid() -> None:
    """A run with an error is named, and so is a run that measured nothing not valid."""
    results = Results(settings={}, versions={}, yardsticks={})
    assert not results.is_valid
    results.samples.append(Sample("work", "zotpy", 1, "", {"cost": 1.0}))
    assert results.is_valid
    results.samples.append(Sample("work", "peer", 2, "", {}, str(Refused("PUT: 500"))))
    assert not results.is_valid
    assert results.errors == ["work, peer, round 2: PUT: 500"]
