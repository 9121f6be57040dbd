"""Many schedules, on all processors."""

from __future__ import annotations

import multiprocessing
import os
import shlex
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from tests.simulation.rules import RULES
from tests.simulation.schedule import Schedule
from tests.simulation.themes import THEMES
from zotpy.garbage import collect_less

if TYPE_CHECKING:
    from collections.abc import Sequence

CHUNK = 100
"""Seeds that a process takes at a time."""


@dataclass(frozen=True, slots=True)
class Failure:
    """A schedule that broke an invariant."""

    seed: int
    error: str
    trace: str
    theme: str = ""
    without: str = ""

    def __str__(self) -> str:
        return f"{self.trace}\n\nseed {self.seed}: {self.error}\nagain: {self.command()}"

    def command(self) -> str:
        """Say how to run it again."""
        words = ["python -m tests.simulation", f"--seed {self.seed}"]
        words += [f"--theme {shlex.quote(self.theme)}"] if self.theme else []
        words += [f"--without {self.without}"] if self.without else []
        return " ".join(words)


def run_one(seed: int, theme: str = "", without: str = "") -> Failure | None:
    """Run one schedule, perhaps of one theme, perhaps without a rule."""
    with RULES[without]() if without else nullcontext():
        schedule = Schedule(seed, THEMES[theme] if theme else None)
        try:
            schedule.run()
        except Exception as error:  # noqa: BLE001 - whatever it is, the seed brings it back
            return Failure(seed, repr(error), schedule.trace(), theme, without)
    return None


def first_failure(seeds: range, theme: str = "", without: str = "") -> Failure | None:
    """Run schedules on all processors up to the first that fails."""
    work = partial(_first_of, theme=theme, without=without)
    chunks = [seeds[at : at + CHUNK] for at in range(0, len(seeds), CHUNK)]
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__])
    with context.Pool(os.cpu_count(), collect_less) as pool:
        for failure in pool.imap(work, chunks):
            if failure is not None:
                return failure
    return None


def _first_of(seeds: Sequence[int], theme: str, without: str) -> Failure | None:
    for seed in seeds:
        failure = run_one(seed, theme, without)
        if failure is not None:
            return failure
    return None
