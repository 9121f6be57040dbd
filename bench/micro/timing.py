"""How long a function takes: CPU seconds for each GiB, or microseconds of CPU for each call; the best of some runs."""

import time
import timeit
from collections.abc import Callable
from dataclasses import dataclass

from bench.measures import GIB

RUNS = 3
RUN_S = 0.2
"""How long one run is made to take, so that the clock's grain does not count."""


@dataclass(frozen=True)
class Micro:
    """One hot path: a function to call, and how many bytes a call takes in; 0: calls are counted, not bytes."""

    name: str
    call: Callable[[], object]
    size_bytes: int = 0
    exchanges: int = 1
    """How often a call does what it is named for."""

    @property
    def unit(self) -> str:
        """The unit of its time."""
        return "CPU s/GiB" if self.size_bytes else "us/call"


def cpu_s_per_call(micro: Micro, run_s: float = RUN_S) -> float:
    """Return the CPU seconds of this process for one call."""
    timer = timeit.Timer(micro.call, timer=time.process_time)
    micro.call()
    calls = max(1, int(run_s / max(timeit.timeit(micro.call, number=1), 1e-9)))
    return min(timer.repeat(RUNS, calls)) / calls / micro.exchanges


def cpu_s_per_gib(micro: Micro, run_s: float = RUN_S) -> float:
    """Return the CPU seconds for one GiB."""
    return cpu_s_per_call(micro, run_s) / micro.size_bytes * GIB
