"""A clock that asks, whenever all tasks wait, what happens next: no time goes by of itself, and nothing waits for real.

trio asks its clock how long to sleep exactly when there is no task to run. So that question is the moment in which a
simulation decides: it moves the time, or lets a task go on, and has trio look again.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import trio.abc

if TYPE_CHECKING:
    from collections.abc import Callable

BEGINNING = datetime(2026, 1, 1, tzinfo=UTC)


class StepClock(trio.abc.Clock):
    """The one clock of a simulation: trio's deadlines and the store's dates are by it."""

    def __init__(self) -> None:
        """Begin at nought."""
        self.now_s = 0.0
        self.on_idle: Callable[[float], None] = self.jump
        """Told trio's next deadline whenever all tasks wait; must move the clock or wake a task."""

    def jump(self, deadline_s: float) -> None:
        """Move on to the next deadline."""
        if deadline_s == float("inf"):
            msg = "all tasks wait, and for nothing"
            raise AssertionError(msg)
        self.now_s = max(self.now_s, deadline_s)

    def date(self) -> datetime:
        """Tell the time as a store does."""
        return BEGINNING + timedelta(seconds=self.now_s)

    def start_clock(self) -> None:
        """Do nothing: it stands still."""

    def current_time(self) -> float:
        """Tell the time as trio wants it."""
        return self.now_s

    def deadline_to_sleep_time(self, deadline: float) -> float:
        """Let something happen instead of sleeping."""
        self.on_idle(deadline)
        return 0.0
