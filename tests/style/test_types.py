"""The types of all code, as a test: it runs beside the others."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from bench.servers import programs

ROOT = Path(__file__).parents[2]


@pytest.mark.timeout(1200)
def test_mypy_finds_nothing() -> None:
    """Package, tests, benchmarks and scripts are fully typed.

    mypy looks again only at what has changed, and what depends on it, also in another checkout.
    """
    command = [sys.executable, "-m", "mypy", "--cache-dir", str(programs.cache() / "mypy")]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout + run.stderr
