"""What tests build once and keep outside the checkout is built by one run at a time, however many begin."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from bench.servers.programs import LOCK, kept
from tests.processes import descendants, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]
MODULE = "example.com/tool@v1.0.0"
GO = """#!/bin/sh
if [ "$1" = env ]; then echo go1.99; exit; fi
echo "$@" >>"$BUILT"
if [ "$1" = build ]; then exit 1; fi # of a script, which says so
touch "$GOBIN/tool"
"""
"""Notes what it builds."""


class Machine:
    """A machine that keeps nothing yet, and has a Go that builds nothing."""

    def __init__(self, directory: Path) -> None:
        """Make it in an empty directory."""
        self.cache, self._built = directory / "zotpy", directory / "built"
        go = directory / "bin" / "go"
        go.parent.mkdir()
        go.write_text(GO)
        go.chmod(0o755)
        paths = {"PATH": f"{go.parent}:{os.environ['PATH']}", "PYTHONPATH": str(ROOT)}
        self._environ = {**os.environ, **paths, "XDG_CACHE_HOME": str(directory), "BUILT": str(self._built)}
        self._started: list[subprocess.Popen[str]] = []

    def start(self, *command: str | Path) -> subprocess.Popen[str]:
        """Start one run."""
        pipe = subprocess.PIPE
        run = subprocess.Popen(command, cwd=ROOT, env=self._environ, stdout=pipe, stderr=pipe, text=True)
        self._started.append(run)
        return run

    def built(self) -> list[str]:
        """Return what Go was told to build."""
        return self._built.read_text().splitlines() if self._built.exists() else []

    def close(self) -> None:
        """End every run."""
        for run in self._started:
            run.kill()
            run.communicate()


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    """Return such a machine."""
    made = Machine(tmp_path)
    yield made
    made.close()


def test_a_program_is_built_once_by_two_runs(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those that come while another run builds wait, and then take what was built."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(machine.cache.parent))
    program = kept(MODULE)
    build = f"import rich.console; from bench.servers.programs import build; build({MODULE!r}, rich.console.Console())"
    lock = program.parent.parent / LOCK
    lock.parent.mkdir(parents=True)
    with lock.open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        runs = [machine.start(sys.executable, "-c", build) for _ in range(2)]
        wait_until(lambda: bool(machine.built()) or all(map(waits, runs)), "both have begun")
        assert machine.built() == []
    for run in runs:
        _, said = run.communicate()
        assert run.returncode == 0, said
    assert machine.built() == [f"install -v {MODULE}"]
    assert program.exists()


@pytest.mark.parametrize("kind", ["peers", "pushers"])
def test_servers_and_clients_that_are_no_programs_of_their_own_are_built_by_one_run(
    kind: str, machine: Machine
) -> None:
    """A script begins to build when no other one builds."""
    lock = machine.cache / kind / "lock"
    lock.parent.mkdir(parents=True)
    with lock.open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        run = machine.start(ROOT / "tests" / kind / "build")
        wait_until(lambda: bool(machine.built()) or waits(run), "it has begun")
        assert machine.built() == []
    assert run.wait() == 1
    assert [line.split()[0] for line in machine.built()] == ["build"]


def waits(run: subprocess.Popen[str]) -> bool:
    """Whether a run waits for a lock, or a program that it has started."""
    waiting = [line.split() for line in Path("/proc/locks").read_text().splitlines() if "->" in line]
    return bool({int(words[5]) for words in waiting} & {run.pid, *descendants(run.pid)})
