"""What the load generator can do: the same work on a registry that does nothing, with nothing between."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.cluster.options import Options
from bench.cluster.runs import Ability
from bench.load.fleet import Fleet
from bench.load.spec import Target
from bench.load.workloads import WORKLOADS
from bench.measures import all_cpu_s
from bench.servers.processes import Process, accepts, free_port

WARM_UP_S, DURATION_S = 0.3, 1.0
PREPARED_BYTES_PER_S = 2e9


@contextmanager
def null_registry(directory: Path) -> Iterator[Target]:
    """Run the registry that does nothing. Raises `NotReady`."""
    port = free_port()
    process = Process.of_module("null", "bench.servers.null", ["--port", str(port)], directory)
    try:
        process.start(lambda: accepts(port))
        yield Target(f"http://127.0.0.1:{port}")
    finally:
        process.kill()


def ability(fleet: Fleet, target: Target, workload: str, options: Options) -> Ability:
    """Return what the generator reaches with as many clients as there will be at most. Raises `LoadFailed`."""
    terms = options.terms(workload)
    prepared_bytes = int(PREPARED_BYTES_PER_S * (WARM_UP_S + DURATION_S))
    fleet.load(options.load(workload, target, "null", terms.clients * max(options.counts(terms)), prepared_bytes))
    before = all_cpu_s(fleet.trees)
    duration_s = min(DURATION_S, options.duration_s)
    outcome = fleet.outcome(fleet.begin(WARM_UP_S, duration_s))
    used_s = sum(all_cpu_s(fleet.trees).values()) - sum(before.values())
    kind = WORKLOADS[workload]
    reached = outcome.mb_per_s if kind.unit == "MB/s" else outcome.per_s(kind.headline)
    return Ability(reached, kind.unit, used_s / (WARM_UP_S + duration_s))
