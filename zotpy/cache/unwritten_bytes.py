"""The bytes of a download that are in memory: the disk has not taken them yet, or the one who follows has not.

They are the pieces in which the store sent them, and are not copied. As long as a read follows closely, it takes its
bytes from here, and the disk's copy of them need not be in memory (`zotpy.cache.direct`).
"""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

from zotpy.core.pieces import Buffer
from zotpy.memory.readers import Readers


@dataclass(eq=False, slots=True)
class _Piece:
    start: int
    buffer: Buffer
    reserved_bytes: int
    is_kept: bool = True
    """It is in the window. If not, a read may still have it."""

    @property
    def end(self) -> int:
        return self.start + len(self.buffer)


class Window:
    """The pieces, in their order and without a gap."""

    def __init__(self, readers: Readers) -> None:
        """Begin at the first byte, with a read that follows. Memory is that of pulls."""
        self._readers = readers
        self._account = readers.account()
        self._pieces: deque[_Piece] = deque()
        self._lent: _Piece | None = None
        self._passed_bytes = 0
        self.is_followed = True
        """What was written is kept until the one who follows has passed it."""
        self.end = 0
        """How many bytes, from the first on, have come."""
        self.written_bytes = 0
        """How many of them the disk has."""

    @property
    def unwritten_bytes(self) -> int:
        """How many bytes the disk does not have yet."""
        return self.end - self.written_bytes

    @property
    def held_bytes(self) -> int:
        """How many bytes are in the window."""
        return self.end - self._pieces[0].start if self._pieces else 0

    def append(self, buffer: Buffer) -> None:
        """Add what came. Without memory for it, nobody can follow."""
        reserved_bytes = len(buffer) if self.is_followed else 0
        if reserved_bytes and not self._readers.reserve_ahead(self._account, reserved_bytes):
            reserved_bytes = 0
            self.stop_following()
        self._pieces.append(_Piece(self.end, buffer, reserved_bytes))
        self.end += len(buffer)

    def unwritten(self, most_bytes: int) -> Iterator[memoryview]:
        """Iterate over what the disk does not have yet, as far as `most_bytes`."""
        for piece in self._pieces:
            if most_bytes and piece.end > self.written_bytes:
                view = memoryview(piece.buffer)[max(0, self.written_bytes - piece.start) :][:most_bytes]
                most_bytes -= len(view)
                yield view

    def note_written(self, count: int) -> None:
        """Take note that the disk has the next `count` bytes."""
        self.written_bytes += count
        self._drop()

    def has(self, at: int) -> bool:
        """Say whether the byte at `at` is here."""
        return bool(self._pieces) and self._pieces[0].start <= at < self.end

    def lend(self, at: int, most_bytes: int) -> memoryview | None:
        """Return bytes from `at` on, for the one who follows. They stay until the next call of `pass_to`."""
        for piece in self._pieces:
            if piece.start <= at < piece.end:
                self._lent = piece
                return memoryview(piece.buffer)[at - piece.start :][:most_bytes]
        return None

    def pass_to(self, at: int) -> None:
        """Take note that the one who follows needs no bytes before `at`."""
        self._passed_bytes = at
        lent, self._lent = self._lent, None
        if lent is not None and not lent.is_kept:
            self._readers.release(self._account, lent.reserved_bytes)
        self._drop()

    def stop_following(self) -> None:
        """Keep nothing that the disk has."""
        self.is_followed = False
        self._drop()

    def close(self) -> None:
        """Drop everything."""
        self._lent = None
        self._pieces.clear()
        self._readers.close(self._account)

    def _drop(self) -> None:
        while self._pieces and self._pieces[0].end <= self.written_bytes:
            if self.is_followed and self._pieces[0].end > self._passed_bytes:
                return
            piece = self._pieces.popleft()
            piece.is_kept = False
            if piece is not self._lent:
                self._readers.release(self._account, piece.reserved_bytes)
