"""What h11 has received: kept in the pieces that came, and all chunks of one piece read at once.

`zotpy.http.http1` says why.
"""

import re
from typing import Any, Self

import h11
from h11._readers import ChunkedReader
from h11._receivebuffer import ReceiveBuffer, blank_line_regex

from zotpy.http.chunk_room import ChunkRoom

_FIRST_LINE = re.compile(rb"([0-9A-Fa-f]{1,16})\r\n").match
_NEXT_LINE = re.compile(rb"\r\n([0-9A-Fa-f]{1,16})\r\n").match
"""Finds the end of a chunk and the line of the next one in one step: a balancer may send a hundred chunks for a MiB."""
_LINE_END = b"\r\n"
MOST_SMALL_CHUNKS = 4096
"""This many chunks of a body may have any length. As many are joined at a time."""
LEAST_CHUNK_BYTES = 64
"""What the chunks of a longer body must have on average. Go's gzip writes some 240 bytes at a time."""
LEAST_ROOM_BYTES = 128 * 1024
"""A read of less is not worth it."""
LEAST_ROOM_CHUNK_BYTES = 4096
"""Shorter chunks are joined: the system would have too many places to fill."""
STEADY_CHUNKS = 8
"""After so many chunks of one length the next ones are expected to be as long."""


class PieceBuffer(ReceiveBuffer):
    """A receive buffer that keeps a piece as it is if nothing is before it."""

    def __init__(self, longest_lines: int) -> None:
        super().__init__()
        self._longest_lines = longest_lines
        """The limit of a head or trailer, in bytes, with the empty line at its end."""
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
        """Go back to the bytearray on which h11's own methods work."""
        if self._piece:
            self._data += self._piece
            self._piece = b""

    def maybe_extract_at_most(self, count: int) -> bytes | bytearray | None:  # type: ignore[override]  # any buffer does
        """Take the whole piece if it is wanted, otherwise cut it as h11 does."""
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
        """See h11. Here lines that are too long are refused also if they arrive as a whole."""
        self._settle()
        if len(self._data) > self._longest_lines and not self._ends_in_time():
            msg = "Receive buffer too long"
            raise h11.LocalProtocolError(msg, error_status_hint=431)
        return super().maybe_extract_lines()

    def _ends_in_time(self) -> bool:
        """Say whether the lines at the beginning end within the limit: there, or with an empty line alone."""
        if self._data.startswith((b"\n", _LINE_END)):
            return True
        return blank_line_regex.search(self._data, 0, self._longest_lines) is not None

    def is_next_line_obviously_invalid_request_line(self) -> bool:
        """See h11. Half of an empty line is not a request line yet."""
        self._settle()
        return self._data != b"\r" and super().is_next_line_obviously_invalid_request_line()

    def peek(self) -> bytes | bytearray:
        """Return everything received, for reading until the next call."""
        return self._piece or self._data

    def drop(self, count: int) -> None:
        """Forget the first `count` bytes."""
        rest = self.peek()[count:]
        self._piece, self._data = b"", bytearray(rest)
        self._next_line_search = self._multiple_lines_search = 0


class JoiningChunkedReader(ChunkedReader):
    """Reads all complete chunks at once. h11 reads what is incomplete or unusual.

    A chunk costs some microseconds, however short it is: a body in chunks of one byte would cost seconds for each MiB.
    So after the first `MOST_SMALL_CHUNKS` chunks they must have `LEAST_CHUNK_BYTES` on average.
    """

    def __init__(self, *, is_bounded: bool) -> None:
        super().__init__()
        self._is_bounded = is_bounded
        self.chunks = 0
        """How many were read, up to their ends."""
        self.body_bytes = 0
        """How many bytes of the body were read."""
        self._digits = b""
        """The length of the last chunk, as its line says it."""
        self._alike = 0
        """How many chunks before it had the same."""

    def with_lines(self, size_bytes: int) -> int:
        """Return how many bytes the next `size_bytes` of the body take with the lines between them, up to the last one.

        That is known if the next chunks are as long as the last ones. Otherwise no line is counted.
        """
        if self._alike < STEADY_CHUNKS or size_bytes <= self._bytes_in_chunk:
            return size_bytes
        lines = -(-(size_bytes - self._bytes_in_chunk) // int(self._digits, 16))
        return size_bytes + lines * (len(self._digits) + 2 * len(_LINE_END))

    def room(self, here_bytes: int, most_bytes: int) -> ChunkRoom | None:
        """Return where to receive the next bytes, if they are expected to be chunks that are alike.

        The socket holds `here_bytes`. All that was received before must be taken already.
        """
        is_between = self._bytes_to_discard == _LINE_END
        if self._alike < STEADY_CHUNKS or self._reading_trailer or not (is_between or self._bytes_in_chunk):
            return None
        size = int(self._digits, 16)
        if size < LEAST_ROOM_CHUNK_BYTES or min(here_bytes, most_bytes) < LEAST_ROOM_BYTES:
            return None
        line = b"\r\n%b\r\n" % self._digits
        has_end = here_bytes <= most_bytes
        return ChunkRoom(self._bytes_in_chunk, line, size, min(here_bytes, most_bytes), has_end=has_end)

    def receive(self, room: ChunkRoom, descriptor: int) -> tuple[bytearray, bytes]:
        """Read into a room. Return what `ChunkRoom.receive` does; what is behind the chunks is still to be parsed.

        Raises `OSError`.
        """
        was_between = not self._bytes_in_chunk
        data, rest = room.receive(descriptor)
        if data:
            self._bytes_in_chunk = room.left_bytes
            self._bytes_to_discard = b"" if room.left_bytes else _LINE_END
            self.chunks += room.lines + (not room.left_bytes) - was_between
            self.body_bytes += len(data)
        if not room.line.startswith(rest):
            self._alike = 0
        return data, rest

    def __call__(self, buf: ReceiveBuffer) -> Any:
        """Return the next event, or `None` if more bytes are needed."""
        if isinstance(buf, PieceBuffer) and not self._reading_trailer and self._bytes_to_discard in {b"", _LINE_END}:
            data = self._join(buf)
            if data:
                return self._counted(h11.Data(data=data))
        return self._counted(super().__call__(buf))

    def _counted(self, event: Any) -> Any:
        """Return an event, unless the chunks are too short by now."""
        if isinstance(event, h11.Data):
            self.chunks += event.chunk_end
            self.body_bytes += len(event.data)
            too_many = self._is_bounded and self.chunks > MOST_SMALL_CHUNKS
            if too_many and self.body_bytes < self.chunks * LEAST_CHUNK_BYTES:
                msg = f"{self.chunks} chunks have {self.body_bytes} bytes"
                raise h11.RemoteProtocolError(msg, error_status_hint=400)
        return event

    def _join(self, buf: PieceBuffer) -> bytes:
        """Take the bytes of all chunks that can be read in one go; none if that is not possible."""
        block = buf.peek()
        found: list[memoryview] = []
        position, length, ended = 0, len(block), 0
        in_chunk, at_end = self._bytes_in_chunk, bool(self._bytes_to_discard)
        digits, alike = self._digits, self._alike
        with memoryview(block) as view:
            for _ in range(MOST_SMALL_CHUNKS):
                if not in_chunk:
                    line = (_NEXT_LINE if at_end else _FIRST_LINE)(block, position)
                    if line is None or not (in_chunk := int(line[1], 16)):
                        break
                    position, at_end = line.end(), False
                    alike = alike + 1 if line[1] == digits else 0
                    digits = line[1]
                end = min(position + in_chunk, length)
                if end == position:
                    break
                found.append(view[position:end])
                in_chunk -= end - position
                position, at_end = end, not in_chunk
                ended += at_end
            data = b"".join(found)
            self.chunks += ended
            found.clear()
        if at_end and block.startswith(_LINE_END, position):
            position, at_end = position + len(_LINE_END), False
        self._digits, self._alike = digits, alike
        if data:
            buf.drop(position)
            self._bytes_in_chunk, self._bytes_to_discard = in_chunk, _LINE_END if at_end else b""
        return data
