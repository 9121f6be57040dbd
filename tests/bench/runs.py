"""`bench/run.py` as tests run it: in a tiny form, in this process."""

from __future__ import annotations

import json
from functools import partial
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

from bench import run
from bench.cluster.plots import draw
from bench.micro.timing import cpu_s_per_gib
from tests.processes import needed

if TYPE_CHECKING:
    from pathlib import Path

TINY = ("--clients", "2", "--warm-up", "0.1", "--duration", "0.2", "--layer-mib", "0.25", "--longest-layer-mib", "0.25")
"""The generator takes all CPU for this time, twice for most workloads. `run` goes on longer if nothing came of it."""
HASHING_S = 0.01
"""How long it measures SHA-256, three times."""


def measured(directory: Path, *arguments: str, status: int = 0, draws: bool = False) -> dict[str, Any]:
    """Run it, which must end with this status, and return what it wrote; what is given again counts.

    It draws only if asked to: that takes longer than all else of a tiny run.
    """
    directory.mkdir(exist_ok=True)
    with (
        needed(),
        patch.object(run, "cpu_s_per_gib", partial(cpu_s_per_gib, run_s=HASHING_S)),
        patch.object(run, "draw", draw if draws else lambda *_: []),
    ):
        ended = run.main([*TINY, "--output", str(directory), *arguments])
    found: dict[str, Any] = json.loads((directory / "results.json").read_text())
    assert ended == status, found["errors"]
    return found
