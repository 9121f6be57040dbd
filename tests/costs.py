"""Shows where a run of the tests goes: `--costs COUNT` lists at its end the files that took the most CPU.

CPU says more than time here. Several processes share the cores, so a test that waits for others looks long.
"""

from __future__ import annotations

import heapq
import os
import resource
import time
from collections import defaultdict
from operator import itemgetter
from pathlib import Path
from typing import TYPE_CHECKING, cast

import pytest

from tests.processes import descendants

if TYPE_CHECKING:
    from collections.abc import Generator

TICKS_PER_S = os.sysconf("SC_CLK_TCK")


def used_cpu_s() -> float:
    """Return the seconds of CPU that this process has used, with all that it has started: what has ended and what runs.

    A program that leaves its parent behind, as daemons do, is not counted.
    """
    ended = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + ended.ru_utime + ended.ru_stime + sum(map(_running_cpu_s, descendants(os.getpid())))


def _running_cpu_s(pid: int) -> float:
    """Return what a process that runs has used, with those of its children that have ended; 0 if it is gone."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return sum(map(int, fields[11:15])) / TICKS_PER_S


class Meter:
    """Notes on each report what its part of a test took, and what was between it and the one before."""

    def __init__(self) -> None:
        """Begin to count."""
        self._before = 0.0

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(self) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        """Add the property `cpu_s` to the report; the first one of a process has what importing and collecting took."""
        report = yield
        now = used_cpu_s()
        report.user_properties.append(("cpu_s", max(now - self._before, 0.0)))
        self._before = now
        return report


class Sums:
    """Adds up the reports of all processes, and prints the dearest files and tests."""

    def __init__(self, count: int) -> None:
        """Print that many of each."""
        self._count = count
        self._cpu_s: dict[str, defaultdict[str, float]] = {"files": defaultdict(float), "tests": defaultdict(float)}
        self._elapsed_s: defaultdict[str, float] = defaultdict(float)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Add a report."""
        file = report.nodeid.partition("::")[0]
        for kind, name in (("files", file), ("tests", report.nodeid)):
            self._cpu_s[kind][name] += cast("float", dict(report.user_properties)["cpu_s"])
            self._elapsed_s[name] += report.duration

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Print them, the dearest first: seconds of CPU, and from beginning to end."""
        for kind, cpu_s in self._cpu_s.items():
            terminalreporter.section(f"dearest {kind} of {sum(cpu_s.values()):.0f} s of CPU")
            for name, used_s in heapq.nlargest(self._count, cpu_s.items(), key=itemgetter(1)):
                terminalreporter.write_line(f"{used_s:7.1f} s of CPU {self._elapsed_s[name]:7.1f} s  {name}")


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the option."""
    parser.addoption("--costs", type=int, metavar="COUNT", default=0, help="list the COUNT files that took most CPU")


def pytest_configure(config: pytest.Config) -> None:
    """Count in each process that runs tests, and add up in the one that prints."""
    if count := config.getoption("costs"):
        config.pluginmanager.register(Meter())
        if not hasattr(config, "workerinput"):
            config.pluginmanager.register(Sums(count))
