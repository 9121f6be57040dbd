"""The benchmark of clusters, run in a tiny form so that it cannot rot; what it measures is not judged here."""

from __future__ import annotations

import importlib.util
import os
import re
import sys
from typing import TYPE_CHECKING

import pytest

from bench.cluster.plots import FIGURES, FORMATS
from bench.cluster.results import read_report
from bench.load.workloads import DEFAULT
from bench.servers.namespaces import NAMES, why_none
from tests.bench.runs import measured
from tests.processes import missing

if TYPE_CHECKING:
    from pathlib import Path

AS_PEER = f"{sys.executable} -m bench.servers.null --port {{port}}"
"""A registry that the benchmark knows only by its command; it takes everything and keeps no blob."""


REPLICAS = 2


@pytest.fixture(scope="module")
def everything(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Run all workloads once, in all flows, and return where the results are."""
    directory = tmp_path_factory.mktemp("everything")
    flows = ("--flow", "docker,containerd,chunked", "--layer-mib", "0.0625", "--longest-layer-mib", "0.0625")
    measured(directory, "--no-namespaces", "--replicas", str(REPLICAS), "--duration", "0.2", *flows, draws=True)
    return directory


def test_every_workload_runs_behind_proxies(everything: Path) -> None:
    """Without namespaces all workloads run and are checked, and the report says how links were shaped."""
    report = read_report(everything / "results.json")
    assert report.is_valid
    assert "behind a proxy" in report.limits["links"]
    assert [run.workload for run in report.runs] == list(DEFAULT)
    assert [run for run in report.runs if not run.checked or not run.store_calls] == []


def test_a_result_says_how_to_repeat_it(everything: Path) -> None:
    """Versions, machine, seeds and what the generator can do are in it."""
    report = read_report(everything / "results.json")
    assert report.abilities.keys() == set(DEFAULT)
    assert {"zotpy", "seaweedfs", "haproxy"} == report.versions.keys()
    assert report.machine["cores"] == os.cpu_count()
    words = [workload.replace(" ", "-") for workload in DEFAULT]
    seeds = [re.sub(r"^1x\d+-", "1-", run.seed) for run in report.runs]  # of a run that was repeated for a longer time
    assert seeds == [f"1-{word}-{REPLICAS}-1" for word in words]
    assert report.settings["replicas"] == [REPLICAS]
    assert {one["store_delay_ms"] for one in report.settings["terms"].values()} == {20.0}


def test_every_figure_is_drawn(everything: Path) -> None:
    """A run leaves each figure as SVG and as PNG, as long as matplotlib is there."""
    if importlib.util.find_spec("matplotlib") is None:
        missing("matplotlib is needed: pip install matplotlib")
    starts = {"svg": b"<?xml", "png": b"\x89PNG"}
    files = {path.name: path.read_bytes() for path in everything.iterdir() if path.suffix != ".json"}
    assert files.keys() == {f"{name}.{form}" for name in FIGURES for form in FORMATS}
    assert [name for name, data in files.items() if not data.startswith(starts[name.rpartition(".")[2]])] == []


def test_replicas_have_namespaces_where_root_runs_it(tmp_path: Path) -> None:
    """The kernel shapes the links, no more goes over them than they take, and no namespace is left."""
    if why := why_none():
        missing(f"network namespaces are needed: {why}")
    found = measured(tmp_path, "push", "--replicas", "1,2", "--link-mb", "4", "--duration", "0.8")
    assert "tc: 4 MB/s" in found["limits"]["links"]
    for run in found["runs"]:
        assert 0 < run["links_to_replicas"] < 1.25  # what a link had saved up before adds its burst
        assert 0 < run["links_from_replicas"] < 1.25
    assert [path.name for path in NAMES.glob(f"zotpy-bench-{os.getpid()}-*")] == []


def test_chaos_loses_nothing(tmp_path: Path) -> None:
    """Replicas are killed while clients push; everything acknowledged is looked for, and is there."""
    found = measured(
        tmp_path, "push", "tags", "--chaos", "--replicas", "2", "--no-namespaces", "--link-mb", "0", "--duration", "2"
    )
    for run in found["runs"]:
        assert run["kills"] >= 1
        assert run["acknowledged"] >= 1
        assert run["checked"] >= run["acknowledged"]
        assert (run["lost_count"], run["error_count"]) == (0, 0)


def test_a_lying_peer_makes_the_result_invalid(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A peer that acknowledges blobs and gives back others is found by the sample: exit 1, and ours still counts."""
    words = ("pull", "--against", AS_PEER, "--replicas", "1", "--no-namespaces", "--link-mb", "0")
    found = measured(tmp_path, *words, status=1, draws=True)
    assert not found["valid"]
    for run in found["runs"]:
        assert bool(run["lost_count"]) == (run["registry"] == "command")
        assert all("came back with the digest" in lost for lost in run["lost"])
    printed = capsys.readouterr().out
    assert "INVALID" in printed
    assert "of peer's" in printed
