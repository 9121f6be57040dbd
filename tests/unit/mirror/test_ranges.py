"""Ranges far ahead of a copy: read at the upstream, but for the last byte of the blob."""

from __future__ import annotations

import re
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

import httpx
import pytest
import trio
from structlog.testing import capture_logs

from tests.unit.mirror.support import HERE, LAYER, LAYER_DIGEST, LAYER_PATH, LOCAL, TAG_HERE, give, image, world
from tests.unit.registry.support import until
from tests.unit.s3.scripted import Drop, Reply
from zotpy.core.digests import Digest
from zotpy.core.names import RepositoryName
from zotpy.core.units import KIB, MIB

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from tests.unit.mirror.support import MirrorReplica
    from tests.unit.s3.scripted import Seen

START = 2 * MIB


@pytest.fixture(autouse=True)
def near(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let few bytes be far ahead."""
    monkeypatch.setattr("zotpy.mirror.copy_reading.FAR_BYTES", 64 * KIB)


def answered(seen: Seen, gate: trio.Event, whole: bytes = LAYER) -> Reply:
    """Answer a request for all of the layer with its beginning, until the gate opens, and one for a range at once."""
    wanted = re.fullmatch(r"bytes=([0-9]+)-([0-9]+)", seen.headers.get("range", ""))
    if wanted is None:
        return Reply(200, whole, gate=gate, gate_at=1000)
    start, end = int(wanted[1]), int(wanted[2]) + 1
    return Reply(206, LAYER[start:end], {"Content-Range": f"bytes {start}-{end - 1}/{len(LAYER)}"})


async def get(replica: MirrorReplica, wanted: str, found: list[bytes]) -> None:
    """Read a range."""
    answer = await replica.client.get(HERE, headers={"Range": wanted})
    assert answer.status_code == 206
    found.append(answer.content)


async def test_a_range_far_ahead_does_not_wait_for_the_copy() -> None:
    """Only its own bytes are asked for, and they are not kept; the copy goes on beside it."""
    gate, found = trio.Event(), list[bytes]()
    async with world() as (upstream, replica):
        upstream.scripts[LAYER_PATH] = [partial(answered, gate=gate)]
        await get(replica, f"bytes={START}-{START + 999}", found)
        assert found == [LAYER[START : START + 1000]]
        assert replica.mirror.blobs.under_way
        assert [seen.headers.get("range") for seen in upstream.seen] == [None, f"bytes={START}-{START + 999}"]
        gate.set()
        assert (await replica.client.get(HERE)).content == LAYER
        assert len(upstream.asked) == 2


async def to_the_end(replica: MirrorReplica, found: bytearray) -> None:
    """Read from the middle to the end of the layer, as a client that goes on."""
    async with replica.client.stream("GET", HERE, headers={"Range": f"bytes={START}-"}) as answer:
        async for piece in answer.aiter_raw():
            found.extend(piece)


async def almost_all(run: Callable[[], Awaitable[object]], found: bytearray, gate: trio.Event) -> None:
    """Run a reader, and open the gate when it has all bytes but one."""
    async with trio.open_nursery() as nursery:
        nursery.start_soon(run)
        await until(lambda: len(found) == len(LAYER) - START - 1)
        gate.set()


async def test_the_last_byte_of_the_blob_waits_until_all_have_the_digest() -> None:
    """The client that goes on at another replica gets the rest at once, but no blob that nobody has compared."""
    gate, found = trio.Event(), bytearray()
    async with world() as (upstream, replica):
        upstream.scripts[LAYER_PATH] = [partial(answered, gate=gate)]
        await almost_all(partial(to_the_end, replica, found), found, gate)
        assert found == LAYER[START:]


async def test_a_client_that_goes_on_sees_the_error_of_wrong_bytes() -> None:
    """The copy finds out, and so the last byte never comes."""
    gate, found = trio.Event(), bytearray()

    async def cut(replica: MirrorReplica) -> None:
        with pytest.raises(httpx.RemoteProtocolError):
            await to_the_end(replica, found)

    async with world() as (upstream, replica):
        upstream.scripts[LAYER_PATH] = [partial(answered, gate=gate, whole=b"?" + LAYER[1:])]
        await almost_all(partial(cut, replica), found, gate)
        assert len(found) == len(LAYER) - START - 1


@pytest.mark.parametrize("refusal", [Reply(200, LAYER), Reply(500), Drop()])
async def test_without_ranges_a_reader_waits_for_the_copy(refusal: Reply | Drop) -> None:
    """An upstream that sends the whole blob, or an error, is asked once: then the copy brings the bytes."""
    gate, found = trio.Event(), list[bytes]()

    def answer(seen: Seen) -> Reply | Drop:
        return answered(seen, gate) if "range" not in seen.headers else refusal

    async with world() as (upstream, replica), trio.open_nursery() as nursery:
        upstream.scripts[LAYER_PATH] = [answer]
        nursery.start_soon(get, replica, f"bytes={START}-{START + 999}", found)
        await until(lambda: len(upstream.asked) == 2)
        gate.set()
        await until(lambda: bool(found))
        assert found == [LAYER[START : START + 1000]]
        assert len(upstream.asked) == 2


async def test_a_range_that_the_upstream_refuses_does_not_keep_others_from_it() -> None:
    """Some upstreams let few requests run at once, and say so. Whatever else is asked for is not held up by that."""
    gate, found = trio.Event(), list[bytes]()

    def answer(seen: Seen) -> Reply:
        return answered(seen, gate) if "range" not in seen.headers else Reply(429, headers={"Retry-After": "60"})

    async with world() as (upstream, replica), trio.open_nursery() as nursery:
        content = image()
        give(upstream, content)
        upstream.scripts[LAYER_PATH] = [answer]
        with capture_logs() as logs:
            nursery.start_soon(get, replica, f"bytes={START}-{START + 999}", found)
            await until(lambda: any(each["event"] == "range_waits_for_copy" for each in logs))
        assert (await replica.client.get(TAG_HERE)).content == content
        gate.set()


async def test_a_range_that_gets_no_place_at_the_upstream_waits_for_the_copy() -> None:
    """A client that reads its range slowly has the only place, and keeps nobody from bytes that the copy brings."""
    gate, never, first, second = trio.Event(), trio.Event(), list[bytes](), list[bytes]()

    def answer(seen: Seen) -> Reply:
        reply = answered(seen, gate)
        return reply if "range" not in seen.headers else replace(reply, gate=never, gate_at=10)

    async with world(requests_at_once=1) as (upstream, replica), trio.open_nursery() as nursery:
        upstream.scripts[LAYER_PATH] = [answer]
        nursery.start_soon(get, replica, f"bytes={START}-{START + 999}", first)
        await until(lambda: len(upstream.asked) == 2)
        nursery.start_soon(get, replica, f"bytes={START}-{START + 99}", second)
        await until(lambda: replica.mirror.blobs.readers_of(RepositoryName(LOCAL), Digest.parse(LAYER_DIGEST)) == 2)
        gate.set()
        await until(lambda: bool(second))
        assert second == [LAYER[START : START + 100]]
        assert len(upstream.asked) == 2
        nursery.cancel_scope.cancel()
