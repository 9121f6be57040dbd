"""What can be read at any time: the memory budget, the disk and the cache of a replica."""

from collections.abc import Callable
from typing import Literal

from prometheus_client import CollectorRegistry, Gauge

from zotpy.memory.budget import MemoryBudget
from zotpy.memory.readers import Readers
from zotpy.store.space import Space


class Gauges:
    """Shows what functions return."""

    def __init__(self, registry: CollectorRegistry, *, is_shared: bool) -> None:
        """Show nothing yet. If shared, other workers show the gauges too."""
        self._registry = registry
        self._is_shared = is_shared
        self._published: list[tuple[Gauge, Callable[[], float]]] = []

    def watch_budget(self, budget: MemoryBudget, readers: Readers) -> None:
        """Show how much of the memory budget bodies hold, and how many pushes and pulls wait for it."""
        self._watch("zotpy_pulls_waiting", "Pulls that wait for memory or a place.", lambda: readers.waiting)
        self._watch("zotpy_memory_budget_used_bytes", "Bytes held by bodies under way.", lambda: budget.used_bytes)
        self._watch("zotpy_memory_budget_bytes", "The memory budget.", lambda: budget.total_bytes)
        self._watch("zotpy_memory_budget_waiting", "Bodies of pushes that wait for memory.", lambda: budget.waiting)

    def watch_space(self, space: Space) -> None:
        """Show the free space on the disk of the embedded store, which is the same for all workers."""
        if space.directory is not None:
            free = "Free bytes on the disk of the store on this machine."
            self._watch("zotpy_disk_free_bytes", free, lambda: space.free_bytes, "livemin")
            reserved = "Free bytes below which pushes are refused."
            self._watch("zotpy_disk_reserved_bytes", reserved, lambda: space.reserved_bytes, "livemax")

    def watch_cache(self, read_used_bytes: Callable[[], float]) -> None:
        """Show how much the files of the cache hold, those that are being filled included."""
        self._watch("zotpy_cache_used_bytes", "Bytes that the files of the cache hold.", read_used_bytes)

    def _watch(
        self,
        name: str,
        what: str,
        read: Callable[[], float],
        over_workers: Literal["livesum", "livemin", "livemax"] = "livesum",
    ) -> None:
        """Show what a function returns. Over living workers it is the sum by default."""
        gauge = Gauge(name, what, registry=self._registry, multiprocess_mode=over_workers)
        if self._is_shared:  # another worker cannot call a function of ours: it reads what we published last
            self._published.append((gauge, read))
            gauge.set(read())
        else:
            gauge.set_function(read)

    def publish(self) -> None:
        """Write the gauges where other workers read them."""
        for gauge, read in self._published:
            gauge.set(read())
