"""`subprocess.Popen` for programs of this checkout, which are forked from a process that has imported them.

A start of zotpy takes more than half a second of CPU, nearly all of it imports. The tests start it hundreds of times.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, AnyStr

from bench.servers.processes import CHECKOUT
from tests.session import PR_SET_CHILD_SUBREAPER, prctl

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

PROGRAMS = {
    "zotpy",
    "bench.servers.null",
    "bench.servers.relay",
    "tests.faults.uploads.launcher",
    "tests.forks.surroundings",
}
"""Modules that are forked."""
READ_AT_START = ("PYTHON", "LANG", "LC_", "LD_", "MALLOC_", "GLIBC_", "OPENSSL_", "TZ")
"""How the names of variables begin that Python and C libraries read when a process begins, or at an import."""
INHERITED = ("Umask", "Uid", "Gid", "Groups", "SigBlk", "SigIgn")
"""Lines of /proc/<pid>/status about what a process has from its parent (proc(5))."""
_USUAL = (True, None, None, None, -1, False, -1)
"""The last arguments of `Popen._execute_child` unless a caller asks for more: signals, groups, user, umask, session."""


class Forked(subprocess.Popen[AnyStr]):
    """Starts the program by a fork if nobody could tell: by the same Python, with what our fork server has.

    What is not the same, as a limit, a variable of Python, or a directory, makes it start as it does elsewhere.
    """

    def _execute_child(
        self,
        args: Sequence[str],
        executable: object,
        preexec_fn: object,
        close_fds: bool,  # noqa: FBT001
        pass_fds: Sequence[int],
        cwd: str | Path | None,
        env: Mapping[str, str] | None,
        *rest: object,
    ) -> None:
        given = dict(os.environ if env is None else env)
        words = [] if isinstance(args, str) else [os.fspath(word) for word in args]
        is_usual = not (executable or preexec_fn or pass_fds or rest[2]) and close_fds and rest[9:] == _USUAL
        if is_usual and words[:2] == [sys.executable, "-m"] and words[2] in PROGRAMS:
            server = ForkServer.of_this_process()
            if server.inherited == inherited(given, cwd or Path.cwd()):
                pipes = [end for end in rest[3:9] if isinstance(end, int)]
                files = [end if end >= 0 else number for number, end in enumerate((pipes[0], pipes[3], pipes[5]))]
                self.pid = server.fork(words[2:], given, files)
                self._child_created = True
                self._close_pipe_fds(*pipes)  # type: ignore[attr-defined]
                return
        super()._execute_child(args, executable, preexec_fn, close_fds, pass_fds, cwd, env, *rest)  # type: ignore[misc]


def run(
    command: Sequence[str], env: Mapping[str, str] | None = None, timeout_s: float = 120
) -> subprocess.CompletedProcess[str]:
    """Run a program to its end, and return what it says."""
    pipe = subprocess.PIPE
    with Forked[str](command, stdout=pipe, stderr=pipe, text=True, env=env) as process:
        try:
            said, complained = process.communicate(timeout=timeout_s)
        except BaseException:
            process.kill()
            raise
    return subprocess.CompletedProcess(process.args, process.returncode, said, complained)


class ForkServer:
    """The process of `tests/forks/server.py`. It ends with this process."""

    _only: ForkServer | None = None
    _lock = Lock()

    def __init__(self) -> None:
        """Start it."""
        self.inherited = inherited(os.environ, CHECKOUT)
        self._link, theirs = socket.socketpair()
        self._answers = self._link.makefile("rb")
        with theirs:
            command = [sys.executable, "-m", "tests.forks.server", str(theirs.fileno())]
            nothing = subprocess.DEVNULL
            self._process = subprocess.Popen(
                command, stdin=nothing, stdout=nothing, pass_fds=[theirs.fileno()], cwd=CHECKOUT
            )

    @classmethod
    def of_this_process(cls) -> ForkServer:
        """Return the only one, which the first caller starts."""
        with cls._lock:
            if cls._only is None:
                cls._only = cls()
            return cls._only

    @classmethod
    def stop(cls) -> None:
        """End it, if it was started."""
        with cls._lock:
            if cls._only is not None:
                cls._only._answers.close()
                cls._only._link.close()
                cls._only._process.wait()
                cls._only = None

    def fork(self, words: Sequence[str], variables: Mapping[str, str], files: Sequence[int]) -> int:
        """Return the id of a new process, a child of this one: module and arguments, and its files 0, 1 and 2."""
        with self._lock, adopting():
            socket.send_fds(self._link, [b"."], files)
            self._link.sendall(json.dumps({"words": words, "variables": variables}).encode() + b"\n")
            return int(self._answers.readline())


@contextmanager
def adopting() -> Iterator[None]:
    """Become the parent of processes below this one that lose theirs."""
    prctl(PR_SET_CHILD_SUBREAPER, 1)
    try:
        yield
    finally:
        prctl(PR_SET_CHILD_SUBREAPER, 0)


def inherited(variables: Mapping[str, str], directory: str | Path) -> tuple[object, ...]:
    """Return what a process started here would have from its parent, and cannot be changed in it afterwards."""
    here = Path("/proc/thread-self")
    status = [line for line in (here / "status").read_text().splitlines() if line.startswith(INHERITED)]
    read = {name: text for name, text in variables.items() if name.startswith(READ_AT_START)}
    return Path(directory).resolve(), read, status, (here / "limits").read_text(), (here / "ns/net").readlink()
