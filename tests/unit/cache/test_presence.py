"""What of a file is in memory, and reads that take it from there."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from tests.unit.cache.support import CONTENT, Origin, bench, settled
from zotpy.cache.presence import present_bytes
from zotpy.core.file_pieces import FilePiece
from zotpy.memory.readers import Turn

if TYPE_CHECKING:
    from pathlib import Path

SIZE = len(CONTENT)


def test_what_was_written_is_there_up_to_the_end(tmp_path: Path) -> None:
    """A file is in memory after it was written, unless the file system cannot tell. Behind its end is nothing."""
    (file := tmp_path / "file").write_bytes(CONTENT)
    with file.open("rb") as opened:
        found = present_bytes(opened.fileno(), 0, SIZE)
        assert found in {SIZE, 0}
        assert present_bytes(opened.fileno(), SIZE - 10, 10) == min(found, 10)
        os.truncate(file, SIZE // 2)
        assert present_bytes(opened.fileno(), 0, SIZE) <= SIZE // 2
        assert present_bytes(opened.fileno(), SIZE // 2, 10) == 0


async def test_a_read_gets_all_bytes_whether_or_not_they_are_in_memory(tmp_path: Path) -> None:
    """Where the system has forgotten the file, a thread reads it; both kinds of pieces follow each other."""
    async with bench(tmp_path) as cached:
        await cached.read(Origin())
        await settled()
        unused, got = Origin(), bytearray()
        async with cached.reading(unused, turn=Turn(takes_files=True)) as pieces:
            async for piece in pieces:
                if isinstance(piece, FilePiece):
                    piece.taken_bytes = min(piece.length, 300_000)
                    got += os.pread(piece.descriptor, piece.taken_bytes, piece.start)
                else:
                    got += piece
                descriptor = os.open(cached.files / f"a1.{SIZE}", os.O_RDONLY)
                os.posix_fadvise(descriptor, len(got) + 500_000, 0, os.POSIX_FADV_DONTNEED)
                os.close(descriptor)
        assert got == CONTENT
        assert unused.opened == 0
