"""What `--costs` adds up and prints."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING, cast

import pytest

from tests.costs import Sums, used_cpu_s

if TYPE_CHECKING:
    from _pytest.terminal import TerminalReporter

USED_S = 0.3
PROGRAM = f"import time\nwhile time.process_time() < {USED_S}: pass\nprint(flush=True)\ninput()"


def test_a_child_counts_while_it_runs_and_afterwards() -> None:
    """What it has used so far is in the sum, and stays there."""
    before = used_cpu_s()
    with subprocess.Popen(
        [sys.executable, "-c", PROGRAM], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as child:
        assert child.stdout is not None
        child.stdout.readline()
        assert used_cpu_s() - before > 0.9 * USED_S
        child.communicate("\n")
    assert used_cpu_s() - before > 0.9 * USED_S


class Written:
    """Takes the place of the terminal."""

    def __init__(self) -> None:
        """Begin with nothing."""
        self.lines: list[str] = []

    def section(self, title: str) -> None:
        """Take a title."""
        self.lines.append(title)

    def write_line(self, line: str) -> None:
        """Take a line."""
        self.lines.append(line)


def test_the_dearest_files_and_tests_come_first() -> None:
    """Files are sums of their tests, and tests of their phases; the others are left out, and count in the sum."""
    sums, terminal = Sums(1), Written()
    for name, cpu_s in (("a.py::one", 1.0), ("b.py::two", 3.0), ("a.py::three", 2.5), ("a.py::one", 0.2)):
        used = [("cpu_s", cpu_s)]
        report = pytest.TestReport(
            name, ("", 0, ""), {}, "passed", None, "call", duration=2 * cpu_s, user_properties=used
        )
        sums.pytest_runtest_logreport(report)
    sums.pytest_terminal_summary(cast("TerminalReporter", terminal))
    assert terminal.lines == [
        "dearest files of 7 s of CPU",
        "    3.7 s of CPU     7.4 s  a.py",
        "dearest tests of 7 s of CPU",
        "    3.0 s of CPU     6.0 s  b.py::two",
    ]
