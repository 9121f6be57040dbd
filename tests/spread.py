"""In which order pytest-xdist hands out the files of tests: the longest first, so that all processes end together."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pytest

ROOT = Path(__file__).parents[1]
LONGEST = (
    "tests/simulation/test_simulation.py",
    "tests/deploy/test_bare_machine.py",
    "tests/integration/test_collecting.py",
    "tests/deploy/test_image.py",
    "tests/failover/test_rolling_restart.py",
    "tests/integration/test_embedded.py",
    "tests/failover/test_kills.py",
    "tests/deploy/test_release.py",
    "tests/blackbox/test_releases.py",
    "tests/integration/test_embedded_volumes.py",
    "tests/bench/test_run.py",
    "tests/bench/test_target.py",
    "tests/powercuts/test_power_cuts.py",
    "tests/integration/test_commands.py",
    "tests/faults/uploads/test_resume_anywhere.py",
    "tests/integration/test_full_disk.py",
    "tests/faults/uploads/test_cut_chunks.py",
    "tests/blackbox/test_workers.py",
    "tests/docs/test_pages.py",
    "tests/bench/test_alone.py",
    "tests/docs/test_backup.py",
    "tests/docs/test_coming_from.py",
    "tests/blackbox/test_sync.py",
    "tests/blackbox/test_reload.py",
    "tests/blackbox/test_import.py",
    "tests/blackbox/test_export.py",
    "tests/failover/test_tag_races.py",
    "tests/faults/test_store_faults.py",
    "tests/blackbox/test_mirror.py",
    "tests/faults/uploads/test_memory_bound.py",
    "tests/faults/test_memory_of_manifests.py",
    "tests/faults/uploads/test_racing_requests.py",
    "tests/deploy/test_haproxy_rules.py",
    "tests/blackbox/test_restart.py",
    "tests/faults/test_lasting_faults.py",
    "tests/faults/test_pushers.py",
    "tests/faults/test_held_pushes.py",
    "tests/unit/web/test_held_loop.py",
    "tests/unit/collector/test_a_million_leases.py",
    "tests/fuzz/test_fuzz.py",
    "tests/unit/collector/test_many_of_everything.py",
    "tests/style/test_types.py",
)
"""Files that take half a minute or more; the others come after them, in their own order.

Those that mostly wait stand between those that mostly compute, so that the cores always have something to do. The
simulation takes a minute, or three if the code that it runs has changed, or ten with `--long`.
"""


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Put the longest files first where several processes share the tests."""
    if hasattr(config, "workerinput"):
        places = {ROOT / name: place for place, name in enumerate(LONGEST)}
        items.sort(key=lambda item: places.get(item.path, len(places)))
