"""What `bench/run.py` shows of one replica, run in a tiny form so that it cannot rot; no figure is judged."""

from __future__ import annotations

import re
import subprocess
from typing import TYPE_CHECKING

import pytest

from bench import run
from bench.cluster.results import read_report, verdict
from bench.load.workloads import DEFAULT, WORKLOADS
from bench.servers.calls import OTHER
from bench.servers.processes import CHECKOUT
from bench.servers.registries import Build
from tests.bench.runs import measured
from tests.processes import missing

if TYPE_CHECKING:
    from pathlib import Path

OVER_LINKS = {
    *("pieces 4k", "pieces 16k", "pieces 64k", "pieces chunked", "pieces 4k x4", "pieces chunked x4"),
    *("windows 16k", "windows 64k", "windows 256k"),
}
GROUPS = ("push-cpu", "pull-cpu", "cached", "storm", "latency", "small-images", "requests", "pieces", "windows")
QUICK = ("--duration", "0.1", "--warm-up", "0.05")


def test_every_workload_gives_valid_figures_of_zotpy(tmp_path: Path) -> None:
    """Without a peer all workloads of one replica run on SeaweedFS, and what they pushed is there."""
    found = measured(tmp_path, *GROUPS, *QUICK)
    assert found["valid"]
    runs = {one["workload"]: one for one in found["runs"]}
    requests = {"requests ping", "requests manifest", "requests head", "requests blob"}
    alone = {
        *requests,
        "push-cpu chunked",
        "push-cpu length",
        *("pull-cpu", "cached pull", "cached filling"),
        *("storm first", "storm again", "storm uncached"),
        "small-images docker",
        "small-images containerd",
    }
    assert runs.keys() == alone | {"latency push", "latency pull"} | OVER_LINKS | {f"{one} tls" for one in OVER_LINKS}
    assert [one for one in runs.values() if not one["checked"] or one["replicas"] != 1] == []
    assert [one for one in runs.values() if "replica0" not in one["cpu_cores"] or not one["peak_rss_mib"]] == []
    # The system counts in steps of 10 ms: such a short run may have none, but not all of them.
    assert sum(one["cpu_cores"]["replica0"] for one in runs.values()) > 0
    assert runs["cached pull"]["store_sent_mib"] < 0.1, "each pull came from the cache: that was filled before"
    assert runs["storm again"]["store_sent_mib"] < 0.1 < runs["storm uncached"]["store_sent_mib"]
    assert {"seaweedfs", "zotpy"} == found["versions"].keys()
    assert {"25 ms a call", "25 ms a call, 90 MB/s a connection", "0 ms a call"} <= set(found["limits"].values())


def test_registries_take_turns(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Beside an older commit the runs alternate, get the same content in each turn, and give the ratio of medians."""
    if subprocess.run(["git", "-C", CHECKOUT, "rev-parse"], capture_output=True, check=False).returncode:
        missing("the checkout's history is needed: git clone")
    found = measured(tmp_path, "pull-cpu", *QUICK, "--turns", "2", "--against", "commit:HEAD")
    registries = [one["registry"] for one in found["runs"]]
    assert registries == ["zotpy", registries[1], registries[1], "zotpy"], "each goes first in turn"
    assert registries[1].startswith("commit-")
    seeds = [re.sub(r"^1x\d+-", "1-", one["seed"]) for one in found["runs"]]  # of a run that was repeated for longer
    assert seeds == ["1-pull-cpu-1-1"] * 2 + ["1-pull-cpu-1-2"] * 2
    report = read_report(tmp_path / "results.json")
    ours, theirs = report.medians
    assert verdict(report, ours) in {"CPU < 0.7: met", "CPU < 0.7: missed"}
    assert verdict(report, theirs) == ""
    assert "CPU of" in capsys.readouterr().out


def test_an_older_commit_has_the_same_cache(tmp_path: Path) -> None:
    """Neither build asks the store for the bytes of a layer that was pulled before."""
    if subprocess.run(["git", "-C", CHECKOUT, "rev-parse"], capture_output=True, check=False).returncode:
        missing("the checkout's history is needed: git clone")
    found = measured(tmp_path, "storm again", *QUICK, "--against", "commit:HEAD")
    assert [one["store_sent_mib"] < 0.1 for one in found["runs"]] == [True, True]


def test_a_build_gets_only_settings_that_it_has() -> None:
    """An older one would refuse to start with others."""
    assert [Build().knows(one) for one in ("cache.directory", "promisedLife", "no.such")] == [True, True, False]


@pytest.mark.parametrize("peer", ["open", "unguessed"])
def test_access_control_is_measured_beside_the_same_build_without_it(tmp_path: Path, peer: str) -> None:
    """Clients log in at ours, and wrong passwords are refused meanwhile; at the other one nobody guesses."""
    times = ("--warm-up", "1", "--duration", "1")  # logins wait behind guesses
    arguments = ["small-images docker", *times, "--access", "--guesses", "5", "--against", peer]
    ours, theirs = measured(tmp_path, *arguments)["runs"]
    assert (ours["registry"], theirs["registry"]) == ("zotpy", peer)
    assert ours["guesses"].keys() <= {"401", "429"}
    assert (sum(ours["guesses"].values()) > 0, theirs["guesses"]) == (True, {})
    assert [one["error_count"] for one in (ours, theirs)] == [0, 0]


def test_a_cluster_is_what_runs_unless_one_replica_is_asked_for() -> None:
    """The workloads that run by themselves are those that show what replicas add."""
    assert DEFAULT == ("push", "images", "pull", "mixed", "small", "tags", "heads", "heads promised")
    alone = {name for name, one in WORKLOADS.items() if one.group in GROUPS}
    assert set(WORKLOADS) - set(DEFAULT) == {*alone, "builds"}


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (["pull-cpu", "no-such-workload"], "unknown: no-such-workload"),
        (["pieces", "--chaos"], "pieces 4k shows one replica"),
        (["latency", "--target", "http://registry"], "latency push shows one replica"),
        (["--against", "commit:no-such-revision"], "no-such-revision"),
        (["--guesses", "10"], "need --access"),
        (["--against", "unguessed"], "need --access"),
        (["--access", "--target", "http://registry"], "--user logs in to a --target"),
        (["--turns", "0"], "--turns: more than 0"),
    ],
)
def test_what_cannot_be_meant_is_refused(arguments: list[str], error: str, capsys: pytest.CaptureFixture[str]) -> None:
    """It ends the program before anything is started."""
    with pytest.raises(SystemExit):
        run.main(arguments)
    assert error in capsys.readouterr().err


def test_the_store_calls_of_builds_are_counted_and_priced(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Each call is named as S3 does, they add up to all calls, and the table says what 1,000 builds cost."""
    found = measured(tmp_path, "--cost", *QUICK)
    [one] = found["runs"]
    operations = one["store_operations"]
    assert (found["valid"], one["workload"]) == (True, "builds")
    assert one["store_calls"] == pytest.approx(sum(operations.values()))
    assert {"GetObject", "PutObject"} <= operations.keys()
    assert OTHER not in operations
    assert "USD for 1,000" in capsys.readouterr().out
