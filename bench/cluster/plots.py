"""What replicas add, as pictures, each as SVG and as PNG."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from bench.cluster.results import Report
from bench.cluster.runs import Run
from bench.load.workloads import WORKLOADS

FORMATS = ("svg", "png")
MOST_COLUMNS = 4


class NoPlots(Exception):
    """What draws is not installed; the message says how to get it."""


def draw(report: Report, directory: Path) -> list[Path]:
    """Draw all figures into a directory and return the files. Raises `NoPlots`.

    A workload of one replica has no panel, because it has no curve. If no other one ran, nothing is drawn.
    """
    medians = [run for run in report.medians if not WORKLOADS[run.workload].terms.alone]
    if not medians:
        return []
    try:
        from matplotlib.figure import Figure as Drawing  # noqa: PLC0415 - only who draws needs it
    except ImportError as error:
        msg = "plots are drawn by matplotlib: pip install matplotlib"
        raise NoPlots(msg) from error
    workloads = list(dict.fromkeys(run.workload for run in medians))
    columns = min(MOST_COLUMNS, len(workloads))
    rows = -(-len(workloads) // columns)
    files = []
    for name, figure in FIGURES.items():
        drawing = Drawing(figsize=(4.2 * columns, 3.4 * rows), layout="constrained")
        drawing.suptitle(figure.title)
        for index, workload in enumerate(workloads):
            axes = drawing.add_subplot(rows, columns, index + 1)
            runs = sorted((run for run in medians if run.workload == workload), key=lambda run: run.replicas)
            axes.set_title(workload)
            axes.set_xlabel("replicas")
            axes.set_xticks(sorted({run.replicas for run in runs}))
            axes.set_ylabel(figure.axis(runs[0]))
            _draw_lines(axes, figure, runs)
            axes.set_ylim(bottom=0)
            axes.grid(visible=True, alpha=0.3)
            if axes.get_legend_handles_labels()[0]:
                axes.legend(fontsize="small")
        for form in FORMATS:
            path = directory / f"{name}.{form}"
            drawing.savefig(path, dpi=110, metadata={"Date": None} if form == "svg" else None)
            files.append(path)
    return files


def _registries(runs: list[Run]) -> dict[str, list[Run]]:
    found: dict[str, list[Run]] = {}
    for run in runs:
        found.setdefault(run.registry, []).append(run)
    return found


def _draw_lines(axes: Any, figure: "Figure", runs: list[Run]) -> None:
    """Draw the lines of each registry, without the runs of which nothing is known."""
    for registry, ours in _registries(runs).items():
        for label, style, value in figure.lines:
            known = [(run.replicas, value(run)) for run in ours if value(run) is not None]
            axes.plot([count for count, _ in known], [each for _, each in known], style, label=label.format(registry))
        if figure.has_ideal:
            ideal = [ours[0].throughput * run.replicas / ours[0].replicas for run in ours]
            faint = {"linestyle": "--", "color": axes.get_lines()[-1].get_color(), "alpha": 0.5}
            axes.plot([run.replicas for run in ours], ideal, label=f"{registry}, ideal", **faint)


class Figure(NamedTuple):
    """One figure: a panel for each workload, in it some lines for each registry."""

    title: str
    axis: Callable[[Run], str]
    lines: list[tuple[str, str, Callable[[Run], float | None]]]
    """Label, style, and what is shown of a run."""
    has_ideal: bool = False


FIGURES = {
    "throughput": Figure(
        "Aggregate throughput", lambda run: run.unit, [("{}", "o-", lambda run: run.throughput)], has_ideal=True
    ),
    "latency": Figure(
        "How long an operation takes",
        lambda _: "ms",
        [
            ("{}, p50", ".-", lambda run: run.headline.p50 if run.headline else None),
            ("{}, p90", ".--", lambda run: run.headline.p90 if run.headline else None),
            ("{}, p99", ".:", lambda run: run.headline.p99 if run.headline else None),
        ],
    ),
    "cpu": Figure(
        "CPU of replicas and store",
        lambda run: "CPU s per GiB" if run.unit == "MB/s" else "CPU ms per operation",
        [("{}", "o-", lambda run: run.cost("replica")), ("its store", "o:", lambda run: run.cost("store"))],
    ),
    "memory": Figure(
        "Memory of a replica", lambda _: "peak RSS of a replica, MiB", [("{}", "o-", lambda run: run.highest_peak_mib)]
    ),
    "store-calls": Figure(
        "Store calls per operation", lambda _: "store calls per operation", [("{}", "o-", lambda run: run.store_calls)]
    ),
}
