"""Commands whose standard output takes no more: a pipe that was closed, or a full disk."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest
import trio
from structlog.testing import capture_logs

from zotpy.commands.output import with_output
from zotpy.settings import Settings
from zotpy.startup import announce

if TYPE_CHECKING:
    import io
    from collections.abc import Callable, Iterator

FULL = "/dev/full"


def closed_pipe() -> io.TextIOWrapper:
    """Return the writing end of a pipe that nobody reads."""
    reading, writing = os.pipe()
    os.close(reading)
    return open(writing, "w")  # noqa: PTH123 - a descriptor, which the fixture closes


@pytest.fixture
def give(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[io.TextIOWrapper], None]]:
    """Return what makes a file standard output until the test ends."""
    given: list[io.TextIOWrapper] = []

    def use(file: io.TextIOWrapper) -> None:
        given.append(file)
        monkeypatch.setattr(sys, "stdout", file)

    yield use
    for file in given:
        with suppress(OSError):  # of what it still holds
            file.close()


def say_little() -> int:
    """Print less than is held back."""
    print("little")  # noqa: T201 - as commands do
    return 0


def say_much() -> int:
    """Print more than is held back."""
    print("much" * 100_000)  # noqa: T201 - as commands do
    return 0


def say_in_a_nursery() -> int:
    """Print in tasks of trio, which puts errors into groups."""

    async def say() -> None:
        await trio.lowlevel.checkpoint()
        say_much()

    async def run() -> None:
        async with trio.open_nursery() as outer, trio.open_nursery() as inner:
            outer.start_soon(say)
            inner.start_soon(say)

    trio.run(run, strict_exception_groups=True)
    return 0


def say_and_exit() -> int:
    """End as argparse does after `--help`."""
    say_little()
    raise SystemExit(0)


COMMANDS = [say_little, say_much, say_in_a_nursery, say_and_exit]


@pytest.mark.parametrize("command", COMMANDS)
def test_a_closed_pipe_ends_a_command_quietly(
    give: Callable[[io.TextIOWrapper], None], capfd: pytest.CaptureFixture[str], command: Callable[[], int]
) -> None:
    """Such as `zotpy du | head -1`: with the exit code of SIGPIPE, and without a word."""
    give(closed_pipe())
    assert with_output(command) == 141
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("command", COMMANDS)
def test_a_full_disk_is_said(
    give: Callable[[io.TextIOWrapper], None], capfd: pytest.CaptureFixture[str], command: Callable[[], int]
) -> None:
    """In one line, with an exit code that says that the command failed."""
    give(open(FULL, "w"))  # noqa: SIM115, PTH123 - the fixture closes it
    assert with_output(command) == 1
    assert capfd.readouterr().err == "zotpy: standard output cannot be written: No space left on device\n"


def test_other_errors_come_out_as_they_are(give: Callable[[io.TextIOWrapper], None]) -> None:
    """A broken pipe to something else is a fault, and its traceback is wanted."""

    def broken() -> int:
        raise BrokenPipeError

    give(open(os.devnull, "w"))  # noqa: SIM115, PTH123 - the fixture closes it
    with pytest.raises(BrokenPipeError):
        with_output(broken)


def test_a_command_without_standard_output_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Python has `None` in its place then, on which a command cannot even ask for a terminal."""
    monkeypatch.setattr(sys, "stdout", None)

    def command() -> int:
        return say_much() if not sys.stdout.isatty() else 1

    assert with_output(command) == 0
    sys.stdout.close()


def test_a_replica_serves_whether_or_not_its_announcement_is_read(give: Callable[[io.TextIOWrapper], None]) -> None:
    """Its terminal or pipe may be gone before it listens."""
    give(closed_pipe())
    with capture_logs() as logs:
        announce(Settings(), ["http://127.0.0.1:5000"])
    assert [entry["event"] for entry in logs] == ["serving"]
