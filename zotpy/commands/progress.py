"""A line at the terminal that says how far a copy is."""

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import Progress, ProgressColumn, SpinnerColumn, Task, TextColumn, TimeElapsedColumn
from rich.text import Text

from zotpy.commands.shared import size
from zotpy.importing.tally import Tally


class _Counts(ProgressColumn):
    """Reads the tally each time that the line is drawn."""

    def __init__(self, tally: Tally) -> None:
        super().__init__()
        self._tally = tally

    def render(self, task: Task) -> Text:
        tally, seconds = self._tally, task.elapsed or 0.0
        tags = f"{tally.tags_copied + tally.tags_unchanged:,} tags, {tally.tags_copied:,} of them new"
        speed = f"{size(round(tally.bytes_copied / seconds))}/s" if seconds > 1 else ""
        problems = f"{len(tally.problems):,} problems" if tally.problems else ""
        counts = (f"{tally.repositories:,} repositories", tags, f"{tally.blobs_copied:,} blobs")
        return Text(", ".join(filter(None, (*counts, size(tally.bytes_copied), speed, problems))))


@contextmanager
def shown(tally: Tally) -> Iterator[None]:
    """Show how far it is, while the block runs, if standard error is a terminal."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield
        return
    columns = (SpinnerColumn(), TextColumn("{task.description}"), _Counts(tally), TimeElapsedColumn())
    with Progress(*columns, console=console) as progress:
        progress.add_task("copying", total=None)
        yield
