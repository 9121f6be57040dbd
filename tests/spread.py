"""In which order pytest-xdist hands out the files of tests: the longest first, so that all processes end together."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pytest

ROOT = Path(__file__).parents[1]
LONGEST = (
    "tests/deploy/test_bare_machine.py",
    "tests/simulation/test_simulation.py",
    "tests/integration/test_collecting.py",
    "tests/style/test_types.py",
    "tests/bench/test_run.py",
    "tests/bench/test_alone.py",
    "tests/failover/test_tag_races.py",
    "tests/failover/test_kills.py",
    "tests/failover/test_rolling_restart.py",
    "tests/deploy/test_image.py",
    "tests/deploy/test_release.py",
    "tests/blackbox/test_releases.py",
    "tests/blackbox/test_workers.py",
    "tests/faults/uploads/test_cut_chunks.py",
    "tests/faults/uploads/test_resume_anywhere.py",
    "tests/faults/test_memory_of_manifests.py",
)
"""Files that take half a minute or more; the others come after them, in their own order."""


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Put the longest files first where several processes share the tests."""
    if hasattr(config, "workerinput"):
        places = {ROOT / name: place for place, name in enumerate(LONGEST)}
        items.sort(key=lambda item: places.get(item.path, len(places)))
