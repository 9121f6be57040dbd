"""What `bench/run.py` is asked, what it makes of figures, and what it keeps of them."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import pytest
from rich.console import Console

from bench.cluster.markdown import document
from bench.cluster.options import options_from
from bench.cluster.results import Report, cost_ratio, ratio, read_report, scaling
from bench.cluster.runs import Ability, Run, latencies_of
from bench.cluster.tables import cells, show
from bench.load.content import layer_size
from bench.servers.other_registries import filled_in

if TYPE_CHECKING:
    from pathlib import Path


def a_run(registry: str = "zotpy", replicas: int = 1, throughput: float = 100.0) -> Run:
    """Return a run in which nothing went wrong."""
    return Run(registry, replicas, "push", "MB/s", "1", 3, 8.0, throughput, throughput, throughput / 16)


def a_report(*runs: Run) -> Report:
    """Return a report of these."""
    return Report(["push"], {}, {"links": "none"}, {"zotpy": "0"}, "commit", "2026", {"cores": 2}, {}, list(runs))


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (["no-such-workload"], "unknown: no-such-workload"),
        (["--flow", "docker,smoke"], "unknown flow: smoke"),
        (["--clients", "0"], "--clients: more than 0"),
        (["--duration", "0"], "--duration: more than 0"),
        (["--link-mb", "-1"], "--link-mb: not less than 0"),
        (["--ratio", "1.5"], "--ratio: between 0 and 1"),
        (["--replicas", "1,two"], "invalid"),
        (["--replicas", "0"], "--replicas: at least one"),
        (["--chaos", "--replicas", "1"], "with --chaos two"),
        (["--target", "ftp://registry"], "not a URL of HTTP: ftp://registry"),
        (["--target", "http://registry/below"], "at its host's root"),
        (["--target", "http://registry", "--chaos"], "need registries that this program starts"),
        (["--against", "registry --port {prot}"], "not 'prot'"),
        (["--against", "registry --port {port"], "expected '}'"),
        (["--against", ""], "the command is empty"),
    ],
)
def test_what_cannot_be_meant_is_refused(arguments: list[str], error: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Each ends the program with status 2 before anything starts, and says what is wrong."""
    with pytest.raises(SystemExit) as ended:
        options_from(arguments)
    assert ended.value.code == 2
    assert error in capsys.readouterr().err


def test_the_password_comes_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is in no command line, which others on the machine could read."""
    monkeypatch.setenv("ZOTPY_BENCH_PASSWORD", "hidden")
    target = options_from(["--target", "https://registry/", "--user", "ci", "--insecure"]).target
    assert target is not None
    assert (target.url, target.user, target.password, target.verify_tls) == ("https://registry", "ci", "hidden", False)


def test_a_command_gets_what_it_names() -> None:
    """Words stay words, whatever is put into them."""
    assert filled_in("'/opt/my registry' --at={host}:{port}", {"host": "::1", "port": 5}) == [
        "/opt/my registry",
        "--at=::1:5",
    ]


def test_scaling_and_ratio() -> None:
    """Scaling is to the fewest replicas of the same registry, the ratio to the peer with as many."""
    report = a_report(
        a_run(), a_run(replicas=8, throughput=760), a_run("distribution", 1, 50), a_run("distribution", 8, 200)
    )
    one, eight, peer, peers = report.runs
    assert [scaling(report, run) for run in report.runs] == [None, 7.6, None, 4.0]
    assert [ratio(report, run) for run in (one, eight, peer, peers)] == [2.0, 3.8, None, None]


def test_the_ratio_of_cost_is_that_of_the_replicas_cpu() -> None:
    """Half the CPU for as many bytes is 0.5 of the peer's, and the table says so; the peer's own run has none."""
    ours, peer = a_run(), a_run("distribution", throughput=200)
    ours.cpu_cores, peer.cpu_cores = {"replica0": 0.2, "store": 5.0}, {"replica0": 0.8}
    report = a_report(ours, peer)
    assert [cost_ratio(report, run) for run in report.runs] == [0.5, None]
    assert dict(cells(report, ours))["CPU of peer's"] == "0.50 x"


def test_a_result_near_the_generators_end_is_warned_of() -> None:
    """From 80% of what it does on a null server on, the figure may be the generator's."""
    near, far = a_run(), a_run(throughput=70)
    for run in (near, far):
        run.judge(2, Ability(120, "MB/s", 1.0))
    assert near.limit == "generator"
    assert near.warnings == ["the generator can do 120 MB/s at most: this may be its figure"]
    assert (far.limit, far.warnings) == ("waiting", [])


def test_what_set_the_pace_is_said() -> None:
    """Full links, busy cores, or waiting; and other programs that kept the machine busy are told."""
    links, cores = a_run(), a_run()
    links.links_from_replicas = 0.9
    links.busy_cores = cores.busy_cores = 1.9
    cores.cpu_cores = {"replica0": 1.2, "store": 0.6}
    for run in (links, cores):
        run.judge(2, None)
    assert (links.limit, cores.limit) == ("links", "cores")
    assert links.warnings == ["other programs kept 1.9 of 2 cores busy"]
    assert cores.warnings == []


def test_cost_is_for_what_was_moved() -> None:
    """Twice the cores at twice the throughput is the same cost: the flat line of a replica more."""
    one, two = a_run(), a_run(replicas=2, throughput=200)
    one.cpu_cores = {"replica0": 0.2}
    two.cpu_cores = {"replica0": 0.2, "replica1": 0.2}
    assert one.cost("replica") == two.cost("replica") == pytest.approx(0.2 * 1073.741824 / 100)


@pytest.mark.parametrize("broken", ["errors", "lost", "nothing done"])
def test_a_result_that_does_not_count_is_invalid(broken: str, tmp_path: Path) -> None:
    """Errors, losses, or nothing done at all: the table, the JSON and the report say that it is invalid."""
    run = a_run(throughput=0 if broken == "nothing done" else 100)
    run.error_count, run.errors = (1, ["push: 500"]) if broken == "errors" else (0, [])
    run.lost_count, run.lost = (1, ["blob x"]) if broken == "lost" else (0, [])
    report = a_report(run)
    assert not report.is_valid
    assert len(report.errors) == 1
    assert dict(cells(report, run))["limit"] == "INVALID"
    report.write(tmp_path / "results.json")
    again = read_report(tmp_path / "results.json")
    assert (again.is_valid, again.errors) == (False, report.errors)


def test_a_report_comes_back_as_it_was_written(tmp_path: Path) -> None:
    """JSON loses nothing; another schema is refused."""
    run = a_run()
    run.latencies_ms = {"push": latencies_of([3.0, 1.0, 2.0])}
    report = a_report(run)
    report.abilities = {"push": Ability(1000, "MB/s", 1.5)}
    path = tmp_path / "results.json"
    report.write(path)
    assert read_report(path) == report
    path.write_text(path.read_text().replace('"schema": 1', '"schema": 99'))
    with pytest.raises(ValueError, match="schema 99"):
        read_report(path)


def test_limits_and_chaos_are_printed() -> None:
    """Under the table stand the limits, and for chaos kills and losses."""
    run = a_run(replicas=2)
    run.kills, run.acknowledged, run.checked = 3, 40, 41
    console = Console(width=200, record=True, quiet=True)
    report = a_report(run)
    with console.capture() as capture:
        console.quiet = False
        show(console, report)
    assert "links: none" in capture.get()
    assert "3 kills, 40 acknowledged, 41 checked, 0 lost" in capture.get()


def test_percentiles_are_values_that_occurred() -> None:
    """Of a hundred times, the 99th is the 99th percentile."""
    found = latencies_of([float(value) for value in range(100, 0, -1)])
    assert (found.count, found.p50, found.p90, found.p99, found.most) == (100, 50.0, 90.0, 99.0, 100.0)


def test_layers_have_the_published_sizes() -> None:
    """About 65% are below 1 MB and 80% below 10 MB, and none is longer than asked."""
    chance = random.Random(1)
    sizes = [layer_size(chance, 32 << 20) for _ in range(4000)]
    assert 0.62 < sum(size < 1_000_000 for size in sizes) / 4000 < 0.68
    assert 0.77 < sum(size < 10_000_000 for size in sizes) / 4000 < 0.83
    assert max(sizes) <= 32 << 20


def test_a_document_holds_figures_parts_and_what_is_wrong() -> None:
    """Columns that nobody filled are left out; the CPU of each part, kills and errors are told."""
    run = a_run(replicas=2)
    run.cpu_cores, run.kills = {"replica0": 0.25, "replica1": 0.5, "store": 0.125}, 3
    run.error_count, run.errors = 1, ["push: 500"]
    text = document(a_report(run))
    figures, parts, said = text.split("\n\n")
    assert "x of one" not in figures
    assert "INVALID" in figures
    assert "0.75" in parts
    assert "- chaos, push, 2 x zotpy: 3 kills" in said
    assert "- INVALID: push, 2 x zotpy: push: 500" in said
