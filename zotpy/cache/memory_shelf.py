"""The files of a cache that has no directory: they are in memory, without a name (memfd_create(2)), and end with us.

They are files all the same, so one way of filling, reading and sending serves both kinds.
"""

import os
from pathlib import Path

from zotpy.cache.shelf import CachedFile, Shelf

_NOWHERE = Path("memory")


class MemoryShelf(Shelf):
    """The files of one process."""

    read_flags = 0
    most_files = 1024
    """Each takes a descriptor."""

    def __init__(self, limit_bytes: int) -> None:
        """Keep at most `limit_bytes`, in whole pages."""
        super().__init__(_NOWHERE, limit_bytes, None)
        self._kept: dict[str, int] = {}

    def close(self) -> None:
        """Forget all files."""
        while self._kept:
            os.close(self._kept.popitem()[1])

    def present_bytes(self, descriptor: int, start: int, size_bytes: int) -> int:
        """Return `size_bytes`: all is in memory."""
        del descriptor, start
        return size_bytes

    def begin(self, part: Path) -> int:
        """Make a file to fill, and return its descriptor."""
        return os.memfd_create(part.name, os.MFD_CLOEXEC)

    def begin_direct(self, part: Path) -> None:
        """Return `None`: there is no disk."""

    def drop(self, part: Path) -> None:
        """Do nothing: a file ends with its last descriptor."""

    def open_file(self, file: CachedFile) -> int:
        """Open a complete file for reading."""
        return os.dup(self._kept[file.name])

    def keep(self, part: Path, descriptor: int, file: CachedFile) -> None:
        """Keep a filled file until it is deleted."""
        del part
        kept, before = os.dup(descriptor), self._kept.get(file.name)
        self._kept[file.name] = kept
        if before is not None:
            os.close(before)

    def note_verified(self, file: CachedFile) -> None:
        """Do nothing: no other process ever asks."""

    def delete(self, file: CachedFile) -> None:
        """Delete a complete file. Those who have it open can still read it."""
        if (kept := self._kept.pop(file.name, None)) is not None:
            os.close(kept)
