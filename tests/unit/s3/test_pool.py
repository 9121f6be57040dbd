"""Connections: as many as allowed, no fewer in the long run, and used again where they can be."""

from __future__ import annotations

from contextlib import AsyncExitStack
from dataclasses import replace

import pytest
import trio
import trio.testing

from tests.unit.s3.scripted import READ_TIMEOUT_S, Act, Drop, Reply, ScriptedServer, Stall
from tests.unit.still_clock import STILL_S
from zotpy.http.client.outgoing import Outgoing
from zotpy.s3.client import Request, S3Client
from zotpy.s3.errors import S3Unavailable
from zotpy.s3.transport import S3Transport

GET = Request("GetObject", "GET", "key")
PING = Outgoing("GET", "/", {"host": "store"})


class Fixture:
    """A client with two connections at most, and what it talks to."""

    def __init__(self, server: ScriptedServer, stack: AsyncExitStack) -> None:
        self.server = server
        config = replace(server.config(), max_connections=2, max_streams=1)
        self.transport = S3Transport(config)
        self.pool = self.transport.pool
        self.client = S3Client(config, self.transport)
        stack.push_async_callback(self.transport.__aexit__)

    async def fill(self, nursery: trio.Nursery) -> None:
        """Take both places with calls that get no answer."""
        for _ in range(2):
            nursery.start_soon(self.client.call, GET)
        while len(self.server.seen) < 2:
            await trio.lowlevel.checkpoint()


async def started(nursery: trio.Nursery, stack: AsyncExitStack, *script: Act) -> Fixture:
    """Start a server and a client for it."""
    return Fixture(await ScriptedServer(script).start(nursery), stack)


async def test_no_more_connections_than_allowed(nursery: trio.Nursery) -> None:
    """Ten calls at once share two connections, and none is left out."""
    async with AsyncExitStack() as stack:
        fixture = await started(nursery, stack, Reply())
        async with trio.open_nursery() as calls:
            for _ in range(10):
                calls.start_soon(fixture.client.call, GET)
        assert len(fixture.server.seen) == 10
        assert fixture.server.connections <= 2
        assert fixture.pool.busy == 0


async def test_calls_cancelled_while_they_wait_cost_no_connection(nursery: trio.Nursery) -> None:
    """Where all places are taken and everybody is cancelled at once, all places are free again."""
    async with AsyncExitStack() as stack:
        fixture = await started(nursery, stack, Stall(), Stall(), Reply())
        async with trio.open_nursery() as calls:
            await fixture.fill(calls)
            for _ in range(5):
                calls.start_soon(fixture.client.call, GET)
            await trio.testing.wait_all_tasks_blocked()
            calls.cancel_scope.cancel()
        assert (fixture.pool.busy, fixture.pool.idle) == (0, 0)
        for _ in range(3):
            await fixture.client.call(GET)
        assert (fixture.pool.busy, fixture.pool.idle) == (0, 1)


async def test_a_waiting_call_goes_on_when_others_are_cancelled(nursery: trio.Nursery) -> None:
    """A place that becomes free is the next one's, on a new connection."""
    async with AsyncExitStack() as stack:
        fixture = await started(nursery, stack, Stall(), Stall(), Reply())
        async with trio.open_nursery() as waiting, trio.open_nursery() as calls:
            await fixture.fill(calls)
            waiting.start_soon(fixture.client.call, GET)
            await trio.testing.wait_all_tasks_blocked()
            calls.cancel_scope.cancel()
        assert fixture.server.connections == 3
        assert (fixture.pool.busy, fixture.pool.idle) == (0, 1)


async def test_a_wait_for_a_place_is_no_silence_of_the_store(
    nursery: trio.Nursery, mock_clock: trio.testing.MockClock
) -> None:
    """A call may wait for a connection up to its deadline. Then the store has the whole read timeout to answer."""
    gate = trio.Event()
    async with AsyncExitStack() as stack:
        fixture = await started(nursery, stack, Reply(), Reply(), Reply(body=b"late", gate=gate))
        held = [await fixture.transport.send(replace(PING), streamed=False) for _ in range(2)]
        answers: list[bytes] = []

        async def call() -> None:
            answers.append((await fixture.client.call(GET)).body)

        async with trio.open_nursery() as calls:
            calls.start_soon(call)
            await trio.testing.wait_all_tasks_blocked(STILL_S)
            mock_clock.jump(1.5 * READ_TIMEOUT_S)
            for response in held:
                await response.aclose()
            while len(fixture.server.seen) < 3:
                await trio.testing.wait_all_tasks_blocked(STILL_S)
            mock_clock.jump(0.9 * READ_TIMEOUT_S)
            await trio.testing.wait_all_tasks_blocked(STILL_S)
            gate.set()
        assert (answers, len(fixture.server.seen)) == ([b"late"], 3)


async def test_an_idle_connection_that_nobody_takes_is_closed(
    nursery: trio.Nursery, mock_clock: trio.testing.MockClock
) -> None:
    """Where one connection does all the work, the other one is closed once it has been idle for too long."""
    async with AsyncExitStack() as stack:
        fixture = await started(nursery, stack, Reply())
        held = [await fixture.transport.send(replace(PING), streamed=False) for _ in range(2)]
        for response in held:
            await response.aclose()
        assert fixture.pool.idle == 2
        for _ in range(2):
            mock_clock.jump(0.6 * fixture.transport.service.keepalive_s)
            await fixture.client.call(GET)
        assert fixture.pool.idle == 1


async def test_a_connection_that_the_store_closed_is_not_used(nursery: trio.Nursery) -> None:
    """A connection closed while idle is replaced without an attempt being lost."""
    async with AsyncExitStack() as stack:
        fixture = await started(nursery, stack, Reply(headers={"connection": "close"}), Reply())
        await fixture.client.call(GET)
        await fixture.client.call(GET)
        assert len(fixture.server.seen) == 2
        assert fixture.server.connections == 2


async def test_an_answer_left_half_read_closes_its_connection(nursery: trio.Nursery) -> None:
    """Bytes that nobody read can not be taken for the next answer."""
    async with AsyncExitStack() as stack:
        fixture = await started(nursery, stack, Reply(body=b"x" * 3_000_000), Reply(body=b"next"))
        async with fixture.client.stream(GET) as response:
            assert await response.receive()
        assert (fixture.pool.busy, fixture.pool.idle) == (0, 0)
        assert (await fixture.client.call(GET)).body == b"next"


async def test_failures_free_their_places(nursery: trio.Nursery) -> None:
    """Calls that fail leave no connection behind."""
    async with AsyncExitStack() as stack:
        fixture = await started(nursery, stack, Drop())
        for _ in range(3):
            with pytest.raises(S3Unavailable):
                await fixture.client.call(GET)
        assert (fixture.pool.busy, fixture.pool.idle) == (0, 0)
        assert fixture.server.connections == len(fixture.server.seen)
