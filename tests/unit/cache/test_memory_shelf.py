"""A cache without a directory: its files have no name, are bounded, and end with it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import trio

from tests.unit.cache.support import CONTENT, LIMIT_BYTES, Origin, bench, settled
from zotpy.cache.memory_shelf import MemoryShelf
from zotpy.core.file_pieces import FilePiece
from zotpy.core.units import KIB
from zotpy.memory.readers import Turn

if TYPE_CHECKING:
    import pytest

SIZE = len(CONTENT)


def kept() -> list[str]:
    """Name the files in memory that this process has open."""
    links = [str(each.readlink()) for each in Path("/proc/self/fd").iterdir() if each.is_symlink()]
    return sorted(link.partition("memfd:")[2].partition(".")[0] for link in links if "memfd:" in link)


async def test_a_storm_is_one_download() -> None:
    """Sixteen reads at once get all bytes, of which the store sends each once; a second storm costs it nothing."""
    origin, got = Origin(), list[bytes]()
    async with bench(None) as cached:

        async def pull() -> None:
            got.append(await cached.read(origin))

        for _ in range(2):
            async with trio.open_nursery() as nursery:
                for _ in range(16):
                    nursery.start_soon(pull)
            await settled()
        assert got == [CONTENT] * 32
        assert (origin.opened, origin.sent_bytes) == (1, SIZE)
        assert kept() == ["a1"]
    assert kept() == []


async def test_no_more_is_kept_than_may_be() -> None:
    """The third blob takes the memory of the one that was read longest ago."""
    async with bench(None) as cached:
        for data_id in ("a1", "b2", "a1", "c3"):
            await cached.read(Origin(), data_id=data_id)
            await settled()
        assert kept() == ["a1", "c3"]
        assert cached.shelf.used_bytes <= LIMIT_BYTES
        assert cached.events.evictions == 1


async def test_there_are_no_more_files_than_descriptors_for_them(monkeypatch: pytest.MonkeyPatch) -> None:
    """Files that are shorter than their share of the memory are bounded by their number."""
    monkeypatch.setattr(MemoryShelf, "most_files", 1)
    async with bench(None) as cached:
        for data_id in ("a1", "b2", "b2"):
            assert await cached.read(Origin(), data_id=data_id) == CONTENT
            await settled()
        assert (kept(), cached.events.outcomes) == (["b2"], ["filled", "filled", "hit"])


async def test_a_read_that_takes_files_gets_no_copies() -> None:
    """Each piece begins behind what was taken of the one before; if nothing was, bytes follow. No memory is held."""
    async with bench(None) as cached:
        await cached.read(Origin())
        await settled()
        async with cached.reading(Origin(), turn=Turn(takes_files=True)) as pieces:
            at = 0
            for _ in range(5):
                piece = await anext(pieces)
                assert isinstance(piece, FilePiece)
                assert (piece.start, cached.budget.used_bytes) == (at, 0)
                assert os.pread(piece.descriptor, 100, at) == CONTENT[at : at + 100]
                piece.taken_bytes = 3 * KIB
                at += piece.taken_bytes
            await anext(pieces)  # of which nothing is taken
            assert b"".join([bytes(piece) async for piece in pieces]) == CONTENT[at:]
