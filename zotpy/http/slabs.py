"""Memory for long answers, in long blocks: to receive into many short ones costs more calls and more copies.

A slab is free once no view of it exists. So no caller has to give one back, and none can be used twice. Its memory is
then the allocator's, which keeps it for the next slabs and for the parts of pushes (`zotpy.allocator`).

The bytes of an answer begin at a place that makes whole pages of the body whole pages of memory: such pages go to a
disk without a copy (`zotpy.cache.direct`).

A view of some bytes keeps its whole slab, which the memory budget does not know. So the slabs of a process are few.
"""

import ctypes
from weakref import ref

from zotpy.http.unset_bytes import give_unset

SLAB_BYTES = 4 * 1024 * 1024
PAGE_BYTES = 4096
MOST_SLABS = 24
"""How many may be in use: two pulls that fill the cache have this much under way. If all are, answers are received
elsewhere, in as much memory as they need."""
LEAST_ROOM_BYTES = SLAB_BYTES // 4
"""If less is left in a slab, a read would be too short: the next slab is used. For fewer bytes, none is."""


class _Block(bytearray):
    """The memory of one slab. Whether it exists can be seen."""

    __slots__ = ("__weakref__",)


class Slabs:
    """The slabs of a process."""

    def __init__(self, most_slabs: int = MOST_SLABS) -> None:
        """Begin with none."""
        self._most_slabs = most_slabs
        self._in_use: list[ref[_Block]] = []

    def take(self) -> memoryview | None:
        """Return `SLAB_BYTES` that nothing else uses, with any content. `None`: all are in use, or the system has none.

        The first of them begins a page of memory.
        """
        self._in_use = [slab for slab in self._in_use if slab() is not None]
        if len(self._in_use) == self._most_slabs:
            return None
        block = _Block()
        try:
            give_unset(block, SLAB_BYTES + PAGE_BYTES)
        except MemoryError:  # what is freed elsewhere may do
            return None
        self._in_use.append(ref(block))
        start = -ctypes.addressof(ctypes.c_char.from_buffer(block)) % PAGE_BYTES
        return memoryview(block)[start:][:SLAB_BYTES]


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
