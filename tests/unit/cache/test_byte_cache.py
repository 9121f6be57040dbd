"""Reads by way of the cache: one download for all, and no failure of the disk or of another read is theirs."""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING

import pytest
import trio

from tests.unit.cache.support import CONTENT, LIMIT_BYTES, Bench, Origin, bench, settled
from zotpy.core.ranges import Span
from zotpy.core.units import MIB
from zotpy.store.interface import StoreUnavailable

if TYPE_CHECKING:
    from pathlib import Path

SIZE = len(CONTENT)
NAME = f"a1.{SIZE}"


async def test_a_storm_is_one_download(tmp_path: Path) -> None:
    """Sixteen reads at once get all bytes, of which the store sends each once; a second storm costs it nothing."""
    origin, got = Origin(), list[bytes]()
    async with bench(tmp_path) as cached:

        async def pull() -> None:
            got.append(await cached.read(origin))

        for storm in (1, 2):
            async with trio.open_nursery() as nursery:
                for _ in range(16):
                    nursery.start_soon(pull)
            await settled()
            assert got == [CONTENT] * 16 * storm
            assert (origin.opened, origin.sent_bytes) == (1, SIZE)
        assert cached.names() == {NAME}
    assert sorted(cached.events.outcomes) == ["filled"] + ["hit"] * 16 + ["shared"] * 15


async def test_the_first_may_leave(tmp_path: Path) -> None:
    """The read that began the download is cancelled in its middle; the other one gets all bytes of it."""
    origin, got = Origin(stops_at=2 * MIB), list[bytes]()
    async with bench(tmp_path) as cached:

        async def pull() -> None:
            got.append(await cached.read(origin))

        async with trio.open_nursery() as second, trio.open_nursery() as first:
            first.start_soon(pull)
            await settled()
            second.start_soon(pull)
            await settled()
            first.cancel_scope.cancel()
            await settled_outside_of(first)
            origin.go.set()
    assert got == [CONTENT]
    assert origin.opened == 1


async def settled_outside_of(nursery: trio.Nursery) -> None:
    """Wait until the tasks of a cancelled nursery have ended."""
    with trio.CancelScope(shield=True):
        await settled()
        assert not nursery.child_tasks


async def test_a_download_that_nobody_waits_for_ends(tmp_path: Path) -> None:
    """If its only read leaves, a download leaves no file and no room that counts as used."""
    origin = Origin(stops_at=2 * MIB)
    async with bench(tmp_path) as cached:
        async with cached.reading(origin) as chunks:
            await anext(chunks)
        await settled()
        assert (cached.names(), cached.shelf.used_bytes) == (set(), 0)
        origin.go.set()
        assert await cached.read(origin) == CONTENT
        await settled()
        assert cached.names() == {NAME}


async def test_a_slow_read_holds_nobody_back(tmp_path: Path) -> None:
    """A read that takes one piece and no more leaves the download, and other reads, at their own pace."""
    origin = Origin()
    async with bench(tmp_path) as cached, cached.reading(origin) as slow:
        first = bytes(await anext(slow))
        assert await cached.read(origin) == CONTENT
        assert first + b"".join([bytes(chunk) async for chunk in slow]) == CONTENT
        assert origin.sent_bytes == SIZE


async def test_ranges_of_what_is_here_while_it_fills(tmp_path: Path) -> None:
    """Two ranges at once: bytes that are here come from the download, and those far ahead of it from the store."""
    origin, got = Origin(stops_at=2 * MIB), dict[Span, bytes]()
    here, ahead = Span(100, MIB + 5), Span(SIZE - 70_000, SIZE)
    async with bench(tmp_path) as cached, trio.open_nursery() as nursery, cached.reading(origin):
        await settled()

        async def pull(span: Span, source: Origin) -> None:
            got[span] = await cached.read(source, span)

        apart = Origin()
        nursery.start_soon(pull, here, apart)
        nursery.start_soon(pull, ahead, apart)
        await settled()
        assert got == {span: CONTENT[span.start : span.end] for span in (here, ahead)}
        assert (apart.opened, apart.sent_bytes) == (1, ahead.length)
        origin.go.set()


async def test_a_range_of_what_is_not_here_fills_nothing(tmp_path: Path) -> None:
    """A client that wants some bytes of a large blob does not make the replica download all of it."""
    origin = Origin()
    async with bench(tmp_path) as cached:
        assert await cached.read(origin, Span(5, 50)) == CONTENT[5:50]
        await settled()
        assert (origin.sent_bytes, cached.names(), cached.events.outcomes) == (45, set(), ["passed"])


async def test_the_store_breaks_off(tmp_path: Path) -> None:
    """If the store fails in the middle, every read gets the bytes before it and then the error; nothing is kept."""
    origin, got = Origin(stops_at=2 * MIB, fails_at=2 * MIB), list[bytes]()
    async with bench(tmp_path) as cached:

        async def pull() -> None:
            received = b""
            async with cached.reading(origin) as chunks:
                with pytest.raises(StoreUnavailable):  # noqa: PT012 - it raises in the middle
                    async for chunk in chunks:
                        received += bytes(chunk)
            got.append(received)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(pull)
            nursery.start_soon(pull)
            await settled()
            origin.go.set()
        assert got == [CONTENT[: 2 * MIB]] * 2
        await settled()
        assert (cached.names(), cached.shelf.used_bytes, origin.opened) == (set(), 0, 1)


async def test_a_full_disk_fails_no_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """If the disk takes no more in the middle, the rest comes from the store, and no new file is begun for a while."""
    origin, written = Origin(), 0
    write = os.pwritev

    def full(descriptor: int, pieces: list[bytes], at: int) -> int:
        nonlocal written
        written += 1
        if written > 1:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return write(descriptor, pieces, at)

    monkeypatch.setattr(os, "pwritev", full)
    async with bench(tmp_path) as cached:
        assert await cached.read(origin) == CONTENT
        await settled()
        assert (cached.names(), cached.shelf.used_bytes, cached.events.failures) == (set(), 0, 1)
        assert await cached.read(origin) == CONTENT
        assert (cached.events.outcomes, cached.events.failures) == (["filled", "passed"], 1)


async def test_a_disk_that_gives_nothing_back_fails_no_read(tmp_path: Path) -> None:
    """If a kept file has become shorter or has gone, its bytes come from the store, and it is on no shelf any more."""
    origin = Origin()
    for harm in (lambda path: os.truncate(path, MIB), os.unlink):
        async with bench(tmp_path / harm.__name__) as cached:
            await cached.read(origin)
            await settled()
            harm(cached.files / NAME)
            assert await cached.read(origin) == CONTENT
            assert (cached.names(), cached.shelf.used_bytes, cached.events.failures) == (set(), 0, 1)


async def test_a_file_that_shrinks_under_a_read(tmp_path: Path) -> None:
    """A read that has begun goes on with the store where the file ends."""
    origin = Origin()
    async with bench(tmp_path) as cached:
        await cached.read(origin)
        await settled()
        async with cached.reading(origin) as chunks:
            received = bytes(await anext(chunks))
            os.truncate(cached.files / NAME, len(received) + 3)
            received += b"".join([bytes(chunk) async for chunk in chunks])
        assert received == CONTENT


async def test_the_least_recently_used_file_makes_room(tmp_path: Path) -> None:
    """The third blob takes the room of the one that was read longest ago."""
    async with bench(tmp_path) as cached:
        for data_id in ("a1", "b2", "a1", "c3"):
            await cached.read(Origin(), data_id=data_id)
            await settled()
        assert cached.names() == {NAME, f"c3.{SIZE}"}
        assert (cached.events.evictions, cached.shelf.used_bytes <= LIMIT_BYTES) == (1, True)


async def test_a_file_being_read_is_not_evicted(tmp_path: Path) -> None:
    """If reads hold all the room, another blob goes past the cache."""
    async with bench(tmp_path, SIZE) as cached:
        await cached.read(Origin())
        await settled()
        async with cached.reading(Origin()) as chunks:
            begin = bytes(await anext(chunks))
            assert await cached.read(Origin(), data_id="b2") == CONTENT
            assert cached.names() == {NAME}
            assert begin + b"".join([bytes(chunk) async for chunk in chunks]) == CONTENT
        await cached.read(Origin(), data_id="b2")
        await settled()
        assert cached.names() == {f"b2.{SIZE}"}


async def test_a_restart_keeps_what_is_complete(tmp_path: Path) -> None:
    """The next process reads the directory: half-filled files and those of a wrong length are deleted."""
    async with bench(tmp_path) as cached:
        await cached.read(Origin())
        await settled()
    (cached.files / "b2.7.part").write_bytes(b"half")
    (cached.files / f"c3.{SIZE}").write_bytes(CONTENT[:-1])
    async with bench(tmp_path) as again:
        assert again.names() == {NAME}
        unused = Origin()
        assert await again.read(unused) == CONTENT
        assert unused.opened == 0


async def test_a_smaller_cache_after_a_restart(tmp_path: Path) -> None:
    """What has no room any more is deleted at the start."""
    async with bench(tmp_path) as cached:
        await cached.read(Origin())
        await settled()
    async with bench(tmp_path, SIZE - 1) as again:
        assert (again.names(), again.shelf.used_bytes) == (set(), 0)
        assert await again.read(Origin()) == CONTENT


async def test_two_processes_have_places_of_their_own(tmp_path: Path) -> None:
    """A second process on the same directory counts and deletes no file of the first."""
    async with bench(tmp_path) as cached, trio.open_nursery() as nursery:
        await cached.read(Origin())
        await settled()
        other = Bench(tmp_path, nursery)
        assert other.shelf.directory.name == "1"
        assert other.shelf.used_bytes == 0
        other.shelf.close()
        nursery.cancel_scope.cancel()
