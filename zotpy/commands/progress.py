"""A line at the terminal that says how far a copy is."""

from collections.abc import Awaitable, Callable
from functools import partial
from typing import TypeVar

import trio
from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from zotpy.commands.shared import size
from zotpy.concurrency import watched
from zotpy.importing.tally import Tally

REDRAWN_S = 0.25
T = TypeVar("T")


async def shown(tally: Tally, work: Callable[[], Awaitable[T]]) -> T:
    """Do the work, and show meanwhile how far it is, if standard error is a terminal."""
    console = Console(stderr=True)
    if not console.is_terminal:
        return await work()
    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    with Progress(*columns, console=console) as progress:
        return await watched(partial(_keep_drawn, progress, tally), work)


async def _keep_drawn(progress: Progress, tally: Tally) -> None:
    line, began = progress.add_task("copying", total=None), trio.current_time()
    while True:
        await trio.sleep(REDRAWN_S)
        progress.update(line, description=_counts(tally, trio.current_time() - began))


def _counts(tally: Tally, seconds: float) -> str:
    tags = f"{tally.tags_copied + tally.tags_unchanged:,} tags, {tally.tags_copied:,} of them new"
    speed = f"{size(tally.bytes_copied)}, {size(round(tally.bytes_copied / seconds))}/s"
    problems = f"{len(tally.problems):,} problems" if tally.problems else ""
    parts = (f"{tally.repositories:,} repositories", tags, f"{tally.blobs_copied:,} blobs", speed, problems)
    return ", ".join(filter(None, parts))
