"""Writing to a file past the page cache (`O_DIRECT`): the bytes go from where they are to the disk, without a copy.

The system asks for places in the file and in memory that are whole blocks. What is not is copied into a block of our
own first. The file's last bytes, which are no whole block, are written as usual.
"""

import ctypes
import errno
import mmap
import os
from collections.abc import Sequence

from zotpy.core.pieces import Buffer
from zotpy.core.units import MIB

BLOCK_BYTES = 4096
"""What every disk takes: the blocks of most are shorter."""
STAGE_BYTES = MIB
MOST_PIECES = 256
"""Fewer than the system takes with one call."""
_REFUSALS = {errno.EINVAL, errno.EOPNOTSUPP}


class DirectFile:
    """One file that is being filled, from its first byte on."""

    def __init__(self, descriptor: int, plain: int) -> None:
        """Write to `descriptor`, opened with `O_DIRECT`; `plain` is the same file without it."""
        self._descriptor = descriptor
        self._plain = plain
        self._stage = memoryview(mmap.mmap(-1, STAGE_BYTES))
        self._staged_bytes = 0
        self.works = True
        """The file system takes such writes."""

    def close(self) -> None:
        """Close its descriptor. Raises `OSError`."""
        os.close(self._descriptor)

    def write(self, pieces: Sequence[Buffer], at: int) -> int:
        """Write the pieces to `at`, the begin of a block, and return their length. Raises `OSError`."""
        begin, at_stage = at, at
        vectors: list[memoryview] = []
        for piece in pieces:
            view = memoryview(piece)
            while view:
                if self._staged_bytes == STAGE_BYTES:
                    self._flush(vectors, at_stage)
                    at_stage = at
                taken = self._take(vectors, view, at)
                at += taken
                view = view[taken:]
        self._flush(vectors, at_stage)
        return at - begin

    def _take(self, vectors: list[memoryview], view: memoryview, at: int) -> int:
        """Add the first bytes to what is written: whole blocks from where they are, others by way of the stage."""
        ahead = -_address(view) % BLOCK_BYTES if not view.readonly else None
        if ahead == -at % BLOCK_BYTES:
            if not ahead and len(view) >= BLOCK_BYTES:
                vectors.append(view[: len(view) - len(view) % BLOCK_BYTES])
                return len(vectors[-1])
            view = view[: ahead or len(view)]
        start = self._staged_bytes
        view = view[: STAGE_BYTES - start]
        self._staged_bytes += len(view)
        self._stage[start : self._staged_bytes] = view
        if at % BLOCK_BYTES:  # only the stage holds parts of blocks
            begin = start - len(vectors.pop())
            vectors.append(self._stage[begin : self._staged_bytes])
        else:
            vectors.append(self._stage[start : self._staged_bytes])
        return len(view)

    def _flush(self, vectors: list[memoryview], at: int) -> None:
        """Write what was gathered."""
        left = sum(map(len, vectors)) % BLOCK_BYTES
        tail = b""
        if left:
            tail = bytes(vectors[-1][-left:])
            if last := vectors.pop()[:-left]:
                vectors.append(last)
        count = self._write_blocks(vectors, at)
        for view in (*vectors, memoryview(tail)):
            done = min(count, len(view))
            count -= done
            at += done
            at += write_all(self._plain, view[done:], at)
        vectors.clear()
        self._staged_bytes = 0

    def _write_blocks(self, vectors: list[memoryview], at: int) -> int:
        """Write blocks, and return how many bytes the disk took: it may be nearly full, or refuse such writes."""
        if not self.works or not any(vectors):
            return 0
        try:
            return os.pwritev(self._descriptor, vectors, at)
        except OSError as error:
            if error.errno not in _REFUSALS:
                raise
            self.works = False
            return 0


def write_pieces(descriptor: int, pieces: Sequence[Buffer], at: int) -> int:
    """Write the pieces to `at`, by way of the page cache, and return their length. Raises `OSError`."""
    begin = at
    for start in range(0, len(pieces), MOST_PIECES):
        some = pieces[start : start + MOST_PIECES]
        written = os.pwritev(descriptor, some, at)
        for piece in some:
            done = min(written, len(piece))
            written -= done
            done += write_all(descriptor, memoryview(piece)[done:], at + done)  # the disk is nearly full
            at += done
    return at - begin


def write_all(descriptor: int, piece: Buffer, at: int) -> int:
    """Write all of a piece, however little the disk takes at a time. Return its length. Raises `OSError`."""
    done = 0
    while done < len(piece):
        done += os.pwrite(descriptor, memoryview(piece)[done:], at + done)
    return done


def _address(view: memoryview) -> int:
    """Return where writable bytes are in memory."""
    return ctypes.addressof(ctypes.c_char.from_buffer(view))
