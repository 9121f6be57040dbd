from collections.abc import Callable

import crc32c
import pytest
from hypothesis import given
from hypothesis import strategies as st

from zotpy.core.pieces import SMALL_BYTES, Buffer, Pieces

BUFFERS: list[Callable[[bytes], Buffer]] = [bytes, bytearray, memoryview, lambda data: memoryview(bytearray(data))]
LENGTHS = st.integers(0, 10) | st.sampled_from([SMALL_BYTES - 1, SMALL_BYTES, SMALL_BYTES + 1])
CHUNKS = st.lists(st.tuples(LENGTHS, st.sampled_from(BUFFERS)), max_size=8)


def contents(chunks: list[tuple[int, Callable[[bytes], Buffer]]]) -> tuple[Pieces, bytes]:
    """Take in chunks of these lengths, each of another byte."""
    pieces, whole = Pieces(), b""
    for index, (length, buffer) in enumerate(chunks):
        data = bytes([index]) * length
        pieces.append(buffer(data))
        whole += data
    return pieces, whole


@given(CHUNKS)
def test_pieces_are_the_bytes_that_came(chunks: list[tuple[int, Callable[[bytes], Buffer]]]) -> None:
    """Wherever the bytes were cut, they are there once, in order."""
    pieces, whole = contents(chunks)
    assert bytes(pieces) == b"".join(pieces.blocks()) == whole
    assert len(pieces) == len(whole)


@given(CHUNKS, st.data())
def test_what_lies_after_a_count_is_what_python_slices(
    chunks: list[tuple[int, Callable[[bytes], Buffer]]], data: st.DataObject
) -> None:
    """Bytes that were hashed before are left out, exactly, wherever they end."""
    pieces, whole = contents(chunks)
    count = data.draw(st.integers(0, len(whole) + 1))
    assert b"".join(pieces.after(count)) == whole[count:]


@given(CHUNKS, CHUNKS)
def test_the_crc_goes_through_each_byte_once(
    first: list[tuple[int, Callable[[bytes], Buffer]]], more: list[tuple[int, Callable[[bytes], Buffer]]]
) -> None:
    """However often it is asked for, it is that of all bytes so far, and none of them is left."""
    pieces, whole = contents(first)
    assert pieces.crc32c() == crc32c.crc32c(whole)
    for length, buffer in more:
        pieces.append(buffer(b"m" * length))
        whole += b"m" * length
        assert pieces.unsummed_bytes == length
        assert pieces.crc32c() == crc32c.crc32c(whole)
        assert pieces.unsummed_bytes == 0
    pieces.clear()
    assert (pieces.crc32c(), pieces.unsummed_bytes) == (0, 0)


def test_long_pieces_are_kept_and_not_copied() -> None:
    """A read of the usual length is the very object that came."""
    piece = bytes(SMALL_BYTES)
    pieces = Pieces(piece)
    pieces.append(piece)
    assert [block is piece for block in pieces.blocks()] == [True, True]


def test_many_tiny_pieces_are_few_blocks() -> None:
    """A client that sends byte by byte costs no object for each byte."""
    pieces = Pieces()
    for _ in range(3 * SMALL_BYTES):
        pieces.append(b"x")
    assert len(pieces) == 3 * SMALL_BYTES
    assert len(pieces.blocks()) == 3


def test_nothing_is_no_block() -> None:
    """Empty pieces leave no trace."""
    pieces = Pieces(b"")
    pieces.append(b"")
    assert list(pieces.blocks()) == list(pieces.after(0)) == []


@pytest.mark.parametrize("size", [3, SMALL_BYTES])
def test_what_was_given_is_never_changed(size: int) -> None:
    """Bytes appended later do not grow the buffer of somebody else."""
    first, second = bytearray(size), bytearray(b"two")
    pieces = Pieces(first)
    pieces.append(second)
    pieces.append(b"three")
    assert bytes(first) == bytes(size)
    assert bytes(second) == b"two"
    assert bytes(pieces) == bytes(size) + b"twothree"


def test_pieces_can_be_emptied_for_all_who_have_them() -> None:
    """A holder of the object has no bytes any more. The object can be filled again."""
    pieces = Pieces(b"some")
    also = pieces
    pieces.clear()
    assert (len(also), bytes(also)) == (0, b"")
    pieces.append(b"more")
    assert bytes(also) == b"more"
