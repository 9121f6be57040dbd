"""Relying on what was read, by the store's clock: what a request writes counts only within a deadline of its reading.

A process may stop between any two of its steps, for days: a laptop sleeps, a virtual machine is paused. Its own clocks
may stop with it, so trio's deadlines prove nothing. The store's clock goes on, and each answer tells its time. So a
request remembers the store's time of the first reading that it relies on, and compares it with the time of each write:

- If a write was answered more than a deadline later, the replica does not acknowledge it, and begins the request again.
- Leases, entries and tags say by when they had to be written. If the store dates one later, it is *late*: no replica
  and no collector relies on it. So it does no harm, even if the process dies before it can look at the answer.

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
    """Return this host's time in seconds since some moment. On Linux it goes on while the host is suspended.

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
        """Note that the request relies on what existed at this time by the store's clock."""
        if self.since is None or store_time < self.since:
            self.since = store_time

    @property
    def due(self) -> Due | None:
        """By when everything that relies on it must be written; `None`: it relies on nothing."""
        if self.since is None:
            return None
        deadline = timedelta(seconds=self.deadline_s)
        return Due(self.since + deadline + SLACK, self.since + 3 * deadline / 2 + SLACK)

    def require(self, store_time: datetime) -> None:
        """Raise `TooLate` if a write that the store answered at this time may rely on something deleted."""
        if (due := self.due) is not None:
            require(due, store_time)


def require(due: Due, store_time: datetime) -> None:
    """Raise `TooLate` if a write that the store answered at this time came later than it was due."""
    if store_time > due.by:
        msg = "this replica took too long between reading and writing: try again"
        raise TooLate(msg)


def local_end_s(deadline_s: float) -> float:
    """Return the local time at which a deadline has passed that begins now."""
    return local_s() + deadline_s + SLACK.total_seconds()


def has_passed(end_s: float) -> bool:
    """Say whether it is later than this local time, perhaps because the host was suspended."""
    return local_s() > end_s


async def in_time(deadline_s: float, work: Callable[[Reliance], Awaitable[T]], *, attempts: int = 2) -> T:
    """Run what reads, and then writes what relies on it, within the deadline; again from its beginning if it was late.

    `work` is called with a new `Reliance` each time. Raises `TooLate` if the last attempt was late, `TryAgain` if the
    store did not answer within the deadline.
    """
    for _ in range(attempts - 1):
        try:
            return await _once(deadline_s, work)
        except TooLate:
            continue
    return await _once(deadline_s, work)


async def _once(deadline_s: float, work: Callable[[Reliance], Awaitable[T]]) -> T:
    end_s = local_end_s(deadline_s)
    with within_deadline(deadline_s):
        answer = await work(Reliance(deadline_s))
    if has_passed(end_s):
        msg = "this replica was suspended during the request: try again"
        raise TooLate(msg)
    return answer
