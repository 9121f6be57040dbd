"""Memory for long answers that is used again: in a new block each 4 KiB costs the system a page fault.

A slab is free once no view of it exists. So no caller has to give one back, and none can be used twice.
"""

import sys

SLAB_BYTES = 4 * 1024 * 1024
MOST_SLABS = 10
"""How many are kept for the next answers. If all are in use, further ones are made, and freed after use."""
LEAST_ROOM_BYTES = SLAB_BYTES // 4
"""If less is left in a slab, a read would be too short: the next slab is used."""
_REFERENCES_IF_FREE = 3
"""References to a slab without views: from the list, from the variable of the loop, and from the call that counts."""


class Slabs:
    """The slabs of a process."""

    def __init__(self) -> None:
        """Begin with none."""
        self._slabs: list[bytearray] = []

    def take(self) -> memoryview:
        """Return `SLAB_BYTES` that nothing else uses, with any content."""
        for slab in self._slabs:
            if sys.getrefcount(slab) == _REFERENCES_IF_FREE:
                return memoryview(slab)
        slab = bytearray(SLAB_BYTES)
        if len(self._slabs) < MOST_SLABS:
            self._slabs.append(slab)
        return memoryview(slab)


class Room:
    """Where the bytes of one answer are received: one read behind the other, slab by slab."""

    def __init__(self, slabs: Slabs) -> None:
        """Take slabs of `slabs` when there is something to receive."""
        self._slabs = slabs
        self._free = memoryview(b"")

    def offer(self, most_bytes: int) -> memoryview:
        """Return where to receive up to `most_bytes`, 1 or more; it may be fewer."""
        if len(self._free) < min(most_bytes, LEAST_ROOM_BYTES):
            self._free = self._slabs.take()
        return self._free[:most_bytes]

    def fill(self, count: int) -> memoryview:
        """Return the first `count` bytes of what was offered, which now hold what was received."""
        filled, self._free = self._free[:count], self._free[count:]
        return filled

    def leave(self) -> None:
        """Drop the rest of the slab."""
        self._free = memoryview(b"")
