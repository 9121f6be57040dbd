"""Relying on what was read, by the store's clock: what a request writes counts only within a deadline of its reading.

A process may stop between any two of its steps, for days: a laptop sleeps, a virtual machine is paused. Its own clocks
may stop with it, so trio's deadlines are no proof. The store's clock goes on, and each answer tells it. So a request
remembers the store's time of the first reading that it relies on, and compares it with the time of each write:

- a write that was answered more than a deadline later is not acknowledged, and the request begins again;
- leases, entries and tags say until when they were to be written. One that the store dates later than that is *late*:
  no replica and no collector relies on it. So it does no harm, even if the process dies before it can look at the
  answer.

`until` is half a deadline after the last moment that is acknowledged, because the hosts of a store need not agree to
the second. The collector waits two deadlines (`zotpy.collector.data_sweep`), which is longer.
"""

import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TypeVar

from zotpy.concurrency import within_deadline
from zotpy.core.errors import TooLate
from zotpy.core.record_values import Due

SLACK = timedelta(seconds=1)
"""Stores tell the time to the second."""
_CLOCK = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)

T = TypeVar("T")


def local_s() -> float:
    """Tell this host's time in seconds since some moment; on Linux it goes on while the host is suspended.

    It stops in a virtual machine that is paused from outside. So it only helps to find out sooner what the store's
    times tell later.
    """
    return time.clock_gettime(_CLOCK)


@dataclass(eq=False, slots=True)
class Reliance:
    """What one request relies on: the store's time of its first reading."""

    deadline_s: float
    since: datetime | None = None
    """`None`: nothing was read yet."""

    def note(self, store_time: datetime) -> None:
        """Take in that the request relies on what was there at this time by the store's clock."""
        if self.since is None or store_time < self.since:
            self.since = store_time

    @property
    def due(self) -> Due | None:
        """By when all that relies on it must be written; `None`: it relies on nothing."""
        if self.since is None:
            return None
        deadline = timedelta(seconds=self.deadline_s)
        return Due(self.since + deadline + SLACK, self.since + 3 * deadline / 2 + SLACK)

    def require(self, store_time: datetime) -> None:
        """Raise `TooLate` if a write that the store answered at this time may rely on what is gone."""
        if (due := self.due) is not None:
            require(due, store_time)


def require(due: Due, store_time: datetime) -> None:
    """Raise `TooLate` if a write that the store answered at this time came later than it was due."""
    if store_time > due.by:
        msg = "this replica took too long between reading and writing: try again"
        raise TooLate(msg)


async def in_time(deadline_s: float, work: Callable[[Reliance], Awaitable[T]], *, attempts: int = 2) -> T:
    """Do what reads, and then writes what relies on it, within the deadline; again from its beginning if it was late.

    `work` is called with a new `Reliance` each time. Raises `TooLate` if the last attempt was late, `TryAgain` if
    the store did not answer within the deadline.
    """
    for _ in range(attempts - 1):
        try:
            return await _once(deadline_s, work)
        except TooLate:
            continue
    return await _once(deadline_s, work)


async def _once(deadline_s: float, work: Callable[[Reliance], Awaitable[T]]) -> T:
    began_s = local_s()
    with within_deadline(deadline_s):
        answer = await work(Reliance(deadline_s))
    if local_s() - began_s > deadline_s + SLACK.total_seconds():
        msg = "this replica was suspended during the request: try again"
        raise TooLate(msg)
    return answer
