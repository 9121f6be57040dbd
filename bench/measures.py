"""What processes cost: CPU seconds and memory, read from /proc (see proc(5)); and the machine that they run on."""

import os
import platform
import time
from collections.abc import Mapping
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import Any

GIB = 1 << 30
MIB = 1 << 20
KIB = 1 << 10
_TICKS_PER_S = os.sysconf("SC_CLK_TCK")
_FRESH_NS = 20_000_000
_PARENT, _CHILDREN_TIMES = 1, slice(13, 15)
"""Fields of /proc/<pid>/stat after the name: ppid; cutime, cstime."""


class ProcessTree:
    """A process with all its descendants."""

    def __init__(self, pid: int) -> None:
        """Name the process at the top."""
        self.pid = pid

    def cpu_s(self) -> float:
        """Return the CPU seconds that it has taken, with those of its descendants, also ended ones."""
        seconds = 0.0
        for pid in self.pids():
            with suppress(OSError):  # ended meanwhile: its parent counts it from now on
                seconds += time.clock_gettime(_clock_of(pid))
                seconds += sum(map(int, _stat(pid)[_CHILDREN_TIMES])) / _TICKS_PER_S
        return seconds

    def rss_bytes(self) -> int:
        """Return the memory that is resident now."""
        return self._status_bytes("VmRSS")

    def peak_rss_bytes(self) -> int:
        """Return the most memory that was resident since the start or `reset_peak`.

        With several processes it is an upper bound.
        """
        return self._status_bytes("VmHWM")

    def reset_peak(self) -> None:
        """Begin the peak anew, if the system lets us."""
        for pid in self.pids():
            with suppress(OSError):
                Path(f"/proc/{pid}/clear_refs").write_text("5")

    def pids(self) -> list[int]:
        """Return the process and its descendants, as far as they run."""
        children = _children()
        found = [self.pid]
        for pid in found:  # it grows while we walk it
            found += children.get(pid, [])
        return found

    def _status_bytes(self, name: str) -> int:
        total = 0
        for pid in self.pids():
            with suppress(OSError):
                for line in Path(f"/proc/{pid}/status").read_text().splitlines():
                    if line.startswith(f"{name}:"):
                        total += int(line.split()[1]) * 1024
        return total


def all_cpu_s(trees: Mapping[str, ProcessTree]) -> dict[str, float]:
    """Return the CPU seconds of each tree, by name, at one moment."""
    return {name: tree.cpu_s() for name, tree in trees.items()}


@lru_cache(maxsize=1)
def _children_at(_moment: int) -> dict[int, list[int]]:
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with suppress(OSError):
                children.setdefault(int(_stat(int(entry.name))[_PARENT]), []).append(int(entry.name))
    return children


def _children() -> dict[int, list[int]]:
    """Return the children of every process, at most some milliseconds old: to read all of them takes as long."""
    return _children_at(time.monotonic_ns() // _FRESH_NS)


def _clock_of(pid: int) -> int:
    """Return the clock that tells a process's CPU time to the nanosecond (clock_getcpuclockid(3)).

    The ticks of /proc/<pid>/stat are 10 ms, a tenth of what a blob of 32 MiB costs.
    """
    return (~pid << 3) | 2


def _stat(pid: int) -> list[str]:
    """Return the fields after the name, which may hold blanks and brackets itself."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()


def busy_s() -> float:
    """Return the seconds that all cores together were not idle."""
    user, nice, system, _idle, _waiting, interrupts, soft_interrupts = map(
        int, Path("/proc/stat").read_text().split(maxsplit=8)[1:8]
    )
    return (user + nice + system + interrupts + soft_interrupts) / _TICKS_PER_S


def describe_machine() -> dict[str, Any]:
    """Describe the machine, without its name."""
    cpus = [line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")]
    memory = Path("/proc/meminfo").read_text().split(maxsplit=2)
    return {
        "cpu": cpus[0].partition(":")[2].strip() if cpus else platform.machine(),
        "cores": len(cpus) or None,
        "memory_mib": int(memory[1]) // 1024,
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "load_at_start": float(Path("/proc/loadavg").read_text().split()[0]),
    }
