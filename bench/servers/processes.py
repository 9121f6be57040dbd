"""Programs run in the background: found, started with a log of their own, waited for, and ended by their process id."""

import os
import random
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cache
from itertools import cycle, islice
from pathlib import Path

CHECKOUT = Path(__file__).parents[2]
READY_DEADLINE_S = 60.0
STOP_DEADLINE_S = 60.0
POLL_S = 0.05
SERVER_PORTS = range(2_000, 12_000)
"""Below the ports of SeaweedFS, and far below those that the system gives to clients."""


class ProgramMissing(Exception):
    """A program is not on this machine; the message says how to install it."""


class NotReady(Exception):
    """A program ended at its start, or did not become ready in time; the message holds the end of its log."""


def find_program(name: str, install: str, directories: Iterable[str | None] = ()) -> Path:
    """Return the program of that name, from these directories first, then from `PATH`. Raises `ProgramMissing`."""
    search = os.pathsep.join(filter(None, [*directories, os.environ.get("PATH"), "/usr/sbin"]))
    found = shutil.which(name, path=search)
    if found is None:
        msg = f"{name} is needed: {install}"
        raise ProgramMissing(msg)
    return Path(found)


def free_port() -> int:
    """Return a TCP port of 127.0.0.1 that nobody listens on, and that no client is given: a server may start late."""
    return next(filter(is_free, in_turn(SERVER_PORTS)))


def in_turn(ports: range) -> Iterator[int]:
    """Yield each of the ports once, behind those that this process got before: none comes again soon.

    Each process begins at another port, whatever seeds the tests in them draw by.
    """
    return islice(_round(ports, os.getpid()), len(ports))


@cache
def _round(ports: range, pid: int) -> Iterator[int]:
    del pid  # a process that is forked begins anew
    first = random.SystemRandom().randrange(len(ports))
    return cycle([*ports[first:], *ports[:first]])


def is_free(port: int) -> bool:
    """Whether nothing holds the TCP port of 127.0.0.1."""
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def accepts(port: int, host: str = "127.0.0.1") -> bool:
    """Whether something takes connections on the port, of this machine unless another host is named."""
    try:
        with socket.create_connection((host, port), timeout=1):
            return True
    except OSError:
        return False


class Process:
    """One program run in the background, its output kept in a log file that survives restarts."""

    popen: type[subprocess.Popen[bytes]] = subprocess.Popen
    """What starts it: tests put a fork server here."""

    def __init__(
        self,
        name: str,
        command: Sequence[str | Path],
        log_path: Path,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
    ) -> None:
        """Remember what to run; nothing is started yet."""
        self.name = name
        self.log_path = log_path
        self._command = [str(word) for word in command]
        self._env = dict(env) if env is not None else None
        self._cwd = cwd
        self._child: subprocess.Popen[bytes] | None = None

    @classmethod
    def of_module(cls, name: str, module: str, arguments: Sequence[str], directory: Path) -> "Process":
        """Return a module of this checkout as a program of its own, its log in the directory."""
        return cls(name, [sys.executable, "-m", module, *arguments], directory / f"{name}.log", cwd=CHECKOUT)

    @property
    def is_running(self) -> bool:
        """Whether the program was started and has not ended."""
        return self._child is not None and self._child.poll() is None

    @property
    def pid(self) -> int:
        """The process id of the program, which was started."""
        assert self._child is not None, f"{self.name} was not started"
        return self._child.pid

    def ended(self, deadline_s: float = STOP_DEADLINE_S) -> int:
        """Wait until the program has ended by itself and return its exit code."""
        assert self._child is not None, f"{self.name} was not started"
        return self._child.wait(deadline_s)

    def start(self, is_ready: Callable[[], bool], deadline_s: float = READY_DEADLINE_S) -> None:
        """Start the program and wait until it is ready. Raises `NotReady`."""
        with self.log_path.open("ab") as log:
            self._child = self.popen(
                self._command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=self._env, cwd=self._cwd
            )
        give_up_at = time.monotonic() + deadline_s
        while not is_ready():
            if not self.is_running or time.monotonic() > give_up_at:
                self.kill()
                msg = f"{self.name} did not become ready: {' '.join(self._command)}\n{self.log_tail()}"
                raise NotReady(msg)
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
