"""A file is hashed when it is first read again: until then no read gets all its bytes, and wrong ones are deleted."""

from __future__ import annotations

import os
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest
import trio

from tests.unit.cache.support import CONTENT, Bench, Origin, bench, settled
from zotpy.cache.verifying import HASHING, HELD_BACK_BYTES, STEP_BYTES
from zotpy.core.digests import Digest
from zotpy.core.errors import TryAgain
from zotpy.core.ranges import Span

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

SIZE = len(CONTENT)
NAME = f"a1.{SIZE}"
SHORT = CONTENT[: HELD_BACK_BYTES - 1]
RANGE = Span(100, 300)


@asynccontextmanager
async def hashing_stopped() -> AsyncIterator[None]:
    """Let no file be hashed meanwhile."""
    takers = [object() for _ in range(int(HASHING.total_tokens))]
    for taker in takers:
        await HASHING.acquire_on_behalf_of(taker)
    try:
        yield
    finally:
        for taker in takers:
            HASHING.release_on_behalf_of(taker)


def is_writable(cached: Bench, name: str = NAME) -> bool:
    """Say whether the mode of a file says that it is unverified."""
    return bool((cached.files / name).stat().st_mode & 0o200)


async def fill(cached: Bench, origin: Origin) -> None:
    """Have the cache keep the origin's blob, which is then unverified."""
    await cached.read(origin)
    await settled()
    assert is_writable(cached, f"a1.{len(origin.content)}")


async def test_the_first_read_again_verifies(tmp_path: Path) -> None:
    """The file is verified once it is read again, and it stays so after a restart: no further read waits for a hash."""
    origin = Origin()
    async with bench(tmp_path) as cached:
        await fill(cached, origin)
        assert await cached.read(origin) == CONTENT
        await settled()
        assert not is_writable(cached)
    async with bench(tmp_path) as again, hashing_stopped():
        assert await again.read(origin) == CONTENT
        assert await again.read(origin, RANGE) == CONTENT[RANGE.start : RANGE.end]
        assert again.events.outcomes == ["hit", "hit"]
    assert origin.opened == 1


async def test_an_unverified_file_stays_so_after_a_restart(tmp_path: Path) -> None:
    """The next process does not trust it either, and verifies it when it is first read."""
    origin = Origin()
    async with bench(tmp_path) as cached:
        await fill(cached, origin)
    async with bench(tmp_path) as again:
        assert await again.read(origin) == CONTENT
        await settled()
        assert not is_writable(again)
    assert origin.opened == 1


async def test_the_last_bytes_wait_for_the_digest(tmp_path: Path) -> None:
    """Many reads get all but the last bytes while the file is not hashed yet, and the last ones afterwards."""
    origin, got = Origin(), [b"", b"", b""]
    async with bench(tmp_path) as cached, trio.open_nursery() as nursery:
        await fill(cached, origin)

        async def pull(index: int) -> None:
            async with cached.reading(origin) as chunks:
                async for chunk in chunks:
                    got[index] += bytes(chunk)

        async with hashing_stopped():
            for index in range(len(got)):
                nursery.start_soon(pull, index)
            await reach(got, SIZE - HELD_BACK_BYTES)
    assert got == [CONTENT] * 3
    assert origin.opened == 1


async def reach(got: list[bytes], size_bytes: int) -> None:
    """Wait until all have so many bytes. They never have more."""
    while any(len(each) < size_bytes for each in got):
        await trio.to_thread.run_sync(os.sched_yield)
    for _ in range(20):
        await trio.to_thread.run_sync(os.sched_yield)
    assert [len(each) for each in got] == [size_bytes] * len(got)


async def test_a_range_of_an_unverified_file_comes_from_the_store(tmp_path: Path) -> None:
    """It waits for no hash. It has the file verified, so that the next range comes from it."""
    origin = Origin()
    async with bench(tmp_path) as cached:
        await fill(cached, origin)
        async with hashing_stopped():
            assert await cached.read(origin, RANGE) == CONTENT[RANGE.start : RANGE.end]
        await settled()
        assert await cached.read(origin, RANGE) == CONTENT[RANGE.start : RANGE.end]
        assert cached.events.outcomes == ["filled", "passed", "hit"]
        assert origin.sent_bytes == SIZE + RANGE.length


async def test_wrong_bytes_are_deleted(tmp_path: Path) -> None:
    """No read gets all of them from the file: its end is an error. The next read asks the store again."""
    origin = Origin()
    async with bench(tmp_path) as cached:
        await fill(cached, origin)
        harm(cached.files / NAME)
        received = b""
        async with cached.reading(origin) as chunks:
            with pytest.raises(TryAgain):  # noqa: PT012 - it raises in the middle
                async for chunk in chunks:
                    received += bytes(chunk)
        assert len(received) <= SIZE - HELD_BACK_BYTES  # fewer if the digest was known before the read got there
        await settled()
        assert (cached.names(), cached.shelf.used_bytes, cached.events.failures) == (set(), 0, 0)
        assert await cached.read(origin) == CONTENT
        assert origin.opened == 2


async def test_a_short_blob_with_wrong_bytes_comes_from_the_store(tmp_path: Path) -> None:
    """A read that has sent nothing when the digest is known to be wrong begins anew."""
    origin = Origin(SHORT)
    async with bench(tmp_path) as cached:
        await fill(cached, origin)
        harm(cached.files / f"a1.{len(SHORT)}")
        assert await cached.read(origin) == SHORT
        await settled()
        assert (cached.names(), cached.shelf.used_bytes) == (set(), 0)


async def test_bytes_of_the_store_without_the_digest_are_not_kept(tmp_path: Path) -> None:
    """The first read gets them as without a cache, and its client compares them. The second one has them deleted."""
    origin, digest = Origin(SHORT), Digest.of(b"others")
    async with bench(tmp_path) as cached:
        for reads in (1, 2, 3):
            assert await cached.read(origin, digest=digest) == SHORT
            await settled()
            assert (len(cached.names()), origin.opened) == (reads % 2, reads)


async def test_a_file_that_cannot_be_hashed_fails_no_read(tmp_path: Path) -> None:
    """If the file becomes shorter before it was hashed, the rest comes from the store, and the file is deleted."""
    origin = Origin()
    async with bench(tmp_path) as cached:
        await fill(cached, origin)
        async with cached.reading(origin) as chunks:
            async with hashing_stopped():
                received = bytes(await anext(chunks))
                os.truncate(cached.files / NAME, len(received))
            received += b"".join([bytes(chunk) async for chunk in chunks])
        assert received == CONTENT
        await settled()
        assert (cached.names(), cached.shelf.used_bytes) == (set(), 0)


async def test_a_process_that_ends_trusts_no_file(tmp_path: Path) -> None:
    """If nothing is hashed any more, a read that still runs gets its last bytes from the store."""
    origin = Origin()
    async with bench(tmp_path) as cached, trio.open_nursery() as nursery:
        await fill(cached, origin)
        ending = Bench(tmp_path.parent / f"{tmp_path.name}-other", nursery)
        await trio.testing.wait_all_tasks_blocked()
        await fill(ending, origin)
        async with ending.reading(origin) as chunks:
            async with hashing_stopped():
                received = bytes(await anext(chunks))
                nursery.cancel_scope.cancel()
                with trio.CancelScope(shield=True):
                    await trio.testing.wait_all_tasks_blocked()
            with trio.CancelScope(shield=True):
                received += b"".join([bytes(chunk) async for chunk in chunks])
        assert received == CONTENT
        ending.shelf.close()


async def test_a_long_file_is_hashed_in_steps(tmp_path: Path) -> None:
    """Files of more than one step have the digest of all their bytes."""
    origin = Origin(CONTENT * (STEP_BYTES // SIZE + 1))
    async with bench(tmp_path, 2 * len(origin.content)) as cached:
        await fill(cached, origin)
        assert await cached.read(origin) == origin.content
        await settled()
        assert not is_writable(cached, f"a1.{len(origin.content)}")


def harm(path: Path) -> None:
    """Change one byte in the middle."""
    with path.open("r+b") as file:
        file.seek(path.stat().st_size // 2)
        byte = file.read(1)
        file.seek(-1, os.SEEK_CUR)
        file.write(bytes([byte[0] ^ 1]))
