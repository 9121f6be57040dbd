from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.processes import Process

if TYPE_CHECKING:
    from pathlib import Path

IMPORTING = (sys.executable, "-X", "importtime", "-m", "zotpy")
"""Python names each module that it imports on standard error."""
NEVER = {"argon2", "botocore", "cel_expr_python", "joserfc", "moto", "passlib", "sansldap"}
"""What few registries need."""
SERVERS = {"trio", "structlog", "rich", "httpx", "quart", "hypercorn", "prometheus_client", "importlib.metadata"}
"""What a command does without if it serves nothing and reads no bucket: half a second of CPU."""
COMMANDS = {f"zotpy.{part}" for part in ("exporting", "importing", "inspection", "layouts", "syncing", "workers")}
"""What a replica does without."""


def imported(told: str) -> set[str]:
    """Return the modules and the packages that Python named."""
    names = [line.rpartition("|")[2].strip() for line in told.splitlines() if line.startswith("import time:")]
    assert "zotpy.garbage" in names
    return {".".join(name.split(".")[:length]) for name in names for length in range(1, 4)}


@pytest.mark.parametrize("arguments", ["--version", "verify FILE", "gc --help"])
def test_a_short_command_imports_no_server(arguments: str, tmp_path: Path) -> None:
    """It reads its arguments and a file, and says something. `--version` looks up the version."""
    file = tmp_path / "config.yaml"
    file.write_text("http: {port: 6000}")
    command = [*IMPORTING, *arguments.replace("FILE", str(file)).split()]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    looked_up = {"importlib.metadata"} if arguments == "--version" else set()
    assert imported(done.stderr) & (NEVER | SERVERS | COMMANDS) == looked_up


def test_a_replica_imports_no_commands(tmp_path: Path) -> None:
    """`zotpy serve` with its own store: what other settings need is imported by a start that has them."""
    log = tmp_path / "log"
    command = [*IMPORTING, "serve", "--port", "0", "--root", str(tmp_path / "root")]
    replica = Process("replica", command, log)
    try:
        replica.start(lambda: "zotpy is ready on" in log.read_text())
    finally:
        replica.stop()
    names = imported(log.read_text())
    assert names & (NEVER | COMMANDS) == set()
    assert {"zotpy.server", "trio", "quart"} <= names


COUNTING = """
import gc, sys
def collections():
    return sum(generation["collections"] for generation in gc.get_stats())
before = collections()
import zotpy.__main__, zotpy.server
code = zotpy.__main__.main()
print(code, collections() - before, len(gc.get_objects()), gc.get_freeze_count())
"""


def test_python_looks_for_garbage_late_and_not_at_the_end(tmp_path: Path) -> None:
    """Few times while it imports, instead of hundreds, and at few objects in the end: a quarter of the CPU time."""
    file = tmp_path / "config.yaml"
    file.write_text("http: {port: 6000}")
    command = [sys.executable, "-c", COUNTING, "verify", str(file)]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    code, collections, left, frozen = map(int, said.splitlines()[-1].split())
    assert (code, collections <= 4) == (0, True)
    assert left < frozen / 20
