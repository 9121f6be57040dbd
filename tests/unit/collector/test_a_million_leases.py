"""A million leases: the collector's memory follows the largest repository and its buffers, not the registry."""

from __future__ import annotations

import json
import resource
import subprocess
import sys
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import trio

from tests.unit.collector.support import SETTINGS
from zotpy.collector import Collector
from zotpy.core import keys
from zotpy.garbage import collect_late
from zotpy.store.interface import Listed, Listing
from zotpy.store.memory_store import MemoryStore

NOW = datetime(2026, 1, 1, tzinfo=UTC)
OLD = NOW - timedelta(days=2)
REPOSITORIES, BLOBS = 1000, 1000
ROOT = Path(__file__).parents[3]


@dataclass(frozen=True, slots=True)
class Keys:
    """Keys that count upwards."""

    parts: list[str]
    first: int

    def __call__(self, number: int) -> str:
        """Write one: its id stands between the parts of the form. `str.format` takes five times as long."""
        return f"{number:032x}".join(self.parts)


class Registry(MemoryStore):
    """A million blobs, each named by one young lease, all made up when they are listed: they take no memory."""

    def __init__(self) -> None:
        """Hold nothing."""
        super().__init__(lambda: NOW)

    async def list(
        self, prefix: str, *, start_after: str = "", limit: int = 1000, directories: bool = False
    ) -> Listing:
        """List what is asked for."""
        if directories and prefix == keys.LEASES:
            names = [f"{keys.LEASES}r{number:04}!/" for number in range(REPOSITORIES)]
            left = [name for name in names if name > start_after]
            return Listing([], len(left) > limit, NOW, left[:limit])
        listed_at, keys_of, count = self._keys(prefix)
        after = start_after.rpartition("-" if prefix != keys.DATA else "/")[2]
        first = int(after, 16) + 1 - keys_of.first if after else 0
        last = min(first + limit, count)
        objects = [Listed(keys_of(keys_of.first + number), 10, '"e"', listed_at) for number in range(first, last)]
        return Listing(objects, last < count, NOW)

    def _keys(self, prefix: str) -> tuple[datetime, Keys, int]:
        """Return how old what lies below a prefix is, how its keys are written, and how many there are."""
        if prefix == keys.DATA:
            return OLD, Keys([keys.DATA, ""], 0), REPOSITORIES * BLOBS
        if prefix.startswith(keys.LEASES) and prefix != keys.LEASES:
            repo = prefix.removeprefix(keys.LEASES).partition("!")[0]
            parts = [f"{keys.LEASES}{repo}!/blobs/sha256/", "", f"/{'f' * 32}-", ""]
            return NOW, Keys(parts, int(repo[1:]) * BLOBS), BLOBS
        return NOW, Keys([""], 0), 0


def peak_mib() -> float:
    """Return the most memory that this process has had so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


async def collect() -> None:
    """Collect in this process, and print what was done and by how much it grew."""
    collect_late()  # as commands do
    before = peak_mib()
    summary = await Collector(Registry(), replace(SETTINGS, buffer_rows=20_000)).run()
    json.dump(summary.as_dict() | {"deletions": summary.deletions, "grown_mib": peak_mib() - before}, sys.stdout)


def test_memory_is_bounded_by_a_repository_and_a_buffer() -> None:
    """A million leases with as many data objects, of which none may go: all are looked at, and few are held at once."""
    done = subprocess.run([sys.executable, "-m", __name__], check=True, capture_output=True, cwd=ROOT, timeout=250)
    found = json.loads(done.stdout)
    assert (found["repositories"], found["leases"], found["data_objects"]) == (REPOSITORIES, 10**6, 10**6)
    assert (found["data_retired"], found["deletions"]) == (0, 0)
    assert found["grown_mib"] < 200  # as text in a set, the ids alone would be more


if __name__ == "__main__":
    trio.run(collect)
