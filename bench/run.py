"""What a cluster gives: aggregate throughput as the number of replicas grows; and what one replica does.

    python bench/run.py                                    1, 2, 4 and 8 replicas, all workloads of a cluster
    python bench/run.py push pull --store versitygw --link-mb 25 --against distribution
    python bench/run.py push-cpu small-images --turns 5 --against commit:HEAD~20
    python bench/run.py --target https://registry.example --user ci --clients 16
    python bench/run.py push small --replicas 4 --chaos
    python bench/run.py --cost --against distribution      what the store calls of 1,000 CI builds cost

docs/benchmarks.md explains every figure.
"""

import signal
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, replace
from datetime import UTC, datetime
from itertools import product
from pathlib import Path

if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).parents[1])  # the checkout, not this folder

from rich.console import Console

from bench.cluster.abilities import ability, null_registry
from bench.cluster.costs import cost_table
from bench.cluster.measuring import Place, measure_something
from bench.cluster.options import Options, options_from
from bench.cluster.plots import NoPlots, draw
from bench.cluster.results import Report
from bench.cluster.site import Site, ground, site, site_of
from bench.cluster.tables import SHA256, Board, board, number, show
from bench.load.fleet import Fleet, fleet
from bench.load.spec import LoadFailed, Terms
from bench.micro.hashing import hashlib_sha256
from bench.micro.timing import cpu_s_per_gib
from bench.servers.balancer import balancer_version
from bench.servers.processes import CHECKOUT, NotReady, ProgramMissing
from bench.servers.registries import REGISTRIES, registry_version
from bench.servers.stores import STORES, printed

PLAIN_WIDTH = 210
"""How wide the output is if it is a file, and no terminal says it."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what the command line asks for and return the exit status."""
    options = options_from(arguments)
    console = Console() if Console().is_terminal else Console(width=PLAIN_WIDTH)
    report = Report(
        command=list(sys.argv[1:] if arguments is None else arguments),
        settings=_settings(options),
        limits={},
        versions={},
        commit=printed("git", "-C", CHECKOUT, "rev-parse", "HEAD"),
        began_at=datetime.now(UTC).isoformat(timespec="seconds"),
    )
    try:
        report.versions = _versions(options)
        report.machine[SHA256] = round(cpu_s_per_gib(hashlib_sha256()), 3)
        _measure_all(options, report, console)
    except (ProgramMissing, NotReady) as error:
        console.print(error, style="red", markup=False)
        return 2
    except (KeyboardInterrupt, SystemExit):  # what was measured so far is worth keeping
        report.failures.append("interrupted: not everything was run")
    show(console, report)
    if options.cost:
        console.print(cost_table(report))
    _write(options, report, console)
    return 0 if report.is_valid else 1


def _measure_all(options: Options, report: Report, console: Console) -> None:
    """Run everything in a directory that is gone afterwards. Raises `ProgramMissing` or `NotReady`."""
    registries = 1 if options.peer is None else 2
    counts = [len(options.counts(options.terms(workload))) for workload in options.workloads]
    with (
        tempfile.TemporaryDirectory(prefix="zotpy-bench-", ignore_cleanup_errors=True) as name,
        board(console, report, sum(counts) * registries * options.turns) as screen,
    ):
        if options.target is not None:
            _measure_target(options, report, screen, Path(name))
        else:
            _measure_clusters(options, report, screen, Path(name))


def _measure_target(options: Options, report: Report, screen: Board, directory: Path) -> None:
    assert options.target is not None, "it was asked for"
    report.limits = {"links": "not known", "store": "not known"}
    place = Place("target", 1, options.target, {})
    with fleet(options.processes, directory) as generator:
        _find_abilities(options, report, screen, generator, directory)
        for workload in options.workloads:
            for turn in range(1, options.turns + 1):
                _measure_one(options, report, screen, generator, place, workload, turn)


def _measure_clusters(options: Options, report: Report, screen: Board, directory: Path) -> None:
    sites: dict[Terms, list[str]] = {}
    for workload in options.workloads:  # what differs in nothing that a site is made of shares one
        terms = options.terms(workload)
        sites.setdefault(site_of(terms), []).append(workload)
    screen.begin("starting the store")
    with ground(options, directory) as shared, fleet(options.processes, directory) as generator:
        _find_abilities(options, report, screen, generator, directory)
        for index, (terms, workloads) in enumerate(sites.items()):
            (below := directory / f"site{index}").mkdir()
            with site(shared, terms, below) as running:
                _note_limits(report, running, terms, workloads)
                _measure_site(replace(options, workloads=tuple(workloads)), report, screen, generator, running)


def _measure_site(options: Options, report: Report, screen: Board, generator: Fleet, running: Site) -> None:
    clusters = running.clusters(options)
    for count in options.counts(options.terms(options.workloads[0])):
        for cluster in clusters:
            screen.begin(f"starting {count} x {cluster.name}")
            cluster.grow(count)
        for workload, turn in product(options.workloads, range(1, options.turns + 1)):
            for cluster in clusters if turn % 2 else clusters[::-1]:  # none is always the one that goes first
                trees = {**cluster.trees(), **running.trees()}
                place = Place(cluster.name, count, cluster.target, trees, cluster, running)
                _measure_one(options, report, screen, generator, place, workload, turn)


def _note_limits(report: Report, running: Site, terms: Terms, workloads: Sequence[str]) -> None:
    rate = f", {terms.store_rate_mb_per_s:g} MB/s a connection" if terms.store_rate_mb_per_s else ""
    ways = {"links": running.network.what, "store": f"{terms.store_delay_ms:g} ms a call{rate}"}
    for name, text in ways.items():
        before = report.limits.get(name)
        if before is None:
            report.limits[name] = text
        elif before != text:
            report.limits[f"{name}, {', '.join(workloads)}"] = text


def _find_abilities(options: Options, report: Report, screen: Board, generator: Fleet, directory: Path) -> None:
    with null_registry(directory) as target:
        for workload in options.workloads:
            if options.terms(workload).link is not None:
                continue  # its own link is its end
            screen.begin(f"what the generator can do: {workload}")
            try:
                report.abilities[workload] = ability(generator, target, workload, options)
            except LoadFailed as error:
                report.failures.append(f"{workload} on the null server: {error}")


def _measure_one(
    options: Options, report: Report, screen: Board, generator: Fleet, place: Place, workload: str, turn: int
) -> None:
    what = f"{workload}, {place.replicas} x {place.registry}"
    screen.begin(f"{what}: preparing")
    try:
        run = measure_something(generator, place, workload, options, screen.teller(what), turn)
    except LoadFailed as error:
        report.failures.append(f"{what}: {error}")
        screen.done(f"{what}: {error}")
    else:
        run.judge(report.machine["cores"] or 1, report.abilities.get(workload))
        report.runs.append(run)
        screen.done(f"{what}: {number(run.throughput)} {run.unit}{'' if run.is_valid else ', INVALID'}")


def _settings(options: Options) -> dict[str, object]:
    """Return all that can be chosen, without the secret."""
    settings = asdict(options)
    if settings["target"] is not None:
        del settings["target"]["password"]
    terms = {workload: asdict(options.terms(workload)) for workload in options.workloads}
    return {**settings, "terms": terms, "output": str(options.output)}


def _versions(options: Options) -> dict[str, str]:
    """Return the version of everything that runs. Raises `ProgramMissing`."""
    if options.target is not None:
        return {"bench": registry_version("zotpy")}
    names = [name for name in ("zotpy", options.peer or "") if name in REGISTRIES]
    with tempfile.TemporaryDirectory() as directory:
        store = STORES[options.store](Path(directory)).version()
    has_balancer = not all(options.terms(workload).alone for workload in options.workloads)
    return {
        **{name: registry_version(name) for name in names},
        options.store: store,
        **({"haproxy": balancer_version()} if has_balancer else {}),
    }


def _write(options: Options, report: Report, console: Console) -> None:
    options.output.mkdir(parents=True, exist_ok=True)
    report.write(options.output / "results.json")
    try:
        plots = draw(report, options.output)
    except NoPlots as error:
        plots = []
        console.print(str(error), style="yellow", markup=False)
    console.print(f"{options.output}/: results.json{', and plots of what ran' if plots else ''}", markup=False)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))  # it ends as with Ctrl-C: nothing is left
    sys.exit(main())
