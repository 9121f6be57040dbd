"""The read that began a download takes its bytes from memory, and the disk gets them without the page cache."""

from __future__ import annotations

import fcntl
import os
import threading
from typing import TYPE_CHECKING

import pytest
import trio

from tests.unit.cache.support import CHUNK_BYTES, CONTENT, Origin, bench, settled
from zotpy.cache import filling
from zotpy.cache.direct import DirectFile
from zotpy.core.units import MIB
from zotpy.memory.readers import Turn

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from zotpy.core.pieces import Buffer

SIZE = len(CONTENT)


@pytest.fixture
def writes(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Note of each write whether it went past the page cache."""
    noted: list[bool] = []
    write = os.pwritev

    def watched(descriptor: int, pieces: Sequence[bytes], at: int) -> int:
        noted.append(bool(fcntl.fcntl(descriptor, fcntl.F_GETFL) & os.O_DIRECT))
        return write(descriptor, pieces, at)

    monkeypatch.setattr(os, "pwritev", watched)
    return noted


@pytest.fixture(autouse=True)
def _has_direct_writes(tmp_path: Path) -> None:
    """Skip what a file system cannot show that has no `O_DIRECT`."""
    try:
        os.close(os.open(tmp_path / "tried", os.O_WRONLY | os.O_CREAT | os.O_DIRECT))
    except OSError as error:
        pytest.skip(str(error))


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Note the length of each read of a file, but not whether a byte is in memory."""
    noted: list[int] = []
    read = os.preadv

    def watched(descriptor: int, rooms: Sequence[memoryview], at: int, flags: int = 0) -> int:
        count = read(descriptor, rooms, at, flags)
        if sum(map(len, rooms)) > 1:
            noted.append(count)
        return count

    monkeypatch.setattr(os, "preadv", watched)
    return noted


async def test_one_read_gets_its_bytes_from_memory(tmp_path: Path, writes: list[bool], reads: list[int]) -> None:
    """Nothing is read from the disk, nothing is left in the page cache, and the next pull finds all bytes."""
    origin = Origin()
    async with bench(tmp_path / "cache") as cached:
        assert await cached.read(origin) == CONTENT
        await settled()
        assert (set(writes), reads) == ({True}, [])
        assert await cached.read(origin) == CONTENT
        assert origin.sent_bytes == SIZE
        assert sum(reads) >= SIZE


async def test_the_disk_gets_much_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As long as nobody waits for the file, each hand-over to a thread but the last has a share of the window."""
    monkeypatch.setattr(filling, "WINDOW_BYTES", 4 * MIB)
    handed_over: list[int] = []
    write = DirectFile.write

    def watched(file: DirectFile, pieces: Sequence[Buffer], at: int) -> int:
        handed_over.append(write(file, pieces, at))
        return handed_over[-1]

    monkeypatch.setattr(DirectFile, "write", watched)
    async with bench(tmp_path / "cache") as cached:
        assert await cached.read(Origin()) == CONTENT
        await settled()
    assert min(handed_over[:-1]) >= MIB
    assert sum(handed_over) == SIZE


async def test_a_second_read_makes_it_a_file_for_both(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, writes: list[bool]
) -> None:
    """From then on all bytes go through the page cache, and both reads get all of them."""
    monkeypatch.setattr(filling, "WINDOW_BYTES", 4 * MIB)
    origin, got = Origin(stops_at=2 * MIB), list[bytes]()
    async with bench(tmp_path / "cache") as cached:

        async def pull() -> None:
            got.append(await cached.read(origin))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(pull)
            await settled()
            before = list(writes)
            nursery.start_soon(pull)
            await settled()
            origin.go.set()
        await settled()
    assert got == [CONTENT] * 2
    assert before
    assert all(before)
    assert not any(writes[len(before) :])
    assert origin.opened == 1


async def test_a_slow_read_is_not_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, writes: list[bool]
) -> None:
    """It holds one piece. The rest comes as fast as the store sends it, and the read finds it in the file."""
    monkeypatch.setattr(filling, "WINDOW_BYTES", MIB)
    monkeypatch.setattr(filling, "PATIENCE_S", 0.0)
    origin = Origin()
    async with bench(tmp_path / "cache") as cached, cached.reading(origin) as chunks:
        first = await anext(chunks)
        await settled()
        assert (origin.sent_bytes, cached.names()) == (SIZE, {f"a1.{SIZE}"})
        assert cached.budget.used_bytes == CHUNK_BYTES
        assert not writes[-1]
        assert bytes(first) + b"".join([bytes(chunk) async for chunk in chunks]) == CONTENT


async def test_a_read_that_takes_its_time_holds_no_more_than_the_window(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As long as it is waited for, the store is asked for no more than fits."""
    monkeypatch.setattr(filling, "WINDOW_BYTES", MIB)
    monkeypatch.setattr(filling, "PATIENCE_S", 3600.0)
    origin = Origin()
    async with bench(tmp_path / "cache") as cached, cached.reading(origin) as chunks:
        received = bytes(await anext(chunks))
        await settled()
        assert origin.sent_bytes == MIB + CHUNK_BYTES, "one more has come, and waits for room"
        assert cached.budget.used_bytes == MIB
        received += b"".join([bytes(chunk) async for chunk in chunks])
    assert received == CONTENT


async def test_without_memory_all_goes_through_the_file(tmp_path: Path, writes: list[bool]) -> None:
    """Memory that others have is not taken for it: the read gets its bytes as those behind a download do."""
    async with bench(tmp_path / "cache") as cached:
        others = cached.budget.account()
        await others.acquire(cached.budget.largest_part_bytes - CHUNK_BYTES // 2)
        assert await cached.read(Origin()) == CONTENT
        await settled()
        assert writes
        assert not any(writes)
        others.close()


async def test_a_slow_disk_gets_help_from_the_page_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, writes: list[bool]
) -> None:
    """While the disk takes its time for the first bytes, others come. Those are too many to wait for it again."""
    monkeypatch.setattr(filling, "WINDOW_BYTES", 4 * MIB)
    monkeypatch.setattr(filling, "LATE_BYTES", 3 * MIB // 2)
    watched, goes_on = os.pwritev, threading.Event()

    def slow(descriptor: int, pieces: Sequence[bytes], at: int) -> int:
        if not at:
            goes_on.wait()
        return watched(descriptor, pieces, at)

    monkeypatch.setattr(os, "pwritev", slow)
    origin = Origin()
    async with bench(tmp_path / "cache") as cached:
        try:
            assert await cached.read(origin) == CONTENT, "nobody waits for the disk"
        finally:
            goes_on.set()
        await settled()
        assert cached.names() == {f"a1.{SIZE}"}
        assert (writes[0], False in writes) == (True, True)
        assert await cached.read(origin) == CONTENT
        assert origin.sent_bytes == SIZE


async def test_what_is_lent_counts_until_it_was_sent(tmp_path: Path) -> None:
    """The memory is that of the budget, from when bytes come until the read asks for the next or leaves."""
    origin = Origin(stops_at=CHUNK_BYTES)
    async with bench(tmp_path / "cache") as cached:
        async with cached.reading(origin, turn=Turn(takes_files=True)) as chunks:
            assert len(await anext(chunks)) == CHUNK_BYTES
            assert cached.budget.used_bytes == CHUNK_BYTES
        origin.go.set()
        await settled()
        assert cached.budget.used_bytes == 0
