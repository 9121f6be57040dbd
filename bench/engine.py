"""The engine of one replica beside CNCF distribution 3, on one store in one run.

    python bench/engine.py                                    all workloads on SeaweedFS
    python bench/engine.py push-cpu --store versitygw --rounds 5 --json engine.json

Exit status 0: all answers were as they must be, whatever the times; 1: a result is invalid; 2: a program is missing
or did not start.
"""

import argparse
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).parents[1])  # the checkout, not this folder

from rich.console import Console

from bench.measures import MIB
from bench.micro.hashing import hashlib_sha256
from bench.micro.timing import cpu_s_per_gib
from bench.results import Results
from bench.running import Plan, run_plan
from bench.servers.processes import NotReady, ProgramMissing
from bench.servers.registries import registries, registry_version
from bench.servers.stores import STORES
from bench.tables import comparison_table, wide_console
from bench.workloads.cases import QUICK, Case, Sizes
from bench.workloads.distance import latency_cases
from bench.workloads.links import piece_cases, window_cases
from bench.workloads.small import small_cases
from bench.workloads.volume import pull_cases, push_cases

WORKLOADS: dict[str, Callable[[Sizes], list[Case]]] = {
    "push-cpu": push_cases,
    "pull-cpu": pull_cases,
    "latency": latency_cases,
    "small": small_cases,
    "pieces": piece_cases,
    "windows": window_cases,
}
ROUNDS, QUICK_ROUNDS = 3, 1


@dataclass(frozen=True)
class Options:
    """What the command line asks for."""

    workloads: tuple[str, ...] = tuple(WORKLOADS)
    store: str = "seaweedfs"
    rounds: int = ROUNDS
    sizes: Sizes = field(default_factory=Sizes)
    against: str | None = "distribution"
    seed: str = "1"
    workers: int = 1

    @property
    def registries(self) -> list[str]:
        """What is measured, ours first."""
        return [name for name in ("zotpy", self.against) if name is not None]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what the command line asks for and return the exit status."""
    parser = _parser()
    parsed = parser.parse_args(arguments)
    if unknown := set(parsed.workloads) - WORKLOADS.keys():
        parser.error(f"unknown: {', '.join(sorted(unknown))}")
    options = _options(parsed)
    console = wide_console()
    try:
        results = measure(options, console)
    except (ProgramMissing, NotReady) as error:
        console.print(error, style="red", markup=False)
        return 2
    _show(console, options, results)
    if parsed.json is not None:
        results.write(parsed.json)
    return 0 if results.is_valid else 1


def measure(options: Options, console: Console) -> Results:
    """Run the workloads in a directory that is gone afterwards. Raises `ProgramMissing` or `NotReady`."""
    with tempfile.TemporaryDirectory(prefix="zotpy-bench-", ignore_cleanup_errors=True) as name:
        directory = Path(name)
        store = STORES[options.store](directory)
        results = Results(
            settings=asdict(options),
            versions={
                **{registry: registry_version(registry) for registry in options.registries},
                options.store: store.version(),
            },
            yardsticks={"sha256_cpu_s_per_gib": cpu_s_per_gib(hashlib_sha256())},
        )
        store.start()
        try:
            plan = Plan(cases(options), registries(options.registries, options.workers), options.rounds, options.seed)
            run_plan(plan, store, directory, results, console)
        finally:
            store.process.kill()  # asked to end, SeaweedFS waits 15 s; its data goes anyway
    return results


def cases(options: Options) -> list[Case]:
    """Return the cases of the workloads that are asked for."""
    return [case for workload in options.workloads for case in WORKLOADS[workload](options.sizes)]


def _show(console: Console, options: Options, results: Results) -> None:
    console.print(comparison_table(cases(options), options.registries, results.comparisons))
    console.print(f"SHA-256 alone: {results.yardsticks['sha256_cpu_s_per_gib']:.2f} CPU s/GiB (hashlib, one thread)")
    console.print(", ".join(f"{name} {version}" for name, version in results.versions.items()), highlight=False)
    for error in results.errors:
        console.print(f"[red]invalid:[/] {error}", highlight=False)


def _options(parsed: argparse.Namespace) -> Options:
    sizes = QUICK if parsed.quick else Sizes()
    if parsed.blob_mib is not None:
        size_bytes = parsed.blob_mib * MIB
        sizes = replace(sizes, blob_bytes=size_bytes, far_blob_bytes=size_bytes)
    if parsed.images is not None:
        sizes = replace(sizes, images_per_client=parsed.images)
    if parsed.clients is not None:
        sizes = replace(sizes, clients=parsed.clients)
    return Options(
        workloads=tuple(dict.fromkeys(parsed.workloads)) or tuple(WORKLOADS),
        store=parsed.store,
        rounds=parsed.rounds or (QUICK_ROUNDS if parsed.quick else ROUNDS),
        sizes=sizes,
        against=None if parsed.against == "none" else parsed.against,
        seed=parsed.seed,
        workers=parsed.workers,
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("workloads", nargs="*", metavar="WORKLOAD", help=", ".join(WORKLOADS))
    parser.add_argument("--store", choices=sorted(STORES), default="seaweedfs")
    parser.add_argument("--rounds", type=int, metavar="N", help=f"samples of each registry (default {ROUNDS})")
    parser.add_argument("--quick", action="store_true", help="smaller blobs, fewer images, one round")
    parser.add_argument("--blob-mib", type=int, metavar="N", help="size of the large blobs, 256 and 100 unless given")
    parser.add_argument("--images", type=int, metavar="N", help="images of each client in `small` (default 200)")
    parser.add_argument("--clients", type=int, metavar="N", help="clients at once in `small` (default 16)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all that was found")
    parser.add_argument("--against", choices=["distribution", "none"], default="distribution")
    parser.add_argument("--workers", type=int, default=1, metavar="N", help="processes of zotpy (default 1)")
    parser.add_argument("--seed", default="1", help="of the content")
    return parser


if __name__ == "__main__":
    sys.exit(main())
