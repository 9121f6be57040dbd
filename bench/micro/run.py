"""The hot paths one by one: CPU seconds for each GiB, or microseconds for each call."""

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).parents[2])  # the checkout, not this folder

from rich.console import Console
from rich.table import Table

from bench.micro import documents, exchanges, hashing, passing, signing
from bench.micro.timing import RUN_S, Micro, cpu_s_per_call, cpu_s_per_gib

GROUPS: dict[str, Callable[[], list[Micro]]] = {
    "hashing": hashing.micros,
    "signing": signing.micros,
    "documents": documents.micros,
    "exchanges": exchanges.micros,
    "passing": passing.micros,
}
QUICK_RUN_S = 0.01


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure what the command line names and print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("groups", nargs="*", metavar="GROUP", help=", ".join(GROUPS))
    parser.add_argument("--quick", action="store_true")
    parsed = parser.parse_args(arguments)
    if unknown := set(parsed.groups) - GROUPS.keys():
        parser.error(f"unknown: {', '.join(sorted(unknown))}")
    table = Table("group", "path")
    table.add_column("CPU", justify="right")
    table.add_column("unit")
    run_s = QUICK_RUN_S if parsed.quick else RUN_S
    for group in parsed.groups or GROUPS:
        for micro in GROUPS[group]():
            value = cpu_s_per_gib(micro, run_s) if micro.size_bytes else 1e6 * cpu_s_per_call(micro, run_s)
            table.add_row(group, micro.name, f"{value:.3g}", micro.unit)
    Console().print(table)
    return 0


if __name__ == "__main__":
    sys.exit(main())
