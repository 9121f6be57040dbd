"""What is on the screen while a run goes on, and the table that stays."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from rich.console import Console, Group
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from bench.cluster.results import Report, cost_ratio, p99_ratio, ratio, scaling, verdict
from bench.cluster.runs import Run
from bench.load.spec import SoFar
from bench.load.workloads import WORKLOADS

SHA256 = "sha256_cpu_s_per_gib"
"""What hashing alone costs on the machine. It makes the CPU seconds of two machines comparable."""
REFRESH_PER_S = 2
"""Refreshing costs CPU, which is measured here."""
TEXTS = {"workload", "registry", "limit", "wanted", "calls/op"}


def cells(report: Report, run: Run) -> list[tuple[str, str]]:
    """Return what is said of a run, by the titles of columns, for tables on the screen and in documents alike."""
    times = scaling(report, run)
    headline = run.headline
    per = "s/GiB" if run.unit == "MB/s" else "ms/op"
    has_cluster = "replica0" in run.cpu_cores
    return [
        ("workload", run.workload),
        ("registry", run.registry),
        ("replicas", str(run.replicas) if has_cluster else "?"),
        ("throughput", f"{number(run.throughput)} {run.unit}"),
        ("x of one", "" if times is None else f"{times:.2f}"),
        ("of links", "" if run.link_use is None else f"{run.link_use:.0%}"),
        ("links in/out", _ways(run)),
        ("p50 ms", "" if headline is None else number(headline.p50)),
        ("p99 ms", "" if headline is None else number(headline.p99)),
        ("CPU", f"{number(run.cost('replica') or 0)} {per}" if has_cluster and not run.kills else ""),
        ("store's CPU", f"{number(run.cost('store') or 0)} {per}" if has_cluster else ""),
        ("peak MiB", number(run.highest_peak_mib) if has_cluster else ""),
        ("busy cores", f"{run.busy_cores:.1f}"),
        ("of others", f"{run.other_cores:.1f}"),
        ("store calls/op", "" if run.store_calls is None else number(run.store_calls)),
        ("store sends MiB/op", "" if not run.store_sent_mib else number(run.store_sent_mib)),
        ("limit", run.limit if run.is_valid else "INVALID"),
        *(_beside_peer(report, run) if _has_peer(report) else []),
        *([("wanted", verdict(report, run))] if any(WORKLOADS[one.workload].goal for one in report.runs) else []),
    ]


def _beside_peer(report: Report, run: Run) -> list[tuple[str, str]]:
    ratios = {"of peer's": ratio, "CPU of peer's": cost_ratio, "p99 of peer's": p99_ratio}
    return [(title, _times(found(report, run))) for title, found in ratios.items()]


def _times(value: float | None) -> str:
    return "" if value is None else f"{value:.2f} x"


def _ways(run: Run) -> str:
    if run.links_to_replicas is None or run.links_from_replicas is None:
        return ""
    return f"{run.links_to_replicas:.0%} / {run.links_from_replicas:.0%}"


def _has_peer(report: Report) -> bool:
    return len({run.registry for run in report.runs}) > 1


def number(value: float) -> str:
    """Return a number with three digits that count."""
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"  # noqa: PLR2004 - three digits are enough


def ordered(report: Report) -> list[Run]:
    """Return the runs, the medians of their turns, by workload, registry and number of replicas."""
    workloads = list(dict.fromkeys(run.workload for run in report.runs))
    registries = list(dict.fromkeys(run.registry for run in report.runs))
    return sorted(
        report.medians,
        key=lambda run: (workloads.index(run.workload), registries.index(run.registry), run.replicas),
    )


def runs_table(report: Report) -> Table:
    """Return one row for each run."""
    table = Table()
    runs = ordered(report)
    rows = [dict(cells(report, run)) for run in runs]
    titles = filled(rows)
    for title in titles:
        is_text = title in TEXTS
        table.add_column(title, justify="left" if is_text else "right", no_wrap=is_text)
    for index, (run, row) in enumerate(zip(runs, rows, strict=True)):
        table.add_row(*(row[title] for title in titles), style="" if run.is_valid else "red")
        if index + 1 < len(runs) and runs[index + 1].workload != run.workload:
            table.add_section()
    return table


def filled(rows: Sequence[dict[str, str]]) -> list[str]:
    """Return the titles of the columns that are not empty in every row."""
    return [title for title in (rows[0] if rows else ()) if any(row[title] for row in rows)]


@dataclass
class Board:
    """The screen while it goes on: on a terminal it changes, else only the end is printed."""

    live: Live
    progress: Progress
    report: Report

    def begin(self, what: str) -> None:
        """Say what is done now."""
        self.progress.update(self.progress.task_ids[0], description=what)

    def teller(self, what: str) -> Callable[[SoFar], None]:
        """Return what shows how far a run is."""
        return lambda so_far: self.begin(f"{what}: {so_far['bytes'] / 1e6:.0f} MB, {so_far['operations']} operations")

    def done(self, outcome: str) -> None:
        """Count one run, and show the table with it. In a log, in which nothing can change, say what came of it."""
        self.progress.advance(self.progress.task_ids[0])
        if not self.live.console.is_terminal:
            self.live.console.print(outcome, markup=False, highlight=False)
        self.live.update(Group(runs_table(self.report), self.progress))


@contextmanager
def board(console: Console, report: Report, runs: int) -> Iterator[Board]:
    """Show progress and table while the block runs; neither stays behind."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    progress = Progress(*columns, console=console, auto_refresh=False)
    progress.add_task("starting", total=runs)
    with Live(progress, console=console, refresh_per_second=REFRESH_PER_S, transient=True) as live:
        yield Board(live, progress, report)


def show(console: Console, report: Report) -> None:
    """Print what was found, under which limits, and what to beware of."""
    console.print(runs_table(report))
    if SHA256 in report.machine:
        console.print(Text(f"SHA-256 alone: {report.machine[SHA256]:.2f} CPU s/GiB (hashlib, one thread)"))
    for note in notes(report):
        console.print(Text(note))
    for run in ordered(report):
        for warning in {text.split()[0]: text for text in run.warnings}.values():  # one of each kind, of all turns
            console.print(Text(f"warning: {run.name}: {warning}", style="yellow"))
    for error in report.errors:
        console.print(Text(f"INVALID: {error}", style="red"))


def notes(report: Report) -> list[str]:
    """Return the limits, what ran, and what chaos did, for the screen and for documents alike."""
    found = [f"{name}: {text}" for name, text in report.limits.items()]
    found += [f"{name} {version}" for name, version in report.versions.items()]
    for name, one in report.abilities.items():
        found.append(f"the generator alone, {name}: {number(one.throughput)} {one.unit} with {one.cpu_s:.1f} cores")
    for run in ordered(report):
        if run.kills:
            kept = f"{run.acknowledged} acknowledged, {run.checked} checked, {run.lost_count} lost"
            found.append(f"chaos, {run.name}: {run.kills} kills, {kept}")
    return found
