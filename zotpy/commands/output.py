"""Standard output of a command. It may be a pipe that nobody reads any more, or a file on a full disk."""

import errno
import os
import sys
from collections.abc import Callable
from typing import Any, TextIO

EXIT_FAILED = 1
EXIT_PIPE_CLOSED = 141
"""As a shell reports SIGPIPE, by which other programs end in this case."""


class OutputFailed(OSError):
    """Standard output takes no more."""


class _Output:
    """Standard output, whose errors can be told from those of other files."""

    def __init__(self, given: TextIO) -> None:
        """Stand for `given`."""
        self._given = given

    def write(self, text: str) -> int:
        """Write. Raises `OutputFailed`."""
        try:
            return self._given.write(text)
        except OSError as error:
            raise OutputFailed(error.errno, error.strerror) from error

    def flush(self) -> None:
        """Write what is held. Raises `OutputFailed`."""
        try:
            self._given.flush()
        except OSError as error:
            raise OutputFailed(error.errno, error.strerror) from error

    def __getattr__(self, name: str) -> Any:
        """Have everything else that the file has."""
        return getattr(self._given, name)


def with_output(command: Callable[[], int]) -> int:
    """Run a command, and return its exit code; 141 or 1 if standard output has taken no more.

    Such as with `zotpy du | head -1`. A closed pipe is no mistake, and nothing is said about it.
    """
    _open_missing()
    given = sys.stdout
    output = _Output(given)
    sys.stdout = output  # it has what a file has
    failures: list[OutputFailed] = []
    try:
        try:
            return command()
        finally:
            output.flush()
    except* OutputFailed as group:
        failures += _leaves(group)
        _drop_rest(given)
    finally:
        sys.stdout = given
    if failures[0].errno == errno.EPIPE:
        return EXIT_PIPE_CLOSED
    print(f"zotpy: standard output cannot be written: {failures[0].strerror}", file=sys.stderr)  # noqa: T201
    return EXIT_FAILED


def _open_missing() -> None:
    """Let a program that was started without these files (`>&-`) write nowhere."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w"))  # noqa: SIM115, PTH123 - it stays open to the end


def _leaves(group: BaseExceptionGroup[OutputFailed]) -> list[OutputFailed]:
    """Return the errors themselves."""
    found: list[OutputFailed] = []
    for each in group.exceptions:
        found += _leaves(each) if isinstance(each, BaseExceptionGroup) else [each]
    return found


def _drop_rest(output: TextIO) -> None:
    """Let what is still held go nowhere: it is written at the end, which would fail once more."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, output.fileno())
    os.close(nowhere)
