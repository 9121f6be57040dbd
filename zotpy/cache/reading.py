"""One read of a file of the cache, which may still be filled."""

import errno
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from typing import Protocol

import trio

from zotpy.cache.disk import on_disk
from zotpy.cache.shelf import SHRUNK, CachedFile, Shelf
from zotpy.cache.verifying import WrongBytes
from zotpy.core.errors import TryAgain
from zotpy.core.file_pieces import FilePiece
from zotpy.core.ranges import Span
from zotpy.core.units import KIB, MIB
from zotpy.memory.accounts import Account
from zotpy.memory.readers import Readers, Turn

PIECE_BYTES = 512 * KIB
FILE_PIECE_BYTES = 4 * MIB
"""The system takes so many bytes from a file within two milliseconds, in which no other task has a turn."""
LEAST_FILE_BYTES = 256 * KIB
"""If fewer are in memory, a thread reads what follows: the turns of many short pieces would cost more."""
_NOT_HERE = {errno.EAGAIN, errno.EOPNOTSUPP}


class Reporting(Protocol):
    """Hears from a read which bytes came from the disk, or that the disk has failed."""

    shelf: Shelf

    def served(self, size_bytes: int) -> None:
        """Count bytes that came from a file."""

    def failed(self, file: CachedFile, error: OSError) -> None:
        """Note that the disk has failed."""


class Supply(Protocol):
    """Says which bytes of a file may be read: it is being filled, or compared with its digest."""

    async def reach(self, at: int) -> int:
        """Wait until the byte at `at` may be read. Return how many may be, from the first on; no more: it never may."""

    def lend(self, at: int, size_bytes: int) -> memoryview | None:
        """Return bytes from `at` on, if they are in memory. They stay until the next call of `reach`."""


class CacheReads:
    """The iterator. Bytes that the disk does not give come from `rest`.

    It holds memory only for a piece that is on the disk: while it waits for its supply it holds nothing that a download
    may need. If the answer takes pieces of files, it holds none for what the system has in memory.
    """

    def __init__(
        self,
        file: CachedFile,
        supply: Supply | None,
        span: Span,
        readers: Readers,
        account: Account,
        turn: Turn,
        rest: Callable[[Span], Awaitable[AsyncIterator[bytes]]],
        cache: Reporting,
    ) -> None:
        """Read `span`. Memory for its pieces is booked on `account`."""
        self._file = file
        self._supply = supply
        self._start, self._at, self._end = span.start, span.start, span.end
        self._readers = readers
        self._account = account
        self._turn = turn
        self._open_rest = rest
        self._cache = cache
        self._rest: AsyncIterator[bytes] | None = None
        self._buffer = bytearray()
        self._give_back: Callable[[], None] | None = None
        self._lent: FilePiece | None = None
        """The last piece, if it was one of the file: who has it says how much of it was sent."""
        self._takes_files = turn.takes_files

    def __aiter__(self) -> AsyncIterator[bytes]:
        """Return itself."""
        return self

    async def __anext__(self) -> bytes:
        """Return the next bytes, where they are in the file if the answer takes that. Raises what the store raises."""
        self._settle()
        if self._rest is None:
            if self._at >= self._end:
                raise StopAsyncIteration
            piece = await self._next_piece()
            if isinstance(piece, FilePiece):
                self._lent = piece
                return piece  # type: ignore[return-value]  # to one who knows it
            if piece is not None:
                self._at += len(piece)
                self._cache.served(len(piece))
                return piece  # type: ignore[return-value]  # a view of bytes
            self._rest = await self._open_rest(Span(self._at, self._end))
        return await anext(self._rest)

    def _settle(self) -> None:
        """Count the last piece: a caller that asks for the next one has sent what it could."""
        if self._give_back is not None:
            self._give_back()
            self._give_back = None
        if self._lent is not None:
            taken_bytes, self._lent = self._lent.taken_bytes, None
            self._takes_files = taken_bytes > 0
            self._at += taken_bytes
            self._cache.served(taken_bytes)

    async def _next_piece(self) -> memoryview | FilePiece | None:
        """Return the next piece once it may be read; `None`: it never may, or the disk has failed.

        Raises `TryAgain` if bytes before it were wrong, and are sent.
        """
        try:
            here = self._file.size_bytes if self._supply is None else await self._supply.reach(self._at)
        except WrongBytes as error:
            if self._at > self._start:
                raise TryAgain(str(error)) from error
            return None
        size_bytes = min(here, self._end) - self._at
        if size_bytes <= 0:
            return None
        lent = None if self._supply is None else self._supply.lend(self._at, size_bytes)
        if lent is not None:
            self._turn.is_first = False
            return lent
        return None if self._file.descriptor is None else await self._from_file(self._file.descriptor, size_bytes)

    async def _from_file(self, descriptor: int, size_bytes: int) -> memoryview | FilePiece | None:
        """Return the next piece of the file. `None`: the disk has failed."""
        if self._takes_files:
            await trio.lowlevel.checkpoint()  # others get a turn, however fast the client is
            if (piece := self._in_file(descriptor, size_bytes)) is not None:
                self._turn.is_first = False
                return piece
        size_bytes = min(size_bytes, PIECE_BYTES)
        reserved_bytes = await self._readers.begin(self._account, size_bytes, is_first=self._turn.is_first)
        self._turn.is_first = False
        give_back = partial(self._readers.release, self._account, reserved_bytes)
        self._give_back = give_back if reserved_bytes else self._readers.leave_place
        try:
            return await self._read(descriptor, size_bytes)
        except OSError as error:
            self._cache.failed(self._file, error)
            self._give_back()
            self._give_back = None
            return None

    def _in_file(self, descriptor: int, size_bytes: int) -> FilePiece | None:
        """Return the next bytes in the file, if the system has enough of them in memory: no turn waits for a disk."""
        most_bytes = min(size_bytes, FILE_PIECE_BYTES)
        length = self._cache.shelf.present_bytes(descriptor, self._at, most_bytes)
        if length < min(most_bytes, LEAST_FILE_BYTES):
            return None
        return FilePiece(descriptor, self._at, length)

    async def _read(self, descriptor: int, size_bytes: int) -> memoryview:
        """Read at once what the system has in memory, otherwise in a thread."""
        room = memoryview(self._free_buffer(size_bytes))[:size_bytes]
        try:
            count = os.preadv(descriptor, [room], self._at, self._cache.shelf.read_flags)
        except OSError as error:
            if error.errno not in _NOT_HERE:
                raise
            count = 0
        if not count:
            count = await on_disk(partial(os.preadv, descriptor, [room], self._at))
        if not count:
            raise OSError(errno.EIO, SHRUNK, self._file.name)
        return room[:count]

    def _free_buffer(self, size_bytes: int) -> bytearray:
        """Return the buffer of the piece before, unless something still has a view of it (`zotpy.http.slabs`)."""
        try:
            self._buffer.append(0)
        except BufferError:
            self._buffer = bytearray(1)
        del self._buffer[-1]
        if len(self._buffer) < size_bytes:
            self._buffer = bytearray(size_bytes)
        return self._buffer

    def close(self) -> None:
        """Give back what the last piece holds."""
        self._settle()
