"""Memory for long answers that is used again: in a new block each 4 KiB costs the system a page fault.

A slab is free once no view of it exists. So no caller has to give one back, and none can be used twice.

The bytes of an answer begin at a place that makes whole pages of the body whole pages of memory: such pages go to a
disk without a copy (`zotpy.cache.direct`). Slabs ask the system for huge pages, of which a disk's driver has fewer to
look at.

A view of some bytes keeps its whole slab, which the memory budget does not know. So the slabs of a process are few.

Only some of them are kept. The others are memory of Python's allocator: once freed, it is part of what the process
keeps for the next bodies anyway (`zotpy.startup.keep_freed`), and costs no page faults when it is used again.
"""

import ctypes
import mmap
from contextlib import suppress
from weakref import ref

from zotpy.http.unset_bytes import give_unset

SLAB_BYTES = 4 * 1024 * 1024
PAGE_BYTES = 4096
MOST_KEPT = 16
"""How many a process keeps."""
MOST_SLABS = 24
"""How many may be in use: two pulls that fill the cache have this much under way. Those that are not kept are freed
with their last view. If all are in use, answers are received elsewhere, in as much memory as they need."""
LEAST_ROOM_BYTES = SLAB_BYTES // 4
"""If less is left in a slab, a read would be too short: the next slab is used. For fewer bytes, none is."""


class _Block(bytearray):
    """A slab that is not kept. Whether it exists can be seen."""

    __slots__ = ("__weakref__",)


class Slabs:
    """The slabs of a process."""

    def __init__(self, most_slabs: int = MOST_SLABS) -> None:
        """Begin with none."""
        self._most_slabs = most_slabs
        self._kept: list[mmap.mmap] = []
        self._others: list[ref[_Block]] = []

    def take(self) -> memoryview | None:
        """Return `SLAB_BYTES` that nothing else uses, with any content. `None`: all are in use, or the system has none.

        The first of them begins a page of memory.
        """
        for slab in self._kept:
            if _is_free(slab):
                return memoryview(slab)
        self._others = [other for other in self._others if other() is not None]
        if len(self._kept) + len(self._others) == self._most_slabs:
            return None
        if len(self._kept) == MOST_KEPT:
            block = _Block()
            self._others.append(ref(block))
            return _pages_of(block)
        try:
            slab = mmap.mmap(-1, SLAB_BYTES, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        except OSError:  # the system has no memory to give; what is freed elsewhere may do
            return None
        with suppress(OSError):  # a system without huge pages
            slab.madvise(mmap.MADV_HUGEPAGE)
        self._kept.append(slab)
        return memoryview(slab)


def _pages_of(block: _Block) -> memoryview:
    """Give an empty block `SLAB_BYTES` that begin a page, and are not set."""
    give_unset(block, SLAB_BYTES + PAGE_BYTES)
    start = -ctypes.addressof(ctypes.c_char.from_buffer(block)) % PAGE_BYTES
    return memoryview(block)[start:][:SLAB_BYTES]


def _is_free(slab: mmap.mmap) -> bool:
    """Say whether no view of a slab is left: only then does Python let its length be set.

    The number of references says less. It depends on the interpreter, and newer ones count fewer.
    """
    try:
        slab.resize(SLAB_BYTES)
    except BufferError:
        return False
    return True


class Room:
    """Where the bytes of one answer are received: one read behind the other, slab by slab."""

    def __init__(self, slabs: Slabs) -> None:
        """Take slabs of `slabs` when there is something to receive."""
        self._slabs = slabs
        self._free = memoryview(b"")

    def offer(self, most_bytes: int, at: int = 0) -> memoryview | None:
        """Return where to receive up to `most_bytes`, 1 or more, from `at` on; it may be fewer. `None`: elsewhere."""
        if len(self._free) < min(most_bytes, LEAST_ROOM_BYTES):
            self.leave()
            slab = self._slabs.take() if most_bytes >= LEAST_ROOM_BYTES else None
            if slab is None:
                return None
            self._free = slab[at % PAGE_BYTES :]
        return self._free[:most_bytes]

    def fill(self, count: int) -> memoryview:
        """Return the first `count` bytes of what was offered, which now hold what was received."""
        filled, self._free = self._free[:count], self._free[count:]
        return filled

    def leave(self) -> None:
        """Drop the rest of the slab."""
        self._free = memoryview(b"")
