"""Runs pytest so that nothing outlives it: no process, and no file in the temporary directory.

    python -m tests.session [argument of pytest...]

Tests start servers, which start others, and all of them write gigabytes. However pytest ends (by itself, by a signal or
by `kill -9`), this process then ends all that was started below it. It also deletes the directory that was the `TMPDIR`
of all of them. This process has a keeper, which starts pytest. If one of the two is killed, the other one cleans up.
Only if both are killed at once, as when the machine loses power, the next run deletes the directory.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from tests.processes import descendants, has_ended

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import FrameType

PREFIX = "zotpy-"
"""Short, as the path of a socket may have only 107 characters."""
PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER = 1, 36
ROUNDS = 100
"""How often what is left is looked for and killed: a process may start another one in its last moment."""


def run(arguments: Sequence[str]) -> int:
    """Run pytest and return its exit code; 128 and the signal's number where a signal ended it."""
    prctl(PR_SET_CHILD_SUBREAPER, 1)  # a process that loses its parent becomes our child, and is found
    above = Path(tempfile.gettempdir())
    delete_left(above)
    directory = above / f"{PREFIX}{os.getpid()}"
    directory.mkdir(mode=0o711)  # some tests run programs as another user, which must be able to enter it
    has_terminal = sys.stdin.isatty()
    keeper = os.fork()
    if keeper == 0:
        code = 1
        try:
            code = _keep(arguments, directory, has_terminal=has_terminal)
        finally:
            os._exit(code)
    return _wait_and_clean_up(keeper, directory, has_terminal=has_terminal)


def _keep(arguments: Sequence[str], directory: Path, *, has_terminal: bool) -> int:
    """Do the work of the keeper: start pytest, return its exit code."""
    prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
    prctl(PR_SET_CHILD_SUBREAPER, 1)
    if not has_terminal:
        os.setsid()  # what kills our group leaves this one to clean up; a terminal belongs to one session only
    pytest = subprocess.Popen(
        [sys.executable, "-m", "pytest", *arguments],
        env=_environment(directory),
        preexec_fn=lambda: prctl(PR_SET_PDEATHSIG, signal.SIGTERM),  # noqa: PLW1509 - there are no threads yet
    )
    pytest.returncode = code = _wait_and_clean_up(pytest.pid, directory, has_terminal=has_terminal)
    return code


def _environment(directory: Path) -> dict[str, str]:
    """Return the environment of the tests. Python keeps what it compiles, whatever this machine says.

    Without that each of the hundreds of programs that the tests start takes 2.0 s of CPU until it has imported zotpy,
    and 0.7 s with it.
    """
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    return {**kept, "TMPDIR": str(directory)}


def _wait_and_clean_up(pid: int, directory: Path, *, has_terminal: bool) -> int:
    """Pass signals on to a child, return its exit code, and leave nothing behind."""

    def pass_on(number: int, _: FrameType | None) -> None:
        with suppress(ProcessLookupError):
            os.kill(pid, number)

    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
        signal.signal(number, pass_on)
    if has_terminal:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # its Ctrl-C goes to pytest as well
    try:
        code = wait_for(pid)
    finally:
        end_children()
        delete(directory)
        delete_sockets()
    return code if code >= 0 else 128 - code


def wait_for(pid: int) -> int:
    """Return the exit code of a child, and take note of the end of others that came to us."""
    while True:
        ended, status = os.wait()
        if ended == pid:
            return os.waitstatus_to_exitcode(status)


def end_children() -> None:
    """Kill every process that was started below this one, and take note of its end."""
    for _ in range(ROUNDS):
        for pid in descendants(os.getpid()):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        try:
            while True:
                os.waitpid(-1, 0)
        except ChildProcessError:
            if not descendants(os.getpid()):
                return


def delete_left(above: Path) -> None:
    """Delete the directories of runs that were killed."""
    for directory in above.glob(f"{PREFIX}*"):
        owner = directory.name.removeprefix(PREFIX)
        if owner.isdecimal() and (int(owner) == os.getpid() or has_ended(int(owner))):
            delete(directory)


def delete(directory: Path) -> None:
    """Delete a directory with all in it; what is mounted below it is unmounted, not emptied."""
    mounted = [line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()]
    for place in sorted(mounted, reverse=True):
        if place.startswith(f"{directory}/"):
            subprocess.run(["umount", "--lazy", place], check=False)
    shutil.rmtree(directory, ignore_errors=True)


def delete_sockets() -> None:
    """Delete the sockets on which no SeaweedFS listens any more: it puts them into /tmp, whatever TMPDIR says."""
    for path in Path("/tmp").glob("seaweedfs-*.sock"):  # noqa: S108 - that is where they are
        with socket.socket(socket.AF_UNIX) as client:
            try:
                client.connect(str(path))
            except ConnectionRefusedError:
                path.unlink(missing_ok=True)
            except OSError:  # another user's, or gone
                continue


def prctl(option: int, value: int) -> None:
    """Change something of this process. Only Linux can."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(option, value, 0, 0, 0)


if __name__ == "__main__":
    sys.exit(run(sys.argv[1:]))
