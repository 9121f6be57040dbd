"""What tests need of the programs beside them: without one, a test is skipped, or fails under CI."""

from __future__ import annotations

import os
from contextlib import contextmanager
from typing import TYPE_CHECKING, NoReturn

import pytest

from bench.servers import processes
from bench.servers.processes import POLL_S, STOP_DEADLINE_S, Process, ProgramMissing, free_port

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["POLL_S", "STOP_DEADLINE_S", "Process", "find_program", "free_port", "missing", "needed"]


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
