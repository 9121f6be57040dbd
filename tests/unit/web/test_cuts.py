"""A request that ends in the middle is reported with the reason, and others without one."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import h11
import pytest

from tests.unit.registry.support import until
from tests.unit.still_clock import passing
from tests.unit.web.raw import connect, connect_narrow, noted_connections, pull_that_the_store_cuts
from tests.unit.web.serving import REPO, SETTINGS, UPLOADS, Replica, push_zeros, serving
from zotpy.core.units import MIB
from zotpy.http.server.cuts import Cut
from zotpy.http.server.hypercorn_config import ServerConfig

if TYPE_CHECKING:
    import trio
    import trio.testing

    from zotpy.http.server.sending import Answered

SOON_S = 0.5
"""A stall timeout, by a clock that stands still until the test lets time pass."""
IMPATIENT = replace(SETTINGS, upload=replace(SETTINGS.upload, body_idle_timeout_s=SOON_S))
LARGE_BYTES = 64 * MIB
"""More than all buffers on the way hold."""


async def ended(replica: Replica, method: str) -> Answered:
    """Wait until a request of this method has ended."""
    while (answered := await replica.ended.receive()).method != method:
        pass
    return answered


async def test_a_client_that_leaves_in_its_body_is_gone(replica: Replica) -> None:
    """The connection was closed before the end of a chunk."""
    location = await replica.begin()
    client = await connect(replica)
    async with client.stream:
        await client.begin("PATCH", location, 1000)
        await client.send(999)
    assert (await ended(replica, "PATCH")).cut is Cut.GONE


async def test_a_client_that_leaves_in_the_answer_is_gone(replica: Replica) -> None:
    """The connection was closed in the middle of a pull."""
    digest = await push_zeros(replica, LARGE_BYTES)
    parked = replica.script.park("after", "read", "data/")
    client = await connect(replica)
    async with client.stream:
        await client.begin("GET", f"/v2/{REPO}/blobs/{digest}", None)
        client.http.send(h11.EndOfMessage())
        await parked.reached.wait()
        parked.go_on.set()
    assert (await ended(replica, "GET")).cut is Cut.GONE


async def test_a_client_that_leaves_before_the_answer_to_a_change_is_gone(replica: Replica) -> None:
    """The change goes through to its end, but nobody was told."""
    parked = replica.script.park("before", "put")
    location = await replica.begin()
    with noted_connections() as connections:
        client = await connect(replica)
        async with client.stream:
            await client.begin("PATCH", location, 1000)
            await client.send(1000)
            client.http.send(h11.EndOfMessage())
            await parked.reached.wait()
    [connection] = connections
    await until(lambda: connection.has_ended)
    parked.go_on.set()
    answered = await ended(replica, "PATCH")
    assert (answered.cut, answered.status) == (Cut.GONE, 202)


async def test_a_client_that_sends_no_more(nursery: trio.Nursery, mock_clock: trio.testing.MockClock) -> None:
    """It is still there, but its body does not go on."""
    async with serving(nursery, IMPATIENT) as replica:
        location = await replica.begin()
        client = await connect(replica)
        async with client.stream:
            await client.begin("PATCH", location, 1000)
            await client.send(999)
            async with passing(mock_clock):
                assert (await client.receive())[0] == 408
        assert (await ended(replica, "PATCH")).cut is Cut.SENDS_NO_MORE


async def test_a_client_that_reads_no_more(nursery: trio.Nursery, mock_clock: trio.testing.MockClock) -> None:
    """It is distinguished from one that left, although we close its connection."""
    config = ServerConfig()
    config.send_stall_s = SOON_S
    async with serving(nursery, config=config) as replica:
        digest = await push_zeros(replica, LARGE_BYTES)
        client = await connect_narrow(replica.port)
        async with client.stream:
            await client.begin("GET", f"/v2/{REPO}/blobs/{digest}", None)
            client.http.send(h11.EndOfMessage())
            async with passing(mock_clock):
                assert (await ended(replica, "GET")).cut is Cut.READS_NO_MORE


async def test_an_answer_that_the_store_cuts(replica: Replica) -> None:
    """The client is not to blame if the store fails in the middle of a pull."""
    await pull_that_the_store_cuts(replica)
    assert (await ended(replica, "GET")).cut is Cut.STORE_FAILED


@pytest.mark.parametrize(("query", "status"), [("", 202), ("?digest=nonsense", 400)])
async def test_a_request_that_went_through_has_no_reason(replica: Replica, query: str, status: int) -> None:
    """Nor has one that was refused in the middle of its body, whose client read that and left."""
    client = await connect(replica)
    async with client.stream:
        await client.begin("POST", f"{UPLOADS}{query}", 0 if status == 202 else LARGE_BYTES)
        client.http.send(h11.EndOfMessage()) if status == 202 else await client.send(MIB)
        assert client.http.next_event() is h11.NEED_DATA
        client.http.receive_data(bytes(await client.stream.receive_some()))
        answer = client.http.next_event()
        assert isinstance(answer, h11.Response)
        assert answer.status_code == status
    assert (await ended(replica, "POST")).cut is None
