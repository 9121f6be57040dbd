"""One run: a load on a cluster, and what it cost while it counted."""

import time
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass

from bench.cluster.chaos import CLIENT_TRIES, Chaos
from bench.cluster.options import Options
from bench.cluster.results import Run, latencies_of
from bench.cluster.site import Cluster, Site
from bench.load.fleet import Fleet, Outcome
from bench.load.spec import Load, Target
from bench.load.verifying import Check
from bench.load.worker import Times
from bench.load.workloads import WORKLOADS
from bench.measures import MIB, ProcessTree, all_cpu_s, busy_s

PROGRESS_S = 0.5
UNKNOWN_LINK_BYTES_PER_S = 100e6
"""For which content is prepared where nobody knows the link."""
EXISTENCE, WHOLE_BLOBS = 100, 1
"""How much each process of the generator checks; with chaos, everything."""
EVERYTHING = 1_000_000

Tell = Callable[[dict[str, int]], None]


@dataclass(frozen=True)
class Place:
    """Where a load goes, and what can be seen of it there."""

    registry: str
    replicas: int
    target: Target
    trees: Mapping[str, ProcessTree]
    cluster: Cluster | None = None
    site: Site | None = None


@dataclass
class _Moment:
    """What had been used at one moment."""

    cpu_s: dict[str, float]
    busy_s: float
    store_calls: int
    store_operations: Counter[str]


def measure(fleet: Fleet, place: Place, workload: str, options: Options, tell: Tell) -> Run:
    """Run one workload and check what it left. Raises `LoadFailed`."""
    load = load_for(place, workload, options)
    fleet.load(load)
    trees = {**place.trees, **fleet.trees}
    chaos = Chaos(place.cluster.replicas, load.seed) if options.chaos and place.cluster is not None else None
    for tree in trees.values():
        tree.reset_peak()
    with chaos.during() if chaos is not None else nullcontext():
        times = fleet.begin(options.warm_up_s, options.duration_s)
        before = _moment_at(times.count_from, trees, place, fleet, tell)
        after = _moment_at(times.until, trees, place, fleet, tell)
        outcome = fleet.outcome(times)
    run = _run(place, load, outcome)
    _note_costs(run, times, before, after)
    run.peak_rss_mib = {name: round(tree.peak_rss_bytes() / MIB, 1) for name, tree in trees.items()}
    if options.link_bytes_per_s is not None:
        run.link_use = run.mb_per_s * 1e6 / (options.link_bytes_per_s * place.replicas)
    if chaos is not None:
        run.kills, run.error_count = chaos.kills, run.error_count + len(chaos.failures)
        run.errors += chaos.failures
    check = Check(EVERYTHING, EXISTENCE, outcome.shared) if chaos else Check(EXISTENCE, WHOLE_BLOBS, outcome.shared)
    verdict = fleet.verify(check)
    run.checked, run.read_back_bytes = verdict.checked, verdict.read_bytes
    run.lost, run.lost_count = verdict.lost, verdict.lost_count
    return run


def load_for(place: Place, workload: str, options: Options) -> Load:
    """Return the load for so many replicas."""
    clients = options.clients * (1 if options.target is not None else place.replicas)
    links = (options.link_bytes_per_s or UNKNOWN_LINK_BYTES_PER_S) * place.replicas
    return Load(
        workload,
        place.target,
        seed=f"{options.seed}-{workload}-{place.replicas}-{place.registry}",
        clients=clients,
        flows=options.flows,
        sizes=options.sizes,
        pull_share=options.pull_share,
        tries=CLIENT_TRIES if options.chaos else 1,
        prepared_bytes=int(links * (options.warm_up_s + options.duration_s) / clients),
    )


def _moment_at(
    moment: float, trees: Mapping[str, ProcessTree], place: Place, fleet: Fleet, tell: Tell
) -> _Moment:
    """Wait for a moment, telling how far the run is, and look at everything then."""
    while (left_s := moment - time.monotonic()) > 0:
        time.sleep(min(left_s, PROGRESS_S))
        tell(fleet.progress())
    calls = place.site.way.calls() if place.site is not None else 0
    operations: Counter[str] = place.cluster.store_operations() if place.cluster is not None else Counter()
    return _Moment(all_cpu_s(trees), busy_s(), calls, operations)


def _run(place: Place, load: Load, outcome: Outcome) -> Run:
    workload = WORKLOADS[load.workload]
    moved = (outcome.sent_bytes + outcome.received_bytes) / 1e6 / outcome.duration_s
    per_s = len(outcome.latencies_ms.get(workload.headline, ())) / outcome.duration_s
    return Run(
        place.registry,
        place.replicas,
        load.workload,
        workload.unit,
        load.seed,
        load.clients,
        outcome.duration_s,
        throughput=moved if workload.unit == "MB/s" else per_s,
        mb_per_s=moved,
        operations_per_s=per_s,
        latencies_ms={kind: latencies_of(values) for kind, values in sorted(outcome.latencies_ms.items())},
        acknowledged=outcome.acknowledged,
        retries=outcome.retries,
        errors=list(outcome.errors),
        error_count=outcome.error_count,
    )


def _note_costs(run: Run, times: Times, before: _Moment, after: _Moment) -> None:
    """Note what was used between two moments; a replica that was killed meanwhile took what it took with it."""
    duration_s = times.until - times.count_from
    run.cpu_cores = {
        name: round(max(0.0, after.cpu_s[name] - before.cpu_s[name]) / duration_s, 4) for name in before.cpu_s
    }
    run.busy_cores = round((after.busy_s - before.busy_s) / duration_s, 3)
    operations = run.operations_per_s * duration_s
    if operations and after.store_calls:
        run.store_calls = (after.store_calls - before.store_calls) / operations
        differences = after.store_operations - before.store_operations
        run.store_operations = {name: count / operations for name, count in sorted(differences.items())}
