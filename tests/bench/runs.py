"""`bench/run.py` as tests run it: in a tiny form, in this process."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from bench import run
from tests.processes import needed

if TYPE_CHECKING:
    from pathlib import Path

TINY = ("--clients", "2", "--warm-up", "0.2", "--duration", "0.8", "--layer-mib", "0.25", "--longest-layer-mib", "0.25")


def measured(directory: Path, *arguments: str, status: int = 0) -> dict[str, Any]:
    """Run it, which must end with this status, and return what it wrote; what is given again counts."""
    directory.mkdir(exist_ok=True)
    with needed():
        ended = run.main([*TINY, "--output", str(directory), *arguments])
    found: dict[str, Any] = json.loads((directory / "results.json").read_text())
    assert ended == status, found["errors"]
    return found
