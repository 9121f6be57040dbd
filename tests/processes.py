"""What tests need of the programs beside them: without one, a test is skipped, or fails under CI."""

from __future__ import annotations

import os
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn, Protocol, TypeVar

import pytest

from bench.servers import processes
from bench.servers.processes import POLL_S, READY_DEADLINE_S, STOP_DEADLINE_S, Process, ProgramMissing, free_port

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = [
    "POLL_S",
    "STOP_DEADLINE_S",
    "Process",
    "descendants",
    "find_program",
    "free_port",
    "has_ended",
    "missing",
    "needed",
    "running",
    "state_of",
    "wait_until",
]


class Startable(Protocol):
    """Programs that belong together."""

    def start(self) -> None:
        """Start all of them, and return when they can be used."""

    def stop(self) -> None:
        """End those that run."""


S = TypeVar("S", bound=Startable)


@contextmanager
def running(made: S) -> Iterator[S]:
    """Let it run within the block. What was started is ended, even if not all of it came up."""
    try:
        made.start()
        yield made
    finally:
        made.stop()


def missing(what: str) -> NoReturn:
    """Skip the test, or fail it under CI: a missing real component must not pass there unnoticed."""
    if os.environ.get("CI"):
        pytest.fail(what)
    pytest.skip(what)


@contextmanager
def needed() -> Iterator[None]:
    """Treat a program that the block does not find as `missing`."""
    try:
        yield
    except ProgramMissing as error:
        missing(str(error))


def find_program(name: str, install: str) -> Path:
    """Return the program of that name, from the directory `ZOTPY_TEST_CLIENTS` first, then from `PATH`."""
    with needed():
        return processes.find_program(name, install, [os.environ.get("ZOTPY_TEST_CLIENTS")])


def has_ended(pid: int) -> bool:
    """Tell whether a process has ended, or only waits for its parent to take note."""
    return state_of(pid) in {"", "Z"}


def state_of(pid: int) -> str:
    """Return the letter with which Linux names the state of a process; empty: it has ended."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return ""


def descendants(pid: int) -> list[int]:
    """Return the processes that a process has started, and theirs."""
    try:
        words = [file.read_text() for file in Path(f"/proc/{pid}/task").glob("*/children")]
    except OSError:  # a thread that has just ended
        return descendants(pid)
    started = [int(word) for word in " ".join(words).split()]
    return [*started, *(other for child in started for other in descendants(child))]


def wait_until(is_so: Callable[[], bool], what: str, deadline_s: float = READY_DEADLINE_S) -> None:
    """Wait for what nobody tells us; a missed deadline fails the test."""
    give_up_at = time.monotonic() + deadline_s
    while not is_so():
        if time.monotonic() > give_up_at:
            pytest.fail(f"in vain waited until {what}")
        time.sleep(POLL_S)
