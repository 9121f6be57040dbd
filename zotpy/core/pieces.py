"""The bytes of a part as the pieces in which they came: never joined and never copied, unless they are tiny.

A part of 8 MiB arrives in some thirty reads. Joining them would copy every byte once more, and growing one buffer
copies it several times. Hashing, checksums and sending accept pieces as well as one block. Only pieces far below the
usual length are put together. So a client that sends a few bytes at a time costs no more memory than it sends.
"""

from collections.abc import Iterator, Sequence

import crc32c

SMALL_BYTES = 64 * 1024
Buffer = bytes | bytearray | memoryview


class Pieces:
    """A growing sequence of bytes. It must not change once it was passed on."""

    __slots__ = ("_crc", "_length", "_pieces", "_summed_bytes")

    def __init__(self, content: Buffer = b"") -> None:
        """Begin with `content`."""
        self._pieces: list[Buffer] = []
        self._length = 0
        self._crc = self._summed_bytes = 0
        self.append(content)

    def __len__(self) -> int:
        return self._length

    def clear(self) -> None:
        """Forget all bytes, so that their memory is free even if a traceback still has this object."""
        self._pieces.clear()
        self._length = 0
        self._crc = self._summed_bytes = 0

    def blocks(self) -> Sequence[Buffer]:
        """Return the pieces in order."""
        return self._pieces

    def __bytes__(self) -> bytes:
        return b"".join(self._pieces)

    def append(self, piece: Buffer) -> None:
        """Add bytes at the end; `piece` must not change afterwards."""
        size = len(piece)
        if not size:
            return
        self._length += size
        last = self._pieces[-1] if self._pieces else None
        if size < SMALL_BYTES and isinstance(last, bytearray) and len(last) < SMALL_BYTES:
            last += piece
            if len(last) >= SMALL_BYTES:
                self._pieces[-1] = bytes(last)  # a bytearray has grown by an eighth more than it holds
        else:
            self._pieces.append(bytearray(piece) if size < SMALL_BYTES else piece)

    @property
    def unsummed_bytes(self) -> int:
        """How many of the last bytes `crc32c` has still to go through."""
        return self._length - self._summed_bytes

    def crc32c(self) -> int:
        """Return the CRC-32C of all bytes (RFC 3720, B.4). It goes through each byte once.

        Just received, a byte is in the processor's cache, and this takes half of the time. So call it after `append`.
        """
        for piece in self.after(self._summed_bytes):
            self._crc = crc32c.crc32c(piece, self._crc)
        self._summed_bytes = self._length
        return self._crc

    def after(self, count: int) -> Iterator[Buffer]:
        """Iterate over the pieces without the first `count` bytes."""
        for piece in self._pieces:
            if count >= len(piece):
                count -= len(piece)
            else:
                yield memoryview(piece)[count:] if count else piece
                count = 0
