"""What is counted often, in plain numbers until somebody asks: an observation of prometheus_client takes ten calls.

The event loop only ever adds to these numbers. What shows them, perhaps in a thread, adds to prometheus_client's values
what has been added since. So neither needs a lock against the other, and no count is lost.
"""

from bisect import bisect_left
from collections.abc import Callable
from typing import TypeVar

from prometheus_client import Counter, Histogram

SECONDS = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1800)
"""The upper bounds of the buckets of a duration. The last bucket has none."""


Kind = TypeVar("Kind")


class Sum:
    """A sum that only grows."""

    __slots__ = ("_counter", "_shown", "total")

    def __init__(self, counter: Counter) -> None:
        """Begin at 0, and show it in this counter."""
        self.total = 0
        self._counter = counter
        self._shown = 0

    def show(self) -> None:
        """Add to the counter what is new. Only one thread may do so at a time."""
        total = self.total
        self._counter.inc(total - self._shown)
        self._shown = total


class Tally:
    """How often something happened, and how long it took."""

    __slots__ = ("_counter", "_counts", "_histogram", "_seconds", "_shown", "_shown_s")

    def __init__(self, counter: Counter, histogram: Histogram) -> None:
        """Begin with nothing, and show it in these. The histogram has the buckets of `SECONDS`; others may share it."""
        self._counter = counter
        self._histogram = histogram
        self._counts = [0] * (len(SECONDS) + 1)
        """How often it took as long as each bucket says."""
        self._seconds = 0.0
        self._shown = self._counts.copy()
        self._shown_s = 0.0

    def note(self, seconds: float) -> None:
        """Count one that took so long."""
        self._counts[bisect_left(SECONDS, seconds)] += 1
        self._seconds += seconds

    def show(self) -> None:
        """Add to counter and histogram what is new. Only one thread may do so at a time."""
        counts, seconds = self._counts.copy(), self._seconds
        new = [count - shown for count, shown in zip(counts, self._shown, strict=True)]
        if not any(new):
            return
        self._counter.inc(sum(new))
        self._histogram._sum.inc(seconds - self._shown_s)  # noqa: SLF001 - see `private_parts`
        for bucket, count in zip(self._histogram._buckets, new, strict=True):  # noqa: SLF001
            if count:
                bucket.inc(count)
        self._shown, self._shown_s = counts, seconds


class Tallies(dict[Kind, Tally]):
    """A tally for each kind of thing that was counted. Looking one up by its labels costs more than counting.

    The caller bounds how many kinds there are.
    """

    def __init__(self, make: Callable[[Kind], Tally]) -> None:
        """Begin with none; `make` makes one for a kind that is new."""
        super().__init__()
        self._make = make

    def __missing__(self, kind: Kind) -> Tally:
        """Return a new tally, and keep it."""
        tally = self[kind] = self._make(kind)
        return tally

    def show(self) -> None:
        """Show all. Only one thread may do so at a time; another may add kinds meanwhile."""
        for tally in self.copy().values():
            tally.show()
