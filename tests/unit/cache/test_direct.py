"""Writes past the page cache: the same bytes as any others, without a copy of those that fill whole blocks."""

from __future__ import annotations

import ctypes
import errno
import os
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from zotpy.cache.direct import BLOCK_BYTES, STAGE_BYTES, DirectFile, write_pieces
from zotpy.core.units import KIB, MIB
from zotpy.http.slabs import Room, Slabs

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

CONTENT = os.urandom(3 * MIB + 4321)


@contextmanager
def direct_file(path: Path) -> Iterator[DirectFile]:
    """Begin a file, with `O_DIRECT` if its file system has it."""
    plain = os.open(path, os.O_RDWR | os.O_CREAT)
    try:
        try:
            descriptor = os.open(path, os.O_WRONLY | os.O_DIRECT)
        except OSError:
            descriptor = os.open(path, os.O_WRONLY)
        made = DirectFile(descriptor, plain)
        yield made
        made.close()
    finally:
        os.close(plain)


def cut(content: bytes, *lengths: int) -> list[bytes]:
    """Cut into pieces of these lengths, again and again."""
    pieces = []
    while content:
        for length in lengths:
            pieces.append(content[:length])
            content = content[length:]
    return [piece for piece in pieces if piece]


@pytest.mark.parametrize(
    "lengths", [(MIB,), (1,) * 3 + (BLOCK_BYTES,), (BLOCK_BYTES - 1, 70_000), (STAGE_BYTES + 5, 3), (len(CONTENT),)]
)
def test_pieces_of_any_length(tmp_path: Path, lengths: tuple[int, ...]) -> None:
    """However the bytes came, the file has them in their order. So it has them if they are written in two calls."""
    with direct_file(tmp_path / "file") as file:
        first = 200 * BLOCK_BYTES
        assert file.write(cut(CONTENT[:first], *lengths), 0) == first
        assert file.write(cut(CONTENT[first:], *lengths), first) == len(CONTENT) - first
    assert (tmp_path / "file").read_bytes() == CONTENT


def received(content: bytes, head_bytes: int) -> list[memoryview | bytes]:
    """Receive as the client of the store does: some bytes with the head, and the others where a room says."""
    room = Room(Slabs())
    pieces: list[memoryview | bytes] = [content[:head_bytes]]
    at = head_bytes
    for read_bytes in (1_100_001, 1_200_000, len(content)):
        offered = room.offer(min(read_bytes, len(content) - at), at)
        assert offered is not None
        offered[:] = content[at : at + len(offered)]
        pieces.append(room.fill(len(offered)))
        at += len(offered)
    return pieces


@pytest.mark.parametrize("head_bytes", [0, 1, 5000, 64 * KIB])
def test_whole_blocks_are_not_copied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, head_bytes: int) -> None:
    """Of what the store's client received, less is copied than came with the head, and one block for each seam."""
    pieces = received(CONTENT, head_bytes)
    begin = min(address(piece) for piece in pieces if isinstance(piece, memoryview))
    in_place_bytes = 0
    write = os.pwritev

    def noted(descriptor: int, vectors: Sequence[memoryview], at: int) -> int:
        nonlocal in_place_bytes
        in_place_bytes += sum(len(each) for each in vectors if 0 <= address(each) - begin < len(CONTENT))
        return write(descriptor, vectors, at)

    monkeypatch.setattr(os, "pwritev", noted)
    with direct_file(tmp_path / "file") as file:
        file.write(pieces, 0)
        assert file.works
    assert (tmp_path / "file").read_bytes() == CONTENT
    assert in_place_bytes >= len(CONTENT) - head_bytes - 2 * BLOCK_BYTES * len(pieces)


def address(view: memoryview) -> int:
    """Say where it is."""
    return ctypes.addressof(ctypes.c_char.from_buffer(view))


def test_a_file_system_without_such_writes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is asked once. What it refuses is written as usual."""
    asked = 0

    def refused(_descriptor: int, _vectors: Sequence[memoryview], _at: int) -> int:
        nonlocal asked
        asked += 1
        raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))

    monkeypatch.setattr(os, "pwritev", refused)
    with direct_file(tmp_path / "file") as file:
        assert file.write(cut(CONTENT, 100_000), 0) == len(CONTENT)
        assert (asked, file.works) == (1, False)
    assert (tmp_path / "file").read_bytes() == CONTENT


@pytest.mark.parametrize("taken_bytes", [0, 512, BLOCK_BYTES, 600 * KIB])
def test_a_disk_that_takes_little_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, taken_bytes: int) -> None:
    """What a call did not take is written by the next ones, directly or not."""
    write = os.pwritev

    def little(descriptor: int, vectors: Sequence[bytes], at: int) -> int:
        return write(descriptor, [b"".join(vectors)[:taken_bytes]], at)

    monkeypatch.setattr(os, "pwritev", little)
    descriptor = os.open(tmp_path / "file", os.O_RDWR | os.O_CREAT)
    made = DirectFile(descriptor, descriptor)
    assert made.write(cut(CONTENT, 100_000), 0) == len(CONTENT)
    assert (tmp_path / "file").read_bytes() == CONTENT
    assert write_pieces(descriptor, cut(CONTENT[::-1], 100_000), 0) == len(CONTENT)
    assert (tmp_path / "file").read_bytes() == CONTENT[::-1]
    made.close()


def test_a_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its error is that of the download."""

    def full(_descriptor: int, _vectors: Sequence[memoryview], _at: int) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "pwritev", full)
    with direct_file(tmp_path / "file") as file, pytest.raises(OSError, match="No space"):
        file.write([CONTENT], 0)
