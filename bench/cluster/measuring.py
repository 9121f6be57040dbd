"""One run: a load on a cluster, and what it cost while it counted."""

import time
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import Self

from bench.cluster.chaos import CLIENT_TRIES, Chaos
from bench.cluster.guessing import guesses
from bench.cluster.options import UNGUESSED, Options
from bench.cluster.runs import Run, latencies_of
from bench.cluster.site import Cluster, Site
from bench.load.fleet import Fleet
from bench.load.spec import Load, Outcome, SoFar, Target
from bench.load.verifying import Check
from bench.load.workloads import WORKLOADS
from bench.measures import MIB, ProcessTree, all_cpu_s, busy_s

PROGRESS_S = 0.5
UNKNOWN_LINK_BYTES_PER_S = 200e6
"""The rate for which content is prepared if the link is not known."""
EXISTENCE, WHOLE_BLOBS = 100, 1
"""How much each process of the generator checks; with chaos, everything."""
EVERYTHING = 1_000_000
LONGER = (4, 16)
"""How many times the duration a run has that is repeated, as its clients finished nothing within it."""
ALL, SENT = "all", "sent"
"""The store calls, and the bytes that the store has sent; an operation is named as S3 does."""

Tell = Callable[[SoFar], None]


@dataclass(frozen=True)
class Place:
    """The registry that a load goes to, and what can be measured there."""

    registry: str
    replicas: int
    target: Target
    trees: Mapping[str, ProcessTree]
    cluster: Cluster | None = None
    site: Site | None = None


@dataclass(frozen=True)
class _Used:
    """What had been used up to one moment."""

    moment_s: float
    cpu_s: dict[str, float]
    busy_s: float
    carried: tuple[int, int] | None
    """The bytes that all links have carried to the replicas, and from them."""

    @classmethod
    def now(cls, trees: Mapping[str, ProcessTree], place: Place) -> Self:
        """Look at everything."""
        carried = place.site.network.carried() if place.site is not None else None
        moment_s = time.monotonic()  # before the CPU is looked up: on a busy machine that takes a part of a short run
        return cls(moment_s, all_cpu_s(trees), busy_s(), carried)


@dataclass(frozen=True)
class _Driven:
    """The outcome of a load, and what had been used before and after it."""

    outcome: Outcome
    before: _Used
    after: _Used
    calls_before: Counter[str] | None
    calls_after: Counter[str] | None


def measure_something(fleet: Fleet, place: Place, workload: str, options: Options, tell: Tell, turn: int = 1) -> Run:
    """Run one workload, again for a longer time if its clients finished nothing. Raises `LoadFailed`."""
    run = measure(fleet, place, workload, options, tell, turn)
    for times in LONGER:
        if run.operations_per_s or run.errors or run.lost:
            break
        longer = replace(options, seed=f"{options.seed}x{times}", duration_s=options.duration_s * times)
        run = measure(fleet, place, workload, longer, tell, turn)
    return run


def measure(fleet: Fleet, place: Place, workload: str, options: Options, tell: Tell, turn: int = 1) -> Run:
    """Run one workload and check what it left. Raises `LoadFailed`."""
    load = load_for(place, workload, options, turn)
    fleet.load(load)
    trees = {**place.trees, **fleet.trees}
    chaos = Chaos(place.cluster.replicas, load.seed) if options.chaos and place.cluster is not None else None
    for tree in trees.values():
        tree.reset_peak()
    guessed: Mapping[str, int] = {}
    with ExitStack() as meanwhile:
        if chaos is not None:
            meanwhile.enter_context(chaos.during())
        if options.guesses_per_s and place.target.user is not None and place.registry != UNGUESSED:
            guessed = meanwhile.enter_context(guesses(place.target, options.guesses_per_s, options.warm_up_s / 2))
        driven = _drive(fleet, place, workload, options, tell, trees)
    outcome, before, after = driven.outcome, driven.before, driven.after
    run = replace(_run(place, load, outcome), turn=turn, guesses=dict(guessed))
    _note_costs(run, before, after)
    _note_store_calls(run, driven.calls_before, driven.calls_after)
    run.peak_rss_mib = {name: round(tree.peak_rss_bytes() / MIB, 1) for name, tree in trees.items()}
    link_bytes_per_s = options.link_bytes_per_s(options.terms(workload))
    if link_bytes_per_s is not None:
        links = link_bytes_per_s * place.replicas
        run.link_use = run.mb_per_s * 1e6 / links
        if before.carried is not None and after.carried is not None:
            wall_s = after.moment_s - before.moment_s
            ways = zip(before.carried, after.carried, strict=True)
            run.links_to_replicas, run.links_from_replicas = ((end - begin) / wall_s / links for begin, end in ways)
    if chaos is not None:
        run.kills, run.error_count = chaos.kills, run.error_count + len(chaos.failures)
        run.errors += chaos.failures
    check = Check(EVERYTHING, EXISTENCE, outcome.shared) if chaos else Check(EXISTENCE, WHOLE_BLOBS, outcome.shared)
    verdict = fleet.verify(check)
    run.checked, run.read_back_bytes = verdict.checked, verdict.read_bytes
    run.lost, run.lost_count = verdict.lost, verdict.lost_count
    return run


def _drive(
    fleet: Fleet, place: Place, workload: str, options: Options, tell: Tell, trees: Mapping[str, ProcessTree]
) -> _Driven:
    """Let the clients do what they are loaded with, for a time or once. Store calls are counted outside of it."""
    if WORKLOADS[workload].once:
        calls_before = _store_calls(place)
        before = _Used.now(trees, place)
        fleet.begin_once()
        outcome = fleet.outcome()
        after = _Used.now(trees, place)
        after = replace(after, moment_s=before.moment_s + outcome.duration_s)  # without the time to the beginning
        return _Driven(outcome, before, after, calls_before, _store_calls(place))
    times = fleet.begin(options.warm_up_s, options.duration_s)
    _wait_until(times.count_from, fleet, tell)
    calls_before = _store_calls(place)
    before = _Used.now(trees, place)
    _wait_until(times.until, fleet, tell)
    after = _Used.now(trees, place)
    calls_after = _store_calls(place)
    return _Driven(fleet.outcome(), before, after, calls_before, calls_after)


def load_for(place: Place, workload: str, options: Options, turn: int) -> Load:
    """Return the load for so many replicas; in each turn all registries get the same, and other than before."""
    terms = options.terms(workload)
    clients = terms.clients * (1 if options.target is not None else place.replicas)
    links = (options.link_bytes_per_s(terms) or UNKNOWN_LINK_BYTES_PER_S) * place.replicas
    if terms.link is not None:
        links = terms.link.bytes_per_s * clients
    prepared_bytes = int(links * (options.warm_up_s + options.duration_s))
    load = options.load(workload, place.target, f"{place.replicas}-{turn}", clients, prepared_bytes)
    return replace(load, link=terms.link, tries=CLIENT_TRIES if options.chaos else 1)


def _wait_until(moment: float, fleet: Fleet, tell: Tell) -> None:
    """Wait for a moment, telling how far the run is."""
    while (left_s := moment - time.monotonic()) > 0:
        time.sleep(min(left_s, PROGRESS_S))
        tell(fleet.progress())


def _store_calls(place: Place) -> Counter[str] | None:
    """Return the counts so far, all and by operation, outside the time in which CPU is counted."""
    if place.site is None:
        return None
    calls, sent_bytes, operations = place.site.way.counts()
    return operations + Counter({ALL: calls, SENT: sent_bytes})


def _run(place: Place, load: Load, outcome: Outcome) -> Run:
    workload = WORKLOADS[load.workload]
    per_s = outcome.per_s(workload.headline)
    return Run(
        place.registry,
        place.replicas,
        load.workload,
        workload.unit,
        load.seed,
        load.clients,
        outcome.duration_s,
        throughput=outcome.mb_per_s if workload.unit == "MB/s" else per_s,
        mb_per_s=outcome.mb_per_s,
        operations_per_s=per_s,
        latencies_ms={kind: latencies_of(values) for kind, values in sorted(outcome.latencies_ms.items())},
        acknowledged=outcome.acknowledged,
        retries=outcome.retries,
        errors=list(outcome.errors),
        error_count=outcome.error_count,
    )


def _note_costs(run: Run, before: _Used, after: _Used) -> None:
    """Note what was used between two moments; a replica that was killed meanwhile took what it took with it."""
    wall_s = after.moment_s - before.moment_s
    used_s = {name: max(0.0, after.cpu_s[name] - seconds) for name, seconds in before.cpu_s.items()}
    run.cpu_cores = {name: round(seconds / wall_s, 4) for name, seconds in used_s.items()}
    run.busy_cores = round((after.busy_s - before.busy_s) / wall_s, 3)


def _note_store_calls(run: Run, before: Counter[str] | None, after: Counter[str] | None) -> None:
    operations = run.operations_per_s * run.duration_s
    if before is None or after is None or not operations:
        return
    differences = after - before
    run.store_calls = differences.pop(ALL, 0) / operations
    run.store_sent_mib = differences.pop(SENT, 0) / operations / MIB
    run.store_operations = {name: count / operations for name, count in sorted(differences.items())}
