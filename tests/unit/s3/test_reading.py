"""Ranges read as a stream from a server that breaks off, or answers something else."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest

from tests.unit.s3.scripted import READ_TIMEOUT_S, Drop, Reply, ScriptedServer, Stall
from zotpy.s3.client import open_client
from zotpy.store.interface import KeyMissing, StoreRefused, StoreUnavailable
from zotpy.store.s3 import S3Store

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    import trio
    from trio.testing import MockClock

    from tests.unit.s3.scripted import Act

CONTENT = bytes(range(256)) * 4000
SIZE = len(CONTENT)
SLOW_DOWN = Reply(503, b"<Error><Code>SlowDown</Code></Error>")
MISSING = Reply(404, b"<Error><Code>NoSuchKey</Code></Error>")


def ranged(
    start: int, end: int = SIZE, *, cut_to: int | None = None, etag: str = '"e"', chunked: bool = False
) -> Reply:
    """Return what S3 answers to a request for a range."""
    headers = {"content-range": f"bytes {start}-{end - 1}/{SIZE}", "etag": etag}
    return Reply(206, CONTENT[start:end], headers, cut_to, chunked)


@asynccontextmanager
async def store_on(server: ScriptedServer, *, deadline_s: float = 60.0) -> AsyncIterator[S3Store]:
    """Open a store that calls the server."""
    config = server.config(deadline_s=deadline_s)
    async with open_client(config) as client:
        yield S3Store(client)


async def read(store: S3Store, start: int = 0, end: int = SIZE) -> bytes:
    """Read a range to its end."""
    async with store.open("data/x", start, end) as chunks:
        return b"".join([chunk async for chunk in chunks])


async def keep(chunks: AsyncIterator[bytes], received: bytearray) -> None:
    """Read to the end, and keep what came before an error."""
    async for chunk in chunks:
        received += chunk


async def test_a_cut_answer_goes_on_from_the_byte_reached(nursery: trio.Nursery) -> None:
    """What arrived is not asked for again, however often the store breaks off."""
    script: list[Act] = [ranged(10, cut_to=1000), Drop(), ranged(1010, cut_to=1), ranged(1011)]
    server = await ScriptedServer(script).start(nursery)
    async with store_on(server) as store:
        assert await read(store, 10) == CONTENT[10:]
    asked = [seen.headers["range"] for seen in server.seen]
    assert asked == [f"bytes={start}-{SIZE - 1}" for start in (10, 1010, 1010, 1011)]


async def test_a_store_that_stalls_in_the_middle_is_asked_again(nursery: trio.Nursery, mock_clock: MockClock) -> None:
    """Silence in the middle of an answer counts as its end."""
    del mock_clock
    server = await ScriptedServer([ranged(0, cut_to=500), Stall(), ranged(500)]).start(nursery)
    nursery.start_soon(server.when_silent, 2, READ_TIMEOUT_S)
    async with store_on(server) as store:
        assert await read(store) == CONTENT


async def test_a_read_that_makes_no_progress_gives_up(nursery: trio.Nursery) -> None:
    """After as many attempts without a byte as the policy allows, the read fails; it never ends short."""
    server = await ScriptedServer([ranged(0, cut_to=500), Drop()]).start(nursery)
    received = bytearray()
    async with store_on(server) as store, store.open("data/x", 0, SIZE) as chunks:
        with pytest.raises(StoreUnavailable, match="data/x"):
            await keep(chunks, received)
    assert received == CONTENT[:500]
    assert len(server.seen) == server.config().retry.attempts


async def test_a_read_ends_at_its_deadline(nursery: trio.Nursery) -> None:
    """A store that is silent for longer than the deadline fails the read."""
    server = await ScriptedServer([ranged(0, cut_to=500), Stall()]).start(nursery)
    async with store_on(server, deadline_s=0.3) as store:
        with pytest.raises(StoreUnavailable):
            await read(store)


@pytest.mark.parametrize("first", [SLOW_DOWN, Drop()], ids=["slow-down", "drop"])
async def test_the_beginning_is_tried_again(first: Act, nursery: trio.Nursery) -> None:
    """A passing failure on entry is not seen by the reader."""
    server = await ScriptedServer([first, ranged(0)]).start(nursery)
    async with store_on(server) as store:
        assert await read(store) == CONTENT


async def test_a_missing_key_is_known_on_entry(nursery: trio.Nursery) -> None:
    """An object that is not there is known before the first byte, from one request."""
    server = await ScriptedServer([MISSING]).start(nursery)
    async with store_on(server) as store:
        with pytest.raises(KeyMissing):
            await read(store)
    assert len(server.seen) == 1


async def test_an_object_that_vanishes_in_the_middle_is_an_error(nursery: trio.Nursery) -> None:
    """A key deleted under a reader ends the read with an error, not short."""
    server = await ScriptedServer([ranged(0, cut_to=500), MISSING]).start(nursery)
    async with store_on(server) as store:
        with pytest.raises(KeyMissing):
            await read(store)


async def test_the_whole_object_may_come_without_a_range(nursery: trio.Nursery) -> None:
    """A 200 is as good as a 206 if all bytes were asked for."""
    server = await ScriptedServer([Reply(200, CONTENT)]).start(nursery)
    async with store_on(server) as store:
        assert await read(store) == CONTENT


@pytest.mark.parametrize(
    "wrong",
    [
        Reply(200, CONTENT),
        ranged(0),
        ranged(11),
        ranged(10, SIZE - 1),
        Reply(206, CONTENT[9:-1], {"content-range": f"bytes 9-{SIZE - 2}/{SIZE}"}),
    ],
    ids=["whole", "from-0", "from-11", "short", "shifted"],
)
async def test_other_bytes_than_asked_for_are_refused(wrong: Reply, nursery: trio.Nursery) -> None:
    """A store that answers another range is not believed, and not asked again."""
    server = await ScriptedServer([wrong]).start(nursery)
    async with store_on(server) as store:
        with pytest.raises(StoreRefused):
            await read(store, 10)
    assert len(server.seen) == 1


async def test_more_bytes_than_asked_for_are_refused(nursery: trio.Nursery) -> None:
    """An answer without a length cannot bring more than was asked for."""
    server = await ScriptedServer([ranged(0, chunked=True)]).start(nursery)
    async with store_on(server) as store:
        with pytest.raises(StoreRefused):
            await read(store, 0, 100)


async def test_fewer_bytes_without_a_promised_length_are_fetched(nursery: trio.Nursery) -> None:
    """A chunked answer that ends early, and cleanly, is continued."""
    server = await ScriptedServer([ranged(0, 400, chunked=True), ranged(400)]).start(nursery)
    async with store_on(server) as store:
        assert await read(store) == CONTENT


async def test_another_object_is_not_appended(nursery: trio.Nursery) -> None:
    """Where the object changed between two answers, their bytes are not put together."""
    script = [ranged(0, cut_to=500, etag='"one"'), ranged(500, etag='"two"')]
    server = await ScriptedServer(script).start(nursery)
    async with store_on(server) as store:
        with pytest.raises(StoreRefused, match="another object"):
            await read(store)


async def test_a_reader_that_stops_early_closes_the_connection(nursery: trio.Nursery) -> None:
    """Leaving the block hangs up on the rest of the answer, and the next call goes through another connection."""
    long = bytes(64 * 2**20)
    headers = {
        "content-range": f"bytes 0-{len(long) - 1}/{len(long)}",
        "last-modified": "Tue, 24 Nov 2026 10:00:00 GMT",
    }
    server = await ScriptedServer([Reply(206, long, headers), Reply(200, b"next", headers)]).start(nursery)
    async with store_on(server) as store:
        async with store.open("data/x", 0, len(long)) as chunks:
            assert await anext(chunks)
        await server.hung_up.wait()
        assert (await store.get("tags/x")).body == b"next"
    assert server.connections == 2
