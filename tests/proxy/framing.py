"""Where a body ends (RFC 9112, section 6), without looking at what is in it."""

from dataclasses import dataclass, field

ANY = 1 << 62


@dataclass(slots=True)
class Length:
    """A fixed number of bytes."""

    left: int

    @property
    def done(self) -> bool:
        """Whether all of it has passed."""
        return self.left == 0

    @property
    def most(self) -> int:
        """How many bytes may be read without reading past the end."""
        return self.left

    def take(self, data: bytes) -> int:
        """Return how many of these bytes belong to the body."""
        taken = min(len(data), self.left)
        self.left -= taken
        return taken


@dataclass(slots=True)
class UntilClose:
    """All that comes."""

    done: bool = False
    most: int = ANY

    def take(self, data: bytes) -> int:
        """Return how many of these bytes belong to the body."""
        return len(data)


@dataclass(slots=True)
class Chunked:
    """Chunks, each after a line with its length; the bytes may be cut anywhere."""

    done: bool = False
    most: int = ANY
    _left: int = 0
    """Of the chunk that is going by, its line end included."""
    _line: bytearray = field(default_factory=bytearray)
    _in_trailer: bool = False

    def take(self, data: bytes) -> int:
        """Return how many of these bytes belong to the body. Raises `ValueError` for a malformed length."""
        at = 0
        while at < len(data) and not self.done:
            if self._left:
                step = min(self._left, len(data) - at)
                self._left -= step
                at += step
                continue
            end = data.find(b"\n", at) + 1
            self._line += data[at : end or len(data)]
            at = end or len(data)
            if end:
                self._read_line()
        return at

    def _read_line(self) -> None:
        line, self._line = bytes(self._line).strip(), bytearray()
        if self._in_trailer:
            self.done = not line
        elif size := int(line.partition(b";")[0], 16):
            self._left = size + len(b"\r\n")
        else:
            self._in_trailer = True


Body = Length | UntilClose | Chunked
