"""Which bytes of a file the system has in memory: to send these waits for no disk.

Nothing on Linux sends from a file and refuses to wait for its disk. So a byte in each 128 KiB is read with `RWF_NOWAIT`
(preadv2(2)), which takes a microsecond. The system reads a file ahead, and forgets it, in longer runs. If a shorter run
between two such bytes is missing nevertheless, one read of the disk is waited for.
"""

import os
from itertools import chain

from zotpy.core.units import KIB

STEP_BYTES = 128 * KIB
_ROOM = bytearray(1)
"""What is read is of no use."""


def present_bytes(descriptor: int, start: int, size_bytes: int) -> int:
    """Return how many of `size_bytes` from `start` are in memory, without a gap. 0 also where nobody can tell."""
    last = start + size_bytes - 1
    room = [_ROOM]
    for at in chain(range(start, last, STEP_BYTES), (last,)):
        try:
            if not os.preadv(descriptor, room, at, os.RWF_NOWAIT):
                return max(0, at - STEP_BYTES - start)
        except OSError:
            return max(0, at - STEP_BYTES - start)
    return size_bytes
