from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from tests.forks.forked import Forked
from tests.processes import has_ended, wait_until

if TYPE_CHECKING:
    from pathlib import Path

COMMAND = (sys.executable, "-m", "tests.forks.surroundings")
DIFFERENT = ("drawn", "is forked")
"""What a fork and a start do not have in common: chance, and the modules that are there."""


def seen(popen: type[subprocess.Popen[str]], *, code: int = 0, **options: Any) -> dict[str, Any]:
    """Start the program with something to read, and return what it sees of itself. It must end with this code."""
    command = [*COMMAND, str(code), "a word"]
    with popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, **options) as process:
        said, _ = process.communicate("to be read")
    assert process.returncode == code
    return dict(json.loads(said))


def shared(saw: dict[str, Any]) -> dict[str, Any]:
    """Leave out what may differ, and the names of pipes, of which each start has its own."""
    files = [name.partition(":")[0] for name in saw["files"].values()]
    return {name: value for name, value in saw.items() if name not in DIFFERENT} | {"files": files}


def test_a_fork_sees_what_a_start_sees() -> None:
    """Its words, variables, parent, group, files, limits, handlers of signals, what it reads, and its exit code."""
    options: dict[str, Any] = {"env": {**os.environ, "ZOTPY_SOMETHING": "é"}, "code": 3}
    forked, started = seen(Forked, **options), seen(subprocess.Popen, **options)
    assert (forked["is forked"], started["is forked"]) == (True, False)
    assert shared(forked) == shared(started)
    assert forked["parent"] == os.getpid()
    assert forked["read"] == "to be read"
    assert forked["variables"]["ZOTPY_SOMETHING"] == "é"


def test_a_fork_waits_for_its_parent() -> None:
    """It goes on below the process that adopts it, however slowly the one between the two ends."""
    code = """
import os, time
from tests.forks.server import fork_orphan
end = os._exit
os._exit = lambda code: (time.sleep(0.5), end(code))
if fork_orphan() == 0:
    print(os.getppid(), flush=True)
    end(0)
"""
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as process:
        said, _ = process.communicate()
    assert not has_ended(int(said))


def test_each_fork_draws_its_own() -> None:
    """Replicas that come from one process differ in their pauses, and in the order in which trio runs their tasks."""
    drawn = [seen(Forked)["drawn"] for _ in range(3)]
    assert [len(set(numbers)) for numbers in zip(*drawn, strict=True)] == [3, 3]


@pytest.mark.parametrize("options", [{"start_new_session": True}, {"cwd": "/", "env": {"PYTHONPATH": os.getcwd()}}])  # noqa: PTH109 - text
def test_what_a_fork_cannot_have_is_started(options: dict[str, Any]) -> None:
    """A session of its own, another directory, or a variable that Python reads: then it starts as elsewhere."""
    assert seen(Forked, **options)["is forked"] is False


def test_a_limit_that_was_lowered_holds() -> None:
    """The fork server began with another limit, so this program is started."""
    before, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    seen(Forked)
    resource.setrlimit(resource.RLIMIT_NOFILE, (before - 1, most))
    try:
        saw = seen(Forked)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (before, most))
    assert saw["is forked"] is False
    assert saw["limits"][resource.RLIMIT_NOFILE] == [before - 1, most]


def test_a_fork_is_killed_and_waited_for(tmp_path: Path) -> None:
    """It dies of the signal, and is gone once its parent, the test process, has taken note."""
    command = [sys.executable, "-m", "zotpy", "serve", "--port", "0", "--root", str(tmp_path)]
    with Forked[bytes](command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        assert process.stdout is not None
        assert (process.stdout.readline(), process.stdout.readline()[:17]) == (b"\n", b"zotpy is ready on")
        assert process.poll() is None
        process.send_signal(signal.SIGTERM)
        assert process.wait() == 0
    with Forked[bytes](command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as killed:
        killed.kill()
    assert killed.returncode == -signal.SIGKILL
    assert has_ended(killed.pid)


def test_a_program_that_fails_says_why() -> None:
    """A traceback and exit code 1 come out of a fork as they do out of a start."""
    with Forked[bytes]([*COMMAND, "no number"], stdin=subprocess.DEVNULL, stderr=subprocess.PIPE) as process:
        _, said = process.communicate()
    assert process.returncode == 1
    assert said.decode().endswith("ValueError: invalid literal for int() with base 10: 'no number'\n")


def test_the_fork_server_ends_with_the_tests() -> None:
    """A test process that is killed leaves none behind."""
    code = """
import os
from tests.forks.forked import ForkServer
print(ForkServer.of_this_process()._process.pid, flush=True)
os.kill(os.getpid(), 9)
"""
    killed = subprocess.run([sys.executable, "-c", code], stdout=subprocess.PIPE, check=False)
    assert killed.returncode == -signal.SIGKILL
    pid = int(killed.stdout)
    wait_until(lambda: has_ended(pid), "the fork server has ended")
