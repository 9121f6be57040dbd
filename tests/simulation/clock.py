"""A clock that asks, whenever all tasks wait, what happens next.

Time does not pass by itself, and nothing really waits.

trio asks its clock how long to sleep exactly when no task can run. At that moment the simulation decides: it moves the
time, or lets a task continue, and then lets trio look again.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, contextmanager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING
from unittest.mock import patch

import trio.abc

from tests.simulation.calls import ACTOR
from zotpy import concurrency
from zotpy.bucket import promise, reliance
from zotpy.registry.pushing import states

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.simulation.calls import Actor

BEGINNING = datetime(2026, 1, 1, tzinfo=UTC)


class StepClock(trio.abc.Clock):
    """The store's clock. Each process has its own, which stops while its host is suspended.

    trio knows only one clock. So a process is behind by the time that it has missed, and the deadlines of its code are
    put off by as much: see `own_clocks`.
    """

    def __init__(self) -> None:
        """Begin at zero."""
        self.now_s = 0.0
        self.on_idle: Callable[[float], None] = self.jump
        """Called with trio's next deadline whenever all tasks wait. It must move the clock or wake a task."""

    def jump(self, deadline_s: float) -> None:
        """Move on to the next deadline."""
        if deadline_s == float("inf"):
            msg = "all tasks wait, and for nothing"
            raise AssertionError(msg)
        self.now_s = max(self.now_s, deadline_s)

    def date(self) -> datetime:
        """Return the time as a store does."""
        return BEGINNING + timedelta(seconds=self.now_s)

    def start_clock(self) -> None:
        """Do nothing: the clock stands still."""

    def current_time(self) -> float:
        """Return the time as trio wants it."""
        return self.now_s

    def deadline_to_sleep_time(self, deadline: float) -> float:
        """Let something happen instead of sleeping."""
        self.on_idle(deadline)
        return 0.0


def boot_s(clock: StepClock, _: Actor | None) -> float:
    """Return the time by the clock of an actor's host that goes on while the host is suspended."""
    return clock.now_s


@contextmanager
def own_clocks(clock: StepClock) -> Iterator[None]:
    """Make the deadlines and the times of a process' code follow its own clock."""
    fail_after, move_on_after = trio.fail_after, trio.move_on_after

    def local_s() -> float:
        actor = ACTOR.get(None)
        return clock.now_s - (0.0 if actor is None else actor.stopped_s)

    @contextmanager
    def noted(scope: AbstractContextManager[trio.CancelScope]) -> Iterator[trio.CancelScope]:
        actor = ACTOR.get(None)
        with scope as entered:
            if actor is not None:
                actor.deadlines[entered] = None
            try:
                yield entered
            finally:
                if actor is not None:
                    del actor.deadlines[entered]

    with (
        patch.object(reliance, "local_s", local_s),
        patch.object(states, "local_s", local_s),
        patch.object(promise, "boot_s", lambda: boot_s(clock, ACTOR.get(None))),
        patch.object(concurrency, "clock", lambda: clock.now_s),
        patch.object(trio, "fail_after", lambda *args, **options: noted(fail_after(*args, **options))),
        patch.object(trio, "move_on_after", lambda *args, **options: noted(move_on_after(*args, **options))),
    ):
        yield
