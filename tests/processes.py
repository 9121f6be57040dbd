"""Programs run beside the tests: found, started with a log of their own, waited for, and ended by their process id."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

READY_DEADLINE_S = 60.0
STOP_DEADLINE_S = 20.0
POLL_S = 0.05


def missing(what: str) -> NoReturn:
    """Skip the test, or fail it under CI: a missing real component must not pass there unnoticed."""
    if os.environ.get("CI"):
        pytest.fail(what)
    pytest.skip(what)


def find_program(name: str, install: str) -> Path:
    """Return the program of that name, from the directory `ZOTPY_TEST_CLIENTS` first, then from `PATH`."""
    search = os.pathsep.join(filter(None, [os.environ.get("ZOTPY_TEST_CLIENTS"), os.environ.get("PATH"), "/usr/sbin"]))
    found = shutil.which(name, path=search)
    if found is None:
        missing(f"{name} is needed: {install}")
    return Path(found)


def free_port() -> int:
    """Return a TCP port of 127.0.0.1 that nobody listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
    return port


class Process:
    """One program run in the background, its output kept in a log file that survives restarts."""

    def __init__(
        self, name: str, command: Sequence[str | Path], log_path: Path, env: Mapping[str, str] | None = None
    ) -> None:
        """Remember what to run; nothing is started yet."""
        self.name = name
        self.log_path = log_path
        self._command = [str(word) for word in command]
        self._env = dict(env) if env is not None else None
        self._child: subprocess.Popen[bytes] | None = None

    @property
    def is_running(self) -> bool:
        """Whether the program was started and has not ended."""
        return self._child is not None and self._child.poll() is None

    @property
    def pid(self) -> int:
        """The process id of the program, which was started."""
        assert self._child is not None, f"{self.name} was not started"
        return self._child.pid

    def start(self, is_ready: Callable[[], bool], deadline_s: float = READY_DEADLINE_S) -> None:
        """Start the program and wait until it is ready; an early end or a missed deadline fails with its log."""
        with self.log_path.open("ab") as log:
            self._child = subprocess.Popen(
                self._command, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, env=self._env
            )
        give_up_at = time.monotonic() + deadline_s
        while not is_ready():
            if not self.is_running or time.monotonic() > give_up_at:
                self.kill()
                pytest.fail(f"{self.name} did not become ready: {' '.join(self._command)}\n{self.log_tail()}")
            time.sleep(POLL_S)

    def kill(self) -> None:
        """End the program at once, as `kill -9` does."""
        if self._child is not None:
            self._child.kill()
            self._child.wait()

    def stop(self) -> None:
        """Ask the program to end, and end it where it does not."""
        if self._child is None:
            return
        self._child.terminate()
        try:
            self._child.wait(STOP_DEADLINE_S)
        except subprocess.TimeoutExpired:
            self.kill()

    def log_tail(self, since: int = 0, limit: int = 20_000) -> str:
        """Return the end of what the program has written after the offset `since`, at most `limit` characters."""
        return self.log_path.read_bytes()[since:].decode(errors="replace")[-limit:]

    def log_size(self) -> int:
        """Return how many bytes the program has written."""
        return self.log_path.stat().st_size
