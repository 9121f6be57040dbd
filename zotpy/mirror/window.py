"""The last bytes of a blob that is being copied, in memory for those who read behind."""

from bisect import bisect_right

from zotpy.core.units import MIB
from zotpy.memory.readers import Readers

LEAST_BYTES = 2 * MIB
"""What every copy keeps, beside the memory budget."""
STEP_BYTES = MIB
MOST_BYTES = 32 * MIB
"""As far as memory for pulls is free."""
MOST_PIECES = 4096
"""An upstream may send very small pieces, each of which costs some memory."""


class Window:
    """Pieces of a blob from byte `start` to byte `end`."""

    def __init__(self, readers: Readers) -> None:
        """Hold nothing yet."""
        self.start = self.end = 0
        self._pieces: list[bytes] = []
        self._starts: list[int] = []
        self._room_bytes = LEAST_BYTES
        self._readers = readers
        self._account = readers.account()

    def begin_at(self, start: int) -> None:
        """Begin at this byte, with nothing added yet. What was added before is forgotten."""
        self.start = self.end = start
        self._pieces.clear()
        self._starts.clear()

    @property
    def first_end(self) -> int:
        """Where the oldest piece ends."""
        return self.start + (len(self._pieces[0]) if self._pieces else 0)

    def has_room(self, size_bytes: int) -> bool:
        """Say whether a piece may be added without dropping another. It takes more memory if that is free."""
        if not self._pieces:
            return True
        needed = self.end - self.start + size_bytes
        while needed > self._room_bytes < MOST_BYTES:
            if not self._readers.reserve_ahead(self._account, STEP_BYTES):
                break
            self._room_bytes += STEP_BYTES
        return needed <= self._room_bytes and len(self._pieces) < MOST_PIECES

    def add(self, piece: bytes) -> None:
        """Add what comes next."""
        self._pieces.append(piece)
        self._starts.append(self.end)
        self.end += len(piece)

    def drop_oldest(self) -> None:
        """Forget the oldest piece."""
        self.start += len(self._pieces.pop(0))
        del self._starts[0]

    def read(self, at: int) -> bytes:
        """Return some bytes from `at` on, which must be at least `start` and less than `end`."""
        number = bisect_right(self._starts, at) - 1
        piece = self._pieces[number]
        skipped = at - self._starts[number]
        return piece[skipped:] if skipped else piece

    def close(self) -> None:
        """Forget all, and give the memory back."""
        self.start = self.end
        self._pieces.clear()
        self._starts.clear()
        self._room_bytes = LEAST_BYTES
        self._readers.close(self._account)
