"""Pulls from a store that fails: they go on from the byte reached, or are seen to break, and are never short."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import trio

from tests.faults.serving import LARGE, MEDIUM, QUICKLY, REPO, SMALL, Patience, Replica, assert_try_again, serving
from tests.faults.test_store_faults import name_of
from tests.proxy import Drop, Flip, Reply, Stall
from tests.unit.registry.support import content
from tests.unit.web.serving import codes_of, digest_of
from zotpy.core.units import MIB
from zotpy.registry.reading import RANGE_BYTES

if TYPE_CHECKING:
    from tests.proxy import Fault, Request
    from tests.servers import Bucket
    from zotpy.http.server.sending import Answered

AT = 5 * MIB + 12_345
LONG = content(2 * RANGE_BYTES + 4 * MIB, seed=11)
"""A blob that is read as three ranges at once."""
FOR_GOOD: tuple[Fault, ...] = (Reply(503, "SlowDown"), Reply(500, "InternalError"), Drop("request"), Drop("answer"))


async def cut_pull(replica: Replica, body: bytes) -> bytes:
    """Pull a blob, see that the connection is cut in the middle, and return what had come."""
    received = bytearray()
    async with await replica.connect() as stream:
        path = f"/v2/{REPO}/blobs/{digest_of(body)}"
        await stream.send_all(f"GET {path} HTTP/1.1\r\nHost: registry\r\nConnection: close\r\n\r\n".encode())
        try:
            while data := await stream.receive_some(1 << 20):
                received += data
        except trio.BrokenResourceError:
            pass
    head, _, came = bytes(received).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200")
    assert f"content-length: {len(body)}".encode() in head.lower()
    assert len(came) < len(body)
    return came


def begin_of(request: Request) -> int | None:
    """Return the first byte that a Range asks for."""
    asked = request.headers.get("range")
    return None if asked is None else int(asked.removeprefix("bytes=").partition("-")[0])


async def ended_with(replica: Replica, status: int) -> Answered:
    """Wait for the end of the next GET, and check its status."""
    while (ended := await replica.ended.receive()).method != "GET":
        pass
    assert ended.status == status
    return ended


@pytest.mark.parametrize(
    ("fault", "goes_on_at"),
    [
        (Reply(503, "SlowDown"), 0),
        (Reply(500, "InternalError"), 0),
        (Drop("request"), 0),
        (Drop("answer"), 0),
        (Drop("answer", 0), 0),
        (Drop("answer", AT), AT),
    ],
    ids=name_of,
)
async def test_a_pull_goes_on_from_the_byte_reached(fault: Fault, goes_on_at: int, replica: Replica) -> None:
    """The client gets every byte, once, and the store is asked only for those that are missing."""
    await replica.push(LARGE)
    plan = replica.plan("GetObject", "data/", lambda: fault, first=1)
    assert await replica.pull(LARGE) == LARGE
    assert [begin_of(request) for request in plan.hit] == [0, goes_on_at]
    assert replica.is_idle()


async def test_a_store_that_falls_silent_is_asked_again(nursery: trio.Nursery, bucket: Bucket, prefix: str) -> None:
    """Silence in the middle of an answer lasts no longer than the read timeout."""
    async with serving(nursery, bucket, prefix, patience=Patience(read_timeout_s=4.0)) as replica:
        await replica.push(LARGE)
        plan = replica.plan("GetObject", "data/", lambda: Stall("answer", AT), first=1)
        assert await replica.pull(LARGE) == LARGE
        assert [begin_of(request) for request in plan.hit] == [0, AT]


async def test_a_slow_first_byte_is_waited_for(replica: Replica) -> None:
    """A store that answers late, but within the timeout, is asked once."""
    await replica.push(LARGE)
    stall = Stall("answer", until=trio.Event())
    plan = replica.plan("GetObject", "data/", lambda: stall, first=1)
    pulled = []

    async def pull() -> None:
        pulled.append(await replica.pull(LARGE))

    async with trio.open_nursery() as pulling:
        pulling.start_soon(pull)
        await stall.reached.wait()
        assert pulled == []
        assert stall.until is not None
        stall.until.set()
    assert pulled == [LARGE]
    assert len(plan.hit) == 1


async def test_each_of_several_ranges_goes_on_by_itself(nursery: trio.Nursery, bucket: Bucket, prefix: str) -> None:
    """If all ranges of a pull break once, each continues where it broke."""
    async with serving(nursery, bucket, prefix, budget_bytes=64 * MIB) as replica:
        await replica.push(LONG)
        plan = replica.plan("GetObject", "data/", lambda: Drop("answer", MIB), first=3)
        assert await replica.pull(LONG) == LONG
        begins = [begin_of(request) or 0 for request in plan.hit]
        firsts = [0, RANGE_BYTES, 2 * RANGE_BYTES]
        assert sorted(begins) == sorted(firsts + [first + MIB for first in firsts])
        assert replica.is_idle()


@pytest.mark.parametrize("fault", FOR_GOOD, ids=name_of)
@pytest.mark.parametrize("blob", [MEDIUM, LONG], ids=name_of)
async def test_a_pull_that_cannot_begin_is_refused(blob: bytes, fault: Fault, replica: Replica) -> None:
    """Where not one byte can be had, the answer is an error, not a success that breaks off."""
    await replica.push(blob)
    replica.plan("GetObject", "data/", lambda: fault)
    answer = await replica.client.get(f"/v2/{REPO}/blobs/{digest_of(blob)}")
    assert_try_again(answer)
    assert replica.is_idle()
    replica.lift()
    assert await replica.pull(blob) == blob


@pytest.mark.parametrize("fault", FOR_GOOD, ids=name_of)
@pytest.mark.parametrize("blob", [LARGE, LONG], ids=name_of)
async def test_a_pull_that_fails_for_good_is_cut(blob: bytes, fault: Fault, replica: Replica) -> None:
    """The client has fewer bytes than were announced, all of them right, and its connection ends."""
    await replica.push(blob)
    cuts: dict[int | None, Fault] = {0: Drop("answer", AT), AT: fault}
    replica.proxy.faults = lambda request: cuts.get(begin_of(request)) if request.operation == "GetObject" else None
    came = await cut_pull(replica, blob)
    assert came == blob[:AT]
    replica.lift()
    assert (await ended_with(replica, 200)).sent_bytes == AT
    assert replica.is_idle()
    assert await replica.pull(blob) == blob


async def test_a_range_that_fails_costs_no_byte_before_it(nursery: trio.Nursery, bucket: Bucket, prefix: str) -> None:
    """The ranges of a pull fail in their turn, and the client gets all that lies before the first that did."""
    async with serving(nursery, bucket, prefix, budget_bytes=64 * MIB) as replica:
        await replica.push(LONG)
        reached, failed = trio.Event(), Reply(503, "SlowDown")
        slow = Stall("answer", AT, until=reached)
        second: list[Request] = []

        def decide(request: Request) -> Fault | None:
            if request.operation != "GetObject" or "/data/" not in request.key:
                return None
            if begin_of(request) != RANGE_BYTES:
                return slow if begin_of(request) == 0 else None
            second.append(request)
            if len(second) == QUICKLY.attempts:
                reached.set()  # the first range continues only now that the second has failed for ever
            return failed

        replica.proxy.faults = decide
        assert await cut_pull(replica, LONG) == LONG[:RANGE_BYTES]
        assert (await ended_with(replica, 200)).sent_bytes == RANGE_BYTES
        assert replica.is_idle()


@pytest.mark.parametrize("fault", FOR_GOOD, ids=name_of)
@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_a_blob_whose_record_cannot_be_read_is_not_missing(method: str, fault: Fault, replica: Replica) -> None:
    """429: after a 404 a client would push it again, or give up for ever."""
    await replica.push(SMALL)
    replica.plan("GetObject", "entries/", lambda: fault)
    answer = await replica.client.request(method, f"/v2/{REPO}/blobs/{digest_of(SMALL)}")
    assert answer.status_code == 429
    assert int(answer.headers["Retry-After"]) > 0


async def test_a_small_blob_that_was_damaged_on_its_way_is_read_again(replica: Replica) -> None:
    """Its bytes are in the record, and are checked before the first of them is sent."""
    await replica.push(SMALL)
    plan = replica.plan("GetObject", "entries/", lambda: Flip("answer", 1000), first=1)
    assert await replica.pull(SMALL) == SMALL
    assert plan.hit


async def test_a_small_blob_that_stays_damaged_is_none(replica: Replica) -> None:
    """No wrong byte is sent, and a client that asks before it pushes is told to push it."""
    await replica.push(SMALL)
    plan = replica.plan("GetObject", "entries/", lambda: Flip("answer", 1000), first=4)
    url = f"/v2/{REPO}/blobs/{digest_of(SMALL)}"
    answer = await replica.client.get(url)
    assert (answer.status_code, codes_of(answer)) == (404, ["BLOB_UNKNOWN"])
    assert (await replica.client.head(url)).status_code == 404
    assert plan.hit
    await replica.push(SMALL)
    assert await replica.pull(SMALL) == SMALL
