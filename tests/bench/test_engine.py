"""The benchmark of the engine, run in a tiny form so that it cannot rot; what it measures is not judged here."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from bench import engine
from bench.servers.peers import find_peer
from bench.servers.processes import ProgramMissing

if TYPE_CHECKING:
    from pathlib import Path

TINY = ("--quick", "--blob-mib", "1", "--images", "2", "--clients", "3")


def run(directory: Path, *arguments: str) -> dict[str, Any]:
    """Run the benchmark, which must end well, and return what it wrote."""
    path = directory / "results.json"
    assert engine.main([*arguments, *TINY, "--json", str(path)]) == 0, path.read_text()
    found: dict[str, Any] = json.loads(path.read_text())
    return found


def test_every_workload_gives_valid_samples_of_zotpy(tmp_path: Path) -> None:
    """Without a peer all workloads run on SeaweedFS, twice as asked, and fill every row of their cases."""
    found = run(tmp_path, "--against", "none", "--rounds", "2")
    assert found["valid"]
    assert [sample["error"] for sample in found["samples"]] == [""] * 48  # 24 cases, twice
    cases = {sample["case"] for sample in found["samples"]}
    over_links = {
        *("pieces 4k", "pieces 16k", "pieces 64k", "pieces chunked", "pieces 4k x4", "pieces chunked x4"),
        *("windows 16k", "windows 64k", "windows 256k"),
    }
    alone = {"push-cpu chunked", "push-cpu length", "pull-cpu", "latency", "small docker", "small containerd"}
    assert cases == alone | over_links | {f"{case} tls" for case in over_links}
    assert [row for row in found["comparisons"] if row["spreads"]["zotpy"]["count"] != 2] == []
    assert {"seaweedfs", "zotpy"} == found["versions"].keys()


def test_registries_take_turns(tmp_path: Path) -> None:
    """Beside a peer the samples alternate, get the same content, and give ratios to hold against the targets."""
    try:
        find_peer("registry")
    except ProgramMissing as error:
        pytest.skip(str(error))  # a Go program that takes minutes to build; the run above needs none
    found = run(tmp_path, "push-cpu", "small", "--rounds", "2")
    case = [sample for sample in found["samples"] if sample["case"] == "small docker"]
    assert [sample["registry"] for sample in case] == ["zotpy", "distribution"] * 2
    assert [sample["seed"] for sample in case] == ["1/small-docker/1"] * 2 + ["1/small-docker/2"] * 2
    assert {row["verdict"] for row in found["comparisons"] if row["target"]} <= {"met", "missed"}


def test_unknown_workloads_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    """A workload that does not exist ends the program before anything is started."""
    with pytest.raises(SystemExit):
        engine.main(["pull-cpu", "no-such-workload"])
    assert "unknown: no-such-workload" in capsys.readouterr().err
