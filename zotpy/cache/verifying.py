"""The comparison of a cached file with the digest of its blob, when the file is first read again.

The download that fills a file does not hash its bytes: a replica pulls most blobs once, and SHA-256 takes longer than
passing them on. Reads behind the download get what the store sends, as without a cache, and clients compare it. What
must not happen is that wrong bytes are kept. So a file is *unverified* until it is read again, and the first such read
has it hashed in a thread. Meanwhile

- reads of the whole blob get its bytes from the file, but not the last ones: these follow once the digest is right,
- reads of ranges go to the store.

If the digest is wrong, the file is deleted. No read has then got all its bytes from it: one that has got none begins
anew at the store, and the others end in the middle.
"""

import errno
import os

import trio

from zotpy.cache.shelf import SHRUNK, CachedFile, Shelf
from zotpy.core.digests import Digest
from zotpy.core.hashing import Hasher, new_hasher
from zotpy.core.units import KIB, MIB

HELD_BACK_BYTES = 256 * KIB
"""The last bytes of a blob, which no read gets before the digest is known."""
STEP_BYTES = 16 * MIB
"""One hand-over to a thread hashes so many: some 10 ms, for which the end of the process may have to wait."""
PIECE_BYTES = 128 * KIB
"""What is read at a time: it is hashed while it is in the processor's cache."""
HASHING = trio.CapacityLimiter(2)
"""Threads that hash files. Further files wait, and the end of their reads with them."""


class WrongBytes(Exception):
    """A cached file does not have the digest of its blob. It is deleted: the next read finds the bytes in the store."""


class Verification:
    """What is known of the bytes of one file."""

    def __init__(self, shelf: Shelf, file: CachedFile, digest: Digest) -> None:
        """Begin with nothing."""
        self.file = file
        self.is_wrong = False
        """The file does not have the digest."""
        self.disk_error: OSError | None = None
        """Why the disk did not give all of it: nothing is known of the bytes."""
        self._shelf = shelf
        self._digest = digest
        self._ended = trio.Event()

    async def reach(self, at: int) -> int:
        """Return how many bytes, from the first on, a read may have. It is more than `at`, unless the disk failed.

        For the last bytes this waits until the digest is known. Raises `WrongBytes`.
        """
        early_bytes = max(0, self.file.size_bytes - HELD_BACK_BYTES)
        if at < early_bytes and not self._ended.is_set():
            return early_bytes
        await self._ended.wait()
        if self.is_wrong:
            msg = "cached bytes do not have the digest of the blob: try again"
            raise WrongBytes(msg)
        return self.file.size_bytes if self.file.is_verified else 0

    def lend(self, at: int, size_bytes: int) -> None:
        """Return nothing: the bytes are in the file."""
        del at, size_bytes

    async def run(self) -> None:
        """Read the open file, and note on the disk that it is right. What goes wrong is for the reads."""
        try:
            await self._compare()
        except OSError as error:
            self.disk_error = error

    def end(self) -> None:
        """Let nobody wait any more."""
        self._ended.set()

    async def _compare(self) -> None:
        hasher = new_hasher(self._digest.algorithm)
        for start in range(0, self.file.size_bytes, STEP_BYTES):
            end = min(start + STEP_BYTES, self.file.size_bytes)
            await trio.to_thread.run_sync(self._hash, hasher, start, end, limiter=HASHING)
        self.is_wrong = hasher.digest() != self._digest
        if not self.is_wrong:
            await trio.to_thread.run_sync(self._shelf.note_verified, self.file, limiter=HASHING)
            self.file.is_verified = True

    def _hash(self, hasher: Hasher, at: int, end: int) -> None:
        """Hash a step of the file, in a thread."""
        assert self.file.descriptor is not None  # noqa: S101 - for the type checker
        room = memoryview(bytearray(min(PIECE_BYTES, end - at)))
        while at < end:
            count = os.preadv(self.file.descriptor, [room[: end - at]], at)
            if not count:
                raise OSError(errno.EIO, SHRUNK, self.file.name)
            hasher.update(room[:count])
            at += count
