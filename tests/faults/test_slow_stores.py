"""A store that asks for less, and one that hangs: fewer requests at once, and clients that wait instead of memory."""

from __future__ import annotations

from typing import TYPE_CHECKING

import trio
import trio.testing

from tests.faults.serving import LARGE, QUICKLY, Patience, Replica, assert_try_again, serving
from tests.proxy import Reply, Stall
from tests.unit.registry.support import content, until
from zotpy.core.units import MIB

if TYPE_CHECKING:
    import httpx

    from tests.servers import Bucket

CONNECTIONS = 8
CLIENTS = 4
SOCKET_BUFFERS = 16 * MIB
"""What the kernel may hold of one connection, all its sides together."""


async def push_all(replica: Replica, bodies: list[bytes]) -> list[httpx.Response]:
    """Push blobs at once and return the answers as they come."""
    answers: list[httpx.Response] = []

    async def push(body: bytes) -> None:
        answers.append(await replica.push(body))

    async with trio.open_nursery() as nursery:
        for body in bodies:
            nursery.start_soon(push, body)
    return answers


async def test_a_store_that_asks_to_slow_down_gets_fewer_parts_at_once(
    nursery: trio.Nursery, bucket: Bucket, prefix: str
) -> None:
    """One SlowDown halves the limit; parts beyond it wait; and with every success it grows again."""
    async with serving(nursery, bucket, prefix, max_connections=CONNECTIONS, budget_bytes=256 * MIB) as replica:
        pacer = replica.store.client.pacer
        assert pacer.limit == CONNECTIONS
        plan = replica.plan("PutObject", "entries/", lambda: Reply(503, "SlowDown"), first=1)
        assert (await replica.push(b"small")).status_code == 201
        assert len(plan.hit) == 2
        lowered = pacer.limit
        assert lowered == CONNECTIONS // 2
        go_on = trio.Event()
        replica.plan("UploadPart", "data/", lambda: Stall("request", until=go_on))
        bodies = [content(len(LARGE), seed=seed) for seed in range(20, 20 + CLIENTS)]
        async with trio.open_nursery() as pushing:
            pushing.start_soon(push_all, replica, bodies)
            while replica.proxy.under_way["UploadPart"] < lowered:
                await trio.testing.wait_all_tasks_blocked()
            await trio.testing.wait_all_tasks_blocked(0.5)  # any more would have come
            assert lowered <= replica.proxy.under_way["UploadPart"] <= pacer.limit < CONNECTIONS
            go_on.set()
        for body in bodies:
            assert await replica.pull(body) == body
        assert pacer.limit > lowered
        assert (await replica.multiparts(), replica.is_idle()) == (0, True)


async def test_clients_of_a_store_that_hangs_wait_and_are_served_when_it_recovers(replica: Replica) -> None:
    """All traffic of the store stops in the middle of four pushes: memory is bounded, and then every byte arrives."""
    bodies = [content(48 * MIB, seed=seed) for seed in range(30, 30 + CLIENTS)]
    replica.proxy.forget()
    async with trio.open_nursery() as pushing:
        answers: list[httpx.Response] = []

        async def push() -> None:
            answers.extend(await push_all(replica, bodies))

        pushing.start_soon(push)
        while not replica.proxy.counts["UploadPart"]:
            await trio.testing.wait_all_tasks_blocked()
        replica.proxy.hang()
        budget = replica.registry.budget
        await until(lambda: budget.waiting > 0)
        await trio.testing.wait_all_tasks_blocked(0.1)  # any more would have come
        assert budget.used_bytes <= budget.total_bytes
        assert answers == []
        replica.proxy.release()
    assert [answer.status_code for answer in answers] == [201] * CLIENTS
    assert budget.peak_bytes <= budget.total_bytes
    for body in bodies:
        assert await replica.pull(body) == body
    assert (await replica.multiparts(), replica.is_idle()) == (0, True)


async def test_a_store_that_hangs_for_good_fails_pushes_in_time(
    nursery: trio.Nursery, bucket: Bucket, prefix: str
) -> None:
    """Every push under way ends with 429 though not even its multipart can be aborted; what is left is listed."""
    async with serving(nursery, bucket, prefix, patience=Patience(2.0, 4.0)) as replica:
        bodies = [content(len(LARGE), seed=seed) for seed in range(40, 40 + CLIENTS)]
        replica.plan("UploadPart", "data/", replica.proxy.hang)
        answers = await push_all(replica, bodies)
        assert len(answers) == CLIENTS
        for answer in answers:
            assert_try_again(answer)
        assert replica.is_idle()
        replica.lift()
        replica.proxy.release()
        # If the answer to a creation was lost, the next attempt created another one.
        assert await replica.multiparts() <= CLIENTS * QUICKLY.attempts
        assert all(answer.status_code == 201 for answer in await push_all(replica, bodies))
