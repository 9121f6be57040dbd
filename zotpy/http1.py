"""h11 for large bodies: the same state machine and checks, without its copies of each byte.

h11 gathers what it is given in a bytearray and cuts every event out of it: two copies of each byte of a body; and a
body in chunks of 32 KiB, as Go's clients send it, becomes an event for each of them. Here a buffer that holds nothing
keeps the piece it is given as it is, a body of a known length hands it on untouched, and all chunks of one piece become
one event. Whatever is out of the ordinary (a chunk's extension, a header cut by the end of a piece) is left to h11.

The parts of h11 that this stands on are not public: `tests/unit/test_http1.py` compares both, byte by byte.
"""

import re
from collections.abc import Callable
from typing import Any, Self

import h11
from h11._readers import ChunkedReader
from h11._receivebuffer import ReceiveBuffer

_CHUNK_SIZE = re.compile(rb"[0-9A-Fa-f]{1,16}")
_LONGEST_HEADER = 18
"""A chunk's size in at most 16 digits, and the end of its line."""
_LINE_END = b"\r\n"


class PieceBuffer(ReceiveBuffer):
    """A receive buffer that keeps a piece as it is where there is nothing before it."""

    def __init__(self) -> None:
        super().__init__()
        self._piece = b""

    def __iadd__(self, byteslike: bytes | bytearray) -> Self:
        if self._data or self._piece:
            self._settle()
            self._data += byteslike
        else:
            self._piece = bytes(byteslike)
        return self

    def __len__(self) -> int:
        return len(self._data) + len(self._piece)

    def __bytes__(self) -> bytes:
        return self._piece or bytes(self._data)

    def _settle(self) -> None:
        """Go back to what h11's own methods work on."""
        if self._piece:
            self._data += self._piece
            self._piece = b""

    def maybe_extract_at_most(self, count: int) -> bytes | bytearray | None:  # type: ignore[override]  # any buffer does
        """Take the whole piece where it is wanted, else cut it as h11 does."""
        if self._piece and count >= len(self._piece):
            piece, self._piece = self._piece, b""
            return piece
        self._settle()
        return super().maybe_extract_at_most(count)

    def maybe_extract_next_line(self) -> bytearray | None:
        """See h11."""
        self._settle()
        return super().maybe_extract_next_line()

    def maybe_extract_lines(self) -> list[bytearray] | None:
        """See h11."""
        self._settle()
        return super().maybe_extract_lines()

    def is_next_line_obviously_invalid_request_line(self) -> bool:
        """See h11."""
        self._settle()
        return super().is_next_line_obviously_invalid_request_line()

    def peek(self) -> bytes | bytearray:
        """Return all that is here, to be looked at until the next call."""
        return self._piece or self._data

    def drop(self, count: int) -> None:
        """Forget the first `count` bytes."""
        rest = self.peek()[count:]
        self._piece, self._data = b"", bytearray(rest)
        self._next_line_search = self._multiple_lines_search = 0


class JoiningChunkedReader(ChunkedReader):
    """Reads as many chunks at once as are there; h11 reads what is incomplete or unusual."""

    def __call__(self, buf: ReceiveBuffer) -> Any:
        """Return the next event, or `None` where more bytes are needed."""
        if isinstance(buf, PieceBuffer) and not self._reading_trailer and self._bytes_to_discard in {b"", _LINE_END}:
            data = self._join(buf)
            if data:
                return h11.Data(data=data)
        return super().__call__(buf)

    def _join(self, buf: PieceBuffer) -> bytes:
        """Take the bytes of all chunks as far as they can be read in one go; none where that is nowhere."""
        block = buf.peek()
        found: list[memoryview] = []
        position, length = 0, len(block)
        in_chunk, at_end = self._bytes_in_chunk, bool(self._bytes_to_discard)
        with memoryview(block) as view:
            while True:
                if at_end:
                    if block[position : position + 2] != _LINE_END:
                        break
                    position += 2
                    at_end = False
                if not in_chunk:
                    end = block.find(_LINE_END, position, position + _LONGEST_HEADER)
                    digits = block[position:end] if end >= 0 else b""
                    if not _CHUNK_SIZE.fullmatch(digits) or not (size := int(digits, 16)):
                        break
                    in_chunk, position = size, end + 2
                if not (taken := min(in_chunk, length - position)):
                    break
                found.append(view[position : position + taken])
                position += taken
                in_chunk -= taken
                at_end = not in_chunk
            data = b"".join(found)
            for piece in found:
                piece.release()
        if data:
            buf.drop(position)
            self._bytes_in_chunk, self._bytes_to_discard = in_chunk, _LINE_END if at_end else b""
        return data


class Connection(h11.Connection):
    """One side of a connection, as h11's."""

    def __init__(self, our_role: Any, max_incomplete_event_size: int) -> None:
        super().__init__(our_role, max_incomplete_event_size)
        self._receive_buffer: ReceiveBuffer = PieceBuffer()

    def _get_io_object(self, role: Any, event: Any, io_dict: Any) -> Callable[..., Any] | None:
        found = super()._get_io_object(role, event, io_dict)
        return JoiningChunkedReader() if type(found) is ChunkedReader else found
