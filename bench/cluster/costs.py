"""What calls to the store cost: counted on the way to it, at the prices that Amazon S3 publishes."""

from collections.abc import Mapping, Sequence

from rich.table import Table

from bench.cluster.results import Report
from bench.cluster.runs import Run

PRICES = "Amazon S3 Standard, US East (N. Virginia), list prices of 2025, USD; traffic within the region is free"
"""https://aws.amazon.com/s3/pricing/, "Requests & data retrievals"."""
WRITES_USD, READS_USD = 0.005, 0.0004
"""The price of 1,000 PUT, COPY, POST or LIST requests, and of 1,000 GET and other requests. DELETE and CANCEL are
free."""
READS = {"GetObject", "HeadObject", "HeadBucket"}
FREE = {"DeleteObject", "DeleteObjects", "AbortMultipartUpload"}
BUILDS = 1000


def price_usd(operation: str) -> float:
    """Return the price of 1,000 calls. What is not known costs what the dearest do."""
    return 0.0 if operation in FREE else READS_USD if operation in READS else WRITES_USD


def cost_usd(operations: Mapping[str, float]) -> float:
    """Return what `BUILDS` operations of a workload cost, each of which makes so many calls of each kind."""
    return sum(count * price_usd(name) for name, count in operations.items()) * BUILDS / 1000


def cost_rows(report: Report) -> list[dict[str, str]]:
    """Return, for each workload, a row for each operation of the store, and one with the sums."""
    rows: list[dict[str, str]] = []
    for workload in dict.fromkeys(run.workload for run in report.runs):
        runs = [run for run in report.medians if run.workload == workload]
        for name in sorted({name for run in runs for name in run.store_operations}):
            counts = [run.store_operations.get(name, 0.0) for run in runs]
            rows.append(_row(workload, name, f"{price_usd(name):g}", runs, [f"{count:.2f}" for count in counts]))
        totals = [sum(run.store_operations.values()) for run in runs]
        rows.append(_row(workload, "all", "", runs, [f"{total:.2f}" for total in totals]))
        costs = [cost_usd(run.store_operations) for run in runs]
        rows.append(_row(workload, f"USD for {BUILDS:,}", "", runs, [f"{cost:.4f}" for cost in costs]))
    return rows


def _row(workload: str, name: str, price: str, runs: Sequence[Run], words: Sequence[str]) -> dict[str, str]:
    titles = [f"{run.registry}, {run.replicas}" for run in runs]
    return {"workload": workload, "calls/op": name, "USD/1,000": price, **dict(zip(titles, words, strict=True))}


def cost_table(report: Report) -> Table:
    """Return them as a table."""
    rows = cost_rows(report)
    table = Table(title=PRICES)
    for title in rows[0] if rows else ():
        is_text = title in {"workload", "calls/op"}
        table.add_column(title, justify="left" if is_text else "right", no_wrap=is_text)
    for row in rows:
        table.add_row(*row.values())
    return table
