"""What is pushed: bytes that are unique to each blob and cost almost nothing to make again."""

import hashlib
import random
from collections.abc import Iterator, Sequence
from functools import cache, cached_property

Buffers = Sequence[bytes | memoryview]
PIECE_BYTES = 4 << 20
CHUNK_BYTES = 32 << 10
"""How much Go's HTTP client puts into one chunk, and so docker as well."""
_MARK_BYTES = 32


@cache
def _noise() -> memoryview:
    """Return one piece of random bytes: the rest of every piece after its mark."""
    return memoryview(random.Random(0).randbytes(PIECE_BYTES))


class Content:
    """One blob. Each of its pieces begins with a mark that no other piece of any blob has.

    The digest is computed at its first use: use it before the clock starts.
    """

    def __init__(self, seed: str, size_bytes: int) -> None:
        """Name it: one seed and size always give the same bytes."""
        self.size_bytes = size_bytes
        self._name = hashlib.sha256(seed.encode()).digest()[: _MARK_BYTES - 8]

    @cached_property
    def digest(self) -> str:
        """The digest as the registry writes it."""
        hasher = hashlib.sha256()
        for buffers in self.pieces():
            for buffer in buffers:
                hasher.update(buffer)
        return f"sha256:{hasher.hexdigest()}"

    def pieces(self) -> Iterator[Buffers]:
        """Return the bytes, some MiB at a time; nothing is copied."""
        for offset in range(0, self.size_bytes, PIECE_BYTES):
            mark = self._name + offset.to_bytes(8, "big")
            length = min(PIECE_BYTES, self.size_bytes - offset)
            yield mark[:length], _noise()[_MARK_BYTES:length]

    def chunked_pieces(self) -> Iterator[Buffers]:
        """Return the bytes as a body of chunked transfer coding (RFC 9112, 7.1) as Go's client cuts it."""
        for mark, noise in self.pieces():
            first = mark, noise[: CHUNK_BYTES - _MARK_BYTES]
            framed: list[bytes | memoryview] = [b"%x\r\n" % sum(map(len, first)), *first, b"\r\n"]
            for start in range(CHUNK_BYTES - _MARK_BYTES, len(noise), CHUNK_BYTES):
                chunk = noise[start : start + CHUNK_BYTES]
                framed += [b"%x\r\n" % len(chunk), chunk, b"\r\n"]
            yield framed
        yield (b"0\r\n\r\n",)
