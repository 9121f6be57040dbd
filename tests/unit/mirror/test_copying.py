"""A copy and its readers: when the copy waits for a reader, and what a reader far behind gets."""

from __future__ import annotations

from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING

import pytest
import trio

from zotpy.core.errors import TryAgain
from zotpy.core.ranges import Span
from zotpy.core.record_values import BlobValue
from zotpy.core.units import KIB, MIB
from zotpy.memory.budget import MemoryBudget
from zotpy.memory.readers import Readers
from zotpy.mirror.copying import START_S, Copy
from zotpy.mirror.window import LEAST_BYTES, MOST_PIECES, Window

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

PIECE = 128 * KIB
BODY = b"".join(bytes([number]) * PIECE for number in range(48))
"""6 MiB, each piece of which differs from the others."""
VALUE = BlobValue(len(BODY), "data")


@asynccontextmanager
async def bucket(value: BlobValue, span: Span) -> AsyncIterator[AsyncIterator[bytes]]:
    """Read what is in the bucket."""
    assert value is VALUE

    async def pieces() -> AsyncIterator[bytes]:
        await trio.lowlevel.checkpoint()
        yield BODY[span.start : span.end]

    yield pieces()


@asynccontextmanager
async def ahead(_size_bytes: int, _span: Span, *, waits: bool = False) -> AsyncIterator[AsyncIterator[bytes]]:
    """Read nothing at the upstream."""
    assert not waits
    raise trio.WouldBlock
    yield


def a_copy(budget_bytes: int = 2 * MIB) -> Copy:
    """Begin a copy of the body, with memory for little more than the least window."""
    copy = Copy(Window(Readers(MemoryBudget(budget_bytes, budget_bytes // 4), 1)), bucket, ahead)
    copy.begin(len(BODY))
    return copy


async def fill(copy: Copy, pieces: int = 48) -> None:
    """Offer the body piece by piece."""
    for number in range(pieces):
        await trio.lowlevel.checkpoint()
        await copy.offer(BODY[number * PIECE : (number + 1) * PIECE])


async def read(copy: Copy, span: Span | None = None) -> bytes:
    """Read a span whole."""
    found = bytearray()
    async with copy.open(span or Span(0, len(BODY))) as pieces:
        async for piece in pieces:
            found += piece
    return bytes(found)


async def test_a_reader_far_behind_goes_on_in_the_bucket(autojump_clock: trio.testing.MockClock) -> None:
    """The window is bounded, and the copy waits for it only as long as for any slow reader."""
    del autojump_clock
    copy = a_copy()
    async with copy.open(Span(0, len(BODY))) as slow:
        first = await _first(copy, slow)
        began = trio.current_time()
        await fill_from(copy, 1)
        assert copy.window.end - copy.window.start <= LEAST_BYTES
        assert trio.current_time() - began <= START_S + len(BODY) / (4 * MIB)
        copy.end(VALUE, None)
        assert first + b"".join([piece async for piece in slow]) == BODY
    assert copy.window.start == copy.window.end


async def test_a_reader_far_behind_goes_back_to_the_upstream_if_nothing_is_kept(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """It waits for a place there. The last byte comes once all are known to be right, also then."""
    del autojump_clock
    spans = list[Span]()

    @asynccontextmanager
    async def back(size_bytes: int, span: Span, *, waits: bool = False) -> AsyncIterator[AsyncIterator[bytes]]:
        assert (size_bytes, waits) == (len(BODY), True)
        spans.append(span)

        async def pieces() -> AsyncIterator[bytes]:
            await trio.lowlevel.checkpoint()
            yield BODY[span.start : span.end]

        yield pieces()

    copy, found = a_copy(), bytearray()
    copy.ahead = back
    copy.keep_nothing()
    async with copy.open(Span(0, len(BODY))) as slow:
        found += await _first(copy, slow)
        await fill_from(copy, 1)
        while len(found) < len(BODY) - 1:
            found += await anext(slow)
        copy.confirm()
        copy.end(None, None)
        found += b"".join([piece async for piece in slow])
    assert found == BODY
    assert spans == [Span(PIECE, len(BODY) - 1)]


async def test_a_copy_that_begins_anew_wakes_those_who_wait_for_its_end(autojump_clock: trio.testing.MockClock) -> None:
    """They go on at their byte as soon as the copy has come to it once more."""
    del autojump_clock
    copy, found = a_copy(), bytearray()

    async def pull() -> None:
        async with copy.open(Span(0, len(BODY))) as pieces:
            async for piece in pieces:
                found.extend(piece)

    await fill(copy)
    assert copy.window.start > 0
    async with trio.open_nursery() as nursery:
        nursery.start_soon(pull)
        await trio.testing.wait_all_tasks_blocked()
        copy.keep_nothing()
        await fill(copy)
        copy.confirm()
        copy.end(None, None)
    assert found == BODY


async def _first(copy: Copy, pieces: AsyncIterator[bytes]) -> bytes:
    await copy.offer(BODY[:PIECE])
    return await anext(pieces)


async def fill_from(copy: Copy, number: int) -> None:
    """Offer the rest of the body."""
    for each in range(number, 48):
        await copy.offer(BODY[each * PIECE : (each + 1) * PIECE])


async def test_a_good_reader_sets_the_pace(autojump_clock: trio.testing.MockClock) -> None:
    """The copy waits for it, so it never falls behind: 8 MiB/s is more than what is asked of it."""
    del autojump_clock
    copy, found = a_copy(), bytearray()
    copy.expect()

    async def pull() -> None:
        async with copy.open(Span(0, len(BODY))) as pieces:
            async for piece in pieces:
                assert copy.window.start <= len(found)
                found.extend(piece)
                await trio.sleep(PIECE / (8 * MIB))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(pull)
        await fill(copy)
        copy.end(VALUE, None)
    assert found == BODY


async def test_what_all_readers_have_is_forgotten_once_the_beginning_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """Until then it stays for a reader who comes later. A reader that is slower keeps what it has not read."""
    monkeypatch.setattr("zotpy.mirror.copying.BEHIND_BYTES", 2 * PIECE)
    copy = a_copy()
    held = list[int]()
    async with copy.open(Span(0, len(BODY))) as fast, copy.open(Span(0, len(BODY))) as slow:
        for number in range(32):
            await copy.offer(BODY[number * PIECE : (number + 1) * PIECE])
            assert (await anext(fast))[:1] == bytes([number])
            if number < 16 or number >= 24:
                await anext(slow)
            held.append((copy.window.end - copy.window.start) // PIECE)
        assert await anext(slow) == BODY[24 * PIECE : 25 * PIECE]
    assert held[:16] == list(range(1, 17))
    assert held[16] == 4
    assert held[24:] == [12] * 8


async def test_the_last_byte_waits_for_the_digest() -> None:
    """Everything else is handed out before, and nothing waits for the store."""
    copy, found = a_copy(64 * MIB), bytearray()

    async def pull() -> None:
        async with copy.open(Span(0, len(BODY))) as pieces:
            async for piece in pieces:
                found.extend(piece)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(pull)
        await fill(copy)
        await trio.testing.wait_all_tasks_blocked()
        assert len(found) == len(BODY) - 1
        copy.confirm()
    assert found == BODY


@pytest.mark.parametrize(("budget_bytes", "stays"), [(64 * MIB, True), (2 * MIB, False)])
async def test_a_window_in_which_nobody_can_begin_is_given_back(
    autojump_clock: trio.testing.MockClock,
    budget_bytes: int,
    stays: bool,  # noqa: FBT001 - a parameter
) -> None:
    """While the store takes the last parts, its memory is free for the next copy. Nobody has a place in it any more.

    A reader that comes now begins in the window if it has the whole blob, and otherwise waits for the end of the copy.
    """
    del autojump_clock
    copy, found = a_copy(budget_bytes), list[bytes]()

    async def pull() -> None:
        found.append(await read(copy))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(pull)
        await trio.testing.wait_all_tasks_blocked()
        await fill(copy)
        await trio.testing.wait_all_tasks_blocked()
        assert copy.window.end > copy.window.start
        copy.confirm()
    assert (copy.window.end > copy.window.start) is stays
    async with trio.open_nursery() as nursery:
        nursery.start_soon(pull)
        await trio.testing.wait_all_tasks_blocked()
        assert len(found) == 1 + stays
        copy.end(VALUE, None)
    assert found == [BODY, BODY]
    assert copy.window.end == copy.window.start


@pytest.mark.parametrize("error", [TryAgain("the upstream broke off"), None])
async def test_all_readers_hear_why_a_copy_has_failed(error: TryAgain | None) -> None:
    """Each raises an error of its own; without an error the process is about to end."""
    copy, heard = a_copy(64 * MIB), list[TryAgain]()

    async def pull(span: Span) -> None:
        with pytest.raises(TryAgain) as raised:
            await read(copy, span)
        heard.append(raised.value)

    async with trio.open_nursery() as nursery:
        for span in (Span(0, len(BODY)), Span(len(BODY) - 1, len(BODY))):
            nursery.start_soon(partial(pull, span))
        await fill(copy, 3)
        copy.end(None, error)
    assert len(heard) == 2
    assert heard[0] is not heard[1]


def test_very_small_pieces_are_bounded_in_number() -> None:
    """Each costs memory beside its bytes."""
    window = Window(Readers(MemoryBudget(64 * MIB, 16 * MIB), 1))
    for _ in range(2 * MOST_PIECES):
        while not window.has_room(1):
            window.drop_oldest()
        window.add(b"x")
    assert window.end - window.start == MOST_PIECES
    window.close()
