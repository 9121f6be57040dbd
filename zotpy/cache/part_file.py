"""The file of one download: made, written from its first byte on, and kept under its name or deleted.

All methods wait for the disk, and are for a thread.
"""

from collections.abc import Sequence
from contextlib import suppress

from zotpy.cache.direct import DirectFile, write_pieces
from zotpy.cache.shelf import CachedFile, Shelf
from zotpy.core.pieces import Buffer


class PartFile:
    """What a download writes to."""

    def __init__(self, shelf: Shelf, file: CachedFile) -> None:
        """Choose a name; no file is made yet."""
        self._shelf = shelf
        self._file = file
        self._part = shelf.part(file.data_id)
        self._direct: DirectFile | None = None

    @property
    def has_direct_writes(self) -> bool:
        """The file system takes writes past the page cache, as far as is known."""
        return self._direct is not None and self._direct.works

    def begin(self, evicted: Sequence[CachedFile]) -> None:
        """Delete the files that leave room for it, and make it. Raises `OSError`."""
        for file in evicted:
            self._shelf.delete(file)
        self._file.descriptor = self._shelf.begin(self._part)
        with suppress(OSError):  # the file system may have no such writes
            direct = self._shelf.begin_direct(self._part)
            self._direct = None if direct is None else DirectFile(direct, self._file.descriptor)

    def write(self, pieces: Sequence[Buffer], at: int, *, past_cache: bool) -> int:
        """Write the pieces to `at`, past the page cache only if that `has_direct_writes`. Return their length.

        Raises `OSError`.
        """
        if past_cache and self._direct is not None:
            return self._direct.write(pieces, at)
        assert self._file.descriptor is not None  # noqa: S101 - for the type checker
        return write_pieces(self._file.descriptor, pieces, at)

    def keep(self) -> None:
        """Give it its name: all bytes are written. Raises `OSError`."""
        assert self._file.descriptor is not None  # noqa: S101 - for the type checker
        self._shelf.keep(self._part, self._file.descriptor, self._file)

    def end(self) -> None:
        """Close what only a download needs, and delete what is not complete. Raises `OSError`."""
        direct, self._direct = self._direct, None
        if direct is not None:
            direct.close()
        if not self._file.is_listed:
            self._shelf.drop(self._part)
