"""Progress while a benchmark runs, and the table it fills."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from rich.console import Console, Group
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from bench.results import Comparison, Results, Spread
from bench.workloads.cases import Case

STYLES = {"met": "green", "missed": "red", "no peer": "yellow", "": ""}


PLAIN_WIDTH = 130
"""Where the output is a file, and no terminal says how wide it is."""


def wide_console() -> Console:
    """Return the console for the tables."""
    console = Console()
    return console if console.is_terminal else Console(width=PLAIN_WIDTH)


@dataclass
class Board:
    """What is on the screen: on a terminal it changes as samples come in, else only its end is printed."""

    live: Live
    progress: Progress
    cases: Sequence[Case]
    registries: Sequence[str]

    def begin(self, what: str) -> None:
        """Say what runs now."""
        self.progress.update(self.progress.task_ids[0], description=what)

    def done(self, results: Results) -> None:
        """Count one sample, and show the table with it."""
        self.progress.advance(self.progress.task_ids[0])
        self.live.update(Group(comparison_table(self.cases, self.registries, results.comparisons), self.progress))


@contextmanager
def board(console: Console, cases: Sequence[Case], registries: Sequence[str], samples: int) -> Iterator[Board]:
    """Show progress and table while the block runs; neither stays behind."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    progress = Progress(*columns, console=console, auto_refresh=False)
    progress.add_task("starting", total=samples)
    with Live(progress, console=console, refresh_per_second=2, transient=True) as live:  # refreshing costs CPU
        yield Board(live, progress, cases, registries)


def comparison_table(cases: Sequence[Case], registries: Sequence[str], comparisons: Sequence[Comparison]) -> Table:
    """Return one row for each measure: least, median and most of each registry, ratio, target, verdict."""
    table = Table(title="least / median / most")
    for title in ("workload", "measure"):
        table.add_column(title)
    for title in (*registries, "ratio", "target"):
        table.add_column(title, justify="right")
    table.add_column("verdict")
    titles = {(case.name, row.metric): row.title for case in cases for row in case.rows}
    last = ""
    for one in comparisons:
        table.add_row(
            "" if one.case == last else one.case,
            titles[one.case, one.metric],
            *(_spread(one.spreads.get(registry)) for registry in registries),
            "" if one.ratio is None else f"{one.ratio:.2f}",
            one.target,
            f"[{STYLES[one.verdict]}]{one.verdict}" if one.verdict else "",
        )
        last = one.case
    return table


def _spread(spread: Spread | None) -> str:
    if spread is None:
        return ""
    if spread.count == 1:
        return _number(spread.median)
    return " / ".join(_number(value) for value in (spread.least, spread.median, spread.most))


def _number(value: float) -> str:
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"  # noqa: PLR2004 - three digits are enough
