"""Nothing outlives a run of the tests, however it ends."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests import session
from tests.processes import Process, descendants, has_ended, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]
INNER = """
import json, os, pathlib, subprocess, sys, tempfile, time

def test_that_waits():
    # One that is our child, and one that has lost its parent and our process group.
    child = subprocess.Popen(["sleep", "600"])
    orphan = subprocess.run("setsid sleep 600 >/dev/null 2>&1 & echo $!", shell=True, stdout=subprocess.PIPE)
    directory = pathlib.Path(tempfile.gettempdir())
    (directory / "large").write_bytes(bytes(1000))
    told = {"pids": [os.getpid(), child.pid, int(orphan.stdout)], "directory": str(directory)}
    told["keeps_bytecode"] = not sys.dont_write_bytecode
    pathlib.Path("told.part").write_text(json.dumps(told))
    pathlib.Path("told.part").rename("told")
    while not pathlib.Path("go-on").exists():
        time.sleep(0.05)
"""

ON_TRIO = """
import pathlib, trio

async def test_that_waits():
    async with trio.open_nursery() as nursery:
        nursery.start_soon(trio.sleep_forever)
        pathlib.Path("told").touch()
        await trio.sleep_forever()

def test_that_comes_next():
    pathlib.Path("next").touch()
"""


class Run:
    """A session over one test, which says what it has started and waits."""

    def __init__(self, directory: Path, *arguments: str) -> None:
        """Prepare it, with more arguments for pytest; nothing is started yet."""
        self.directory = directory
        (directory / "test_inner.py").write_text(INNER)
        (directory / "pytest.ini").write_text("[pytest]\n")
        (directory / "conftest.py").write_text("from tests.stopping import pytest_configure\n")
        (directory / "tmp").mkdir()
        environ = {**os.environ, "PYTHONPATH": str(ROOT), "TMPDIR": str(directory / "tmp")}
        environ |= {"PYTHONDONTWRITEBYTECODE": "1", "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
        command = ["setsid", sys.executable, "-m", "tests.session", "-q", "-p", "no:cacheprovider", *arguments]
        self.pids: list[int] = []
        self.process = Process("session", command, directory / "log", environ, directory)

    def start(self) -> None:
        """Start it and wait until the test waits."""
        self.process.start((self.directory / "told").exists)
        told = json.loads((self.directory / "told").read_text())
        self.pids = told["pids"]
        self.temporary = Path(told["directory"])
        self.keeps_bytecode: bool = told["keeps_bytecode"]

    def go_on(self) -> None:
        """Let the test end."""
        (self.directory / "go-on").touch()

    def left(self) -> list[int]:
        """Return those of the processes that still run."""
        return [pid for pid in self.pids if not has_ended(pid)]


@pytest.fixture
def run(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Run]:
    """Return a session whose test waits; pytest is given the arguments that a test names as parameters."""
    run = Run(tmp_path, *getattr(request, "param", ()))
    try:
        run.start()
        assert run.left() == run.pids
        assert (run.temporary / "large").exists()
        yield run
    finally:
        run.process.kill()
        for pid in run.left():
            with suppress(ProcessLookupError):  # the session ends them as well
                os.kill(pid, signal.SIGKILL)


@pytest.mark.parametrize(
    ("way", "code"),
    [("by itself", 0), ("SIGTERM to pytest", 2), ("SIGTERM to the session", 2), ("SIGKILL to pytest", 128 + 9)],
)
def test_nothing_is_left_however_pytest_ends(run: Run, way: str, code: int) -> None:
    """When the session ends, every process has ended, an orphan too, and the temporary directory is deleted."""
    if way == "by itself":
        run.go_on()
    else:
        number = signal.SIGKILL if "SIGKILL" in way else signal.SIGTERM
        os.kill(run.process.pid if "session" in way else run.pids[0], number)
    assert run.process.ended(60) == code, run.process.log_tail()
    assert run.left() == []
    assert not run.temporary.exists()


@pytest.mark.parametrize("run", [("-p", "xdist", "--numprocesses", "2")], indirect=True)
def test_nothing_is_left_of_tests_on_several_cores(run: Run) -> None:
    """The processes of pytest-xdist end as well, and what their tests have started."""
    os.kill(run.process.pid, signal.SIGTERM)
    assert run.process.ended(60) == 2, run.process.log_tail()
    assert run.left() == []
    assert not run.temporary.exists()


def test_a_killed_session_leaves_nothing(run: Run) -> None:
    """Its keeper ends what was started and deletes the directory."""
    run.process.kill()
    wait_until(lambda: run.left() == [] and not run.temporary.exists(), "all is gone", 60)


def test_a_killed_group_leaves_nothing(run: Run) -> None:
    """What kills a session and all that is in its group, as a CI does with a job, leaves the keeper to clean up."""
    os.killpg(run.process.pid, signal.SIGKILL)
    wait_until(lambda: run.left() == [] and not run.temporary.exists(), "all is gone", 60)


def test_a_killed_keeper_leaves_nothing(run: Run) -> None:
    """The session cleans up in its place."""
    os.kill(descendants(run.process.pid)[0], signal.SIGKILL)
    assert run.process.ended(60) == 128 + 9, run.process.log_tail()
    assert run.left() == []
    assert not run.temporary.exists()


def test_what_a_lost_machine_leaves_goes_with_the_next_run(tmp_path: Path) -> None:
    """The directory of a session that has ended is deleted; that of one whose run goes on is not, nor others."""
    lost = subprocess.run(["sh", "-c", "echo $$"], capture_output=True, text=True, check=True).stdout.strip()
    left = tmp_path / f"{session.PREFIX}{lost}"
    mine = tmp_path / f"{session.PREFIX}{os.getppid()}"
    other = tmp_path / f"{session.PREFIX}of-others"
    for directory in (left, mine, other):
        directory.mkdir()
        (directory / "large").write_bytes(bytes(1000))
    session.delete_left(tmp_path)
    assert sorted(tmp_path.iterdir()) == sorted([mine, other])


def test_what_is_mounted_is_not_emptied(tmp_path: Path) -> None:
    """A file system that a test left mounted in its directory keeps its files."""
    if os.getuid() != 0:
        pytest.skip("root is needed to mount: sudo sh tests/run tests/unit/test_session.py")
    kept = tmp_path / "kept"
    place = tmp_path / "run" / "mounted"
    kept.mkdir()
    place.mkdir(parents=True)
    (kept / "file").touch()
    mounted = subprocess.run(["mount", "--bind", kept, place], capture_output=True, check=False)
    if mounted.returncode != 0:
        pytest.skip("this system does not let root mount")
    session.delete(tmp_path / "run")
    assert (kept / "file").exists()
    assert not (tmp_path / "run").exists()


def test_a_test_on_trio_is_not_the_only_one_that_ends(tmp_path: Path) -> None:
    """A run that is told to stop while trio runs starts no other test."""
    (tmp_path / "test_inner.py").write_text(ON_TRIO)
    (tmp_path / "pytest.ini").write_text("[pytest]\ntrio_mode = true\n")
    (tmp_path / "conftest.py").write_text("from tests.stopping import pytest_configure, pytest_runtest_call\n")
    command = [sys.executable, "-m", "tests.session", "-q", "-p", "no:cacheprovider"]
    process = Process("session", command, tmp_path / "log", {**os.environ, "PYTHONPATH": str(ROOT)}, tmp_path)
    try:
        process.start((tmp_path / "told").exists)
        os.kill(process.pid, signal.SIGTERM)
        assert process.ended(60) == 2, process.log_tail()
        assert not (tmp_path / "next").exists()
    finally:
        process.stop()


def test_python_keeps_what_it_compiles(run: Run) -> None:
    """Programs that the tests start find modules compiled, also where the environment says that Python shall not."""
    assert run.keeps_bytecode
