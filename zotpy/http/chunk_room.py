"""Memory in which chunks of one length are received beside one another.

Go's clients, such as docker, send a body in chunks of 32 KiB. To join the chunks of a read copies each byte once more.
But if the next chunks are as long as the last ones, it is known where each of them begins. So the system puts their
bytes beside one another, and the lines between them elsewhere (readv(2)). What comes from the first unexpected line on
is put back into the order in which it came.
"""

import os
from itertools import count as numbers

from zotpy.http.unset_bytes import give_unset

MOST_LINES = 500
"""Linux fills up to 1,024 places at once. A line and its chunk are two."""


class ChunkRoom:
    """Where one read goes. Use once."""

    def __init__(self, left_bytes: int, line: bytes, chunk_bytes: int, most_bytes: int, *, has_end: bool) -> None:
        """Expect the last `left_bytes` of a chunk, and then chunks of one length, each behind `line`.

        There is room for `most_bytes`. With `has_end` they are all that is here, and the body may end with them.
        Otherwise no line, or part of one, comes last: the next read takes it with its chunk.
        """
        self._left_bytes, self.line, self._chunk_bytes = left_bytes, line, chunk_bytes
        self._period = len(line) + chunk_bytes
        self._first_bytes = min(left_bytes, most_bytes)
        whole, over = divmod(min(most_bytes - self._first_bytes, MOST_LINES * self._period), self._period)
        last_bytes = max(0, over - len(line))
        lines = whole + (last_bytes > 0)
        self._lines = bytearray(lines * len(line))
        self._data = bytearray()
        give_unset(self._data, self._first_bytes + whole * chunk_bytes + last_bytes)
        data, line_views = memoryview(self._data), memoryview(self._lines)
        self._places = [data[: self._first_bytes]]
        for number in range(lines):
            start = self._first_bytes + number * chunk_bytes
            self._places += [line_views[number * len(line) :][: len(line)], data[start : start + chunk_bytes]]
        if has_end and 0 < over <= len(line):
            self._places.append(memoryview(bytearray(over)))
        self.lines = 0
        """How many of the lines came as they were expected."""
        self.left_bytes = left_bytes
        """How much of the last chunk is still to come; 0: the end of its line, too."""

    def receive(self, descriptor: int) -> tuple[bytearray, bytes]:
        """Read from a socket. Return the bytes of the chunks, and everything from the first unexpected line on.

        Nothing at all is returned at the end. Raises `OSError`.
        """
        received_bytes = os.readv(descriptor, self._places)
        lines = (max(0, received_bytes - self._first_bytes) + self._chunk_bytes) // self._period
        self.lines = self._expected_lines(min(lines, len(self._lines) // len(self.line)))
        taken_bytes = min(received_bytes, self._first_bytes + self.lines * self._period)
        data_bytes = taken_bytes - self.lines * len(self.line)
        rest = b""
        if taken_bytes < received_bytes:
            rest = b"".join(self._places[1 + 2 * self.lines :])[: received_bytes - taken_bytes]
        self.left_bytes = self._left_bytes + self.lines * self._chunk_bytes - data_bytes
        self._places.clear()
        return self._data if data_bytes == len(self._data) else self._data[:data_bytes], rest

    def _expected_lines(self, lines: int) -> int:
        """Return how many of the first lines are as expected."""
        length = len(self.line)
        if self._lines[: lines * length] == self.line * lines:
            return lines
        return next(number for number in numbers() if self._lines[number * length :][:length] != self.line)
