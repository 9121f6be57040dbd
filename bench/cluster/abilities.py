"""What the load generator can do: the same work on a registry that does nothing, with no link between them."""

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
PREPARED_BYTES_PER_S, PREPARED_LAYERS_PER_S = 2e9, 4_000
"""Content of which digests are computed before: more than the generator pushes, whether layers are long or short."""


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
    warm_up_s, duration_s = min(WARM_UP_S, options.warm_up_s), min(DURATION_S, options.duration_s)
    prepared_bytes_per_s = min(PREPARED_BYTES_PER_S, PREPARED_LAYERS_PER_S * terms.layer_bytes)
    prepared_bytes = int(prepared_bytes_per_s * (warm_up_s + duration_s))
    fleet.load(options.load(workload, target, "null", terms.clients * max(options.counts(terms)), prepared_bytes))
    before = all_cpu_s(fleet.trees)
    kind = WORKLOADS[workload]
    if kind.once:
        fleet.begin_once()
    else:
        fleet.begin(warm_up_s, duration_s)
    outcome = fleet.outcome()
    used_s = sum(all_cpu_s(fleet.trees).values()) - sum(before.values())
    reached = outcome.mb_per_s if kind.unit == "MB/s" else outcome.per_s(kind.headline)
    return Ability(reached, kind.unit, used_s / (outcome.duration_s + (0 if kind.once else warm_up_s)))
