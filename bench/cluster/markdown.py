"""`python -m bench.cluster.markdown results.json ...`: what runs found as tables for `docs/benchmarks.md`."""

import sys
from collections.abc import Sequence
from pathlib import Path

from bench.cluster.costs import PRICES, cost_rows
from bench.cluster.results import Report, read_report
from bench.cluster.runs import Run
from bench.cluster.tables import TEXTS, cells, filled, notes, ordered

PARTS = ("replica", "balancer", "store", "relay", "link", "generator")
"""The processes whose CPU is told, by the beginnings of their names."""


def document(report: Report) -> str:
    """Return the figures, the CPU of each part, the limits, and what makes it invalid if anything does."""
    said = [f"- {note}" for note in (*notes(report), *(f"INVALID: {error}" for error in report.errors))]
    rows = [dict(cells(report, run)) for run in ordered(report)]
    costs = [*_table(cost_rows(report)), "", f"- {PRICES}", ""] if report.settings.get("cost") else []
    return "\n".join([*costs, *_table(rows), "", *_table([_parts(run) for run in ordered(report)]), "", *said, ""])


def _parts(run: Run) -> dict[str, str]:
    """Return the cores that each part kept busy."""
    row = {"workload": run.workload, "registry": run.registry, "replicas": str(run.replicas)}
    row |= {f"{part}, cores": f"{run.cores_of(part):.2f}" for part in PARTS}
    return {**row, "others, cores": f"{run.other_cores:.2f}"}


def _table(rows: Sequence[dict[str, str]]) -> list[str]:
    """Return a table without the columns that are empty in every row."""
    titles = filled(rows)
    if not titles:
        return []
    marks = ["---" if title in TEXTS else "---:" for title in titles]
    body = [[row[title] for title in titles] for row in rows]
    return [f"| {' | '.join(words)} |" for words in (titles, marks, *body)]


def main(arguments: Sequence[str]) -> None:
    """Print each file that is named."""
    for name in arguments:
        print(document(read_report(Path(name))))


if __name__ == "__main__":
    main(sys.argv[1:])
