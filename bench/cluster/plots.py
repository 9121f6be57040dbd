"""The figures as pictures, each as SVG and as PNG."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from bench.cluster.results import Report
from bench.cluster.runs import Run

FORMATS = ("svg", "png")
MOST_COLUMNS = 4


class NoPlots(Exception):
    """What draws is not installed; the message says how to get it."""


def draw(report: Report, directory: Path) -> list[Path]:
    """Draw all figures into a directory and return the files; none where nothing ran. Raises `NoPlots`."""
    if not report.runs:
        return []
    try:
        from matplotlib.figure import Figure  # noqa: PLC0415 - only who draws needs it
    except ImportError as error:
        msg = "plots are drawn by matplotlib: pip install matplotlib"
        raise NoPlots(msg) from error
    medians = report.medians
    workloads = list(dict.fromkeys(run.workload for run in medians))
    columns = min(MOST_COLUMNS, len(workloads))
    rows = -(-len(workloads) // columns)
    files = []
    for name, (title, panel) in FIGURES.items():
        figure = Figure(figsize=(4.2 * columns, 3.4 * rows), layout="constrained")
        figure.suptitle(title)
        for index, workload in enumerate(workloads):
            axes = figure.add_subplot(rows, columns, index + 1)
            runs = sorted((run for run in medians if run.workload == workload), key=lambda run: run.replicas)
            axes.set_title(workload)
            axes.set_xlabel("replicas")
            axes.set_xticks(sorted({run.replicas for run in runs}))
            axes.set_ylabel(panel(axes, runs))
            axes.set_ylim(bottom=0)
            axes.grid(visible=True, alpha=0.3)
            if axes.get_legend_handles_labels()[0]:
                axes.legend(fontsize="small")
        for form in FORMATS:
            path = directory / f"{name}.{form}"
            figure.savefig(path, dpi=110, metadata={"Date": None} if form == "svg" else None)
            files.append(path)
    return files


def _registries(runs: list[Run]) -> dict[str, list[Run]]:
    found: dict[str, list[Run]] = {}
    for run in runs:
        found.setdefault(run.registry, []).append(run)
    return found


def _lines(
    axes: Any, runs: list[Run], value: Callable[[Run], float | None], label: str = "{}", style: str = "-o"
) -> None:
    """Draw a line for each registry, without the runs of which nothing is known."""
    for registry, ours in _registries(runs).items():
        known = [(run.replicas, value(run)) for run in ours if value(run) is not None]
        axes.plot([count for count, _ in known], [each for _, each in known], style, label=label.format(registry))


def _throughput(axes: Any, runs: list[Run]) -> str:
    _lines(axes, runs, lambda run: run.throughput)
    for line, (registry, ours) in zip(axes.get_lines(), _registries(runs).items(), strict=True):
        ideal = [ours[0].throughput * run.replicas / ours[0].replicas for run in ours]
        label = f"{registry}, ideal"
        axes.plot([run.replicas for run in ours], ideal, "--", color=line.get_color(), alpha=0.5, label=label)
    return runs[0].unit


def _latencies(axes: Any, runs: list[Run]) -> str:
    for name, style in (("p50", ".-"), ("p90", ".--"), ("p99", ".:")):
        _lines(axes, runs, lambda run, name=name: getattr(run.headline, name, None), f"{{}}, {name}", style)  # type: ignore[misc]
    return "ms"


def _cpu(axes: Any, runs: list[Run]) -> str:
    _lines(axes, runs, lambda run: run.cost("replica"))
    _lines(axes, runs, lambda run: run.cost("store"), "its store", "o:")
    return "CPU s per GiB" if runs[0].unit == "MB/s" else "CPU ms per operation"


def _memory(axes: Any, runs: list[Run]) -> str:
    _lines(axes, runs, lambda run: run.highest_peak_mib)
    return "peak RSS of a replica, MiB"


def _store_calls(axes: Any, runs: list[Run]) -> str:
    _lines(axes, runs, lambda run: run.store_calls)
    return "store calls per operation"


Panel = Callable[[Any, list[Run]], str]
"""Draws, and returns what the vertical axis shows."""
FIGURES: dict[str, tuple[str, Panel]] = {
    "throughput": ("Aggregate throughput", _throughput),
    "latency": ("How long an operation takes", _latencies),
    "cpu": ("CPU of replicas and store", _cpu),
    "memory": ("Memory of a replica", _memory),
    "store-calls": ("Store calls per operation", _store_calls),
}
