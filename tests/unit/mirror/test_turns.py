"""Two replicas over one bucket: the upstream sends each blob once, and a replica that stops is replaced."""

from __future__ import annotations

from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import trio

from tests.unit.mirror.support import HERE, LAYER, LAYER_DIGEST, LAYER_PATH, LOCAL, NAME, mirrored, mirroring
from tests.unit.registry.support import Clock, until
from tests.unit.s3.scripted import Reply
from tests.unit.upstream.upstreams import Upstream, running
from zotpy.core import keys
from zotpy.core.digests import Digest
from zotpy.core.names import RepositoryName
from zotpy.mirror.blobs import MOST_COPIES
from zotpy.mirror.rules import origins, source_of
from zotpy.mirror.turns import SILENT_S, Note, Turns
from zotpy.settings import MirroredContent
from zotpy.store.memory_store import MemoryStore

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    import httpx

    from tests.unit.mirror.support import MirrorReplica

REPO = RepositoryName.parse(LOCAL)


def key_at(upstream: Upstream) -> str:
    """Name the turn of the layer from an upstream."""
    return keys.mirror_copy(Digest.parse(LAYER_DIGEST), source_of(list(origins((mirrored(upstream.url),), REPO))))


@asynccontextmanager
async def two(clock: Clock | None = None) -> AsyncIterator[tuple[Upstream, MirrorReplica, MirrorReplica]]:
    """Run an upstream and two replicas that mirror it."""
    async with trio.open_nursery() as nursery:
        upstream, memory = Upstream(), MemoryStore() if clock is None else MemoryStore(clock)
        await upstream.server.start(nursery)
        registries = [mirrored(upstream.url)]
        async with mirroring(nursery, registries, memory) as first, mirroring(nursery, registries, memory) as second:
            yield upstream, first, second
        nursery.cancel_scope.cancel()


async def pull(client: httpx.AsyncClient, found: list[bytes], path: str = HERE) -> None:
    """Pull a layer."""
    found.append((await client.get(path)).content)


async def test_two_replicas_fetch_a_blob_once() -> None:
    """While one copies it, the other waits for the end, and then reads in the bucket."""
    gate, found = trio.Event(), list[bytes]()
    async with two() as (upstream, first, second):
        upstream.scripts[LAYER_PATH] = [Reply(200, LAYER, gate=gate, gate_at=1000)]
        async with trio.open_nursery() as nursery:
            nursery.start_soon(pull, first.client, found)
            await until(lambda: key_at(upstream) in first.store.objects)
            nursery.start_soon(pull, second.client, found)
            await until(lambda: second.mirror.blobs.under_way == 1)
            gate.set()
        assert found == [LAYER, LAYER]
        assert upstream.asked == [LAYER_PATH]
        await until(lambda: not first.mirror.blobs.under_way and not second.mirror.blobs.under_way)
        assert key_at(upstream) not in first.store.objects


async def test_a_slow_upstream_keeps_nobody_from_another() -> None:
    """Both have the same layer, and a client asks for it at the other one."""
    gate, found = trio.Event(), list[bytes]()
    async with running() as slow, running() as fast, trio.open_nursery() as nursery:
        slow.scripts[LAYER_PATH] = [Reply(200, LAYER, gate=gate, gate_at=1000)]
        fast.scripts[LAYER_PATH] = [Reply(200, LAYER)]
        registries = [
            mirrored(slow.url, content=(MirroredContent(destination="hub"),)),
            mirrored(fast.url, content=(MirroredContent(destination="other"),)),
        ]
        async with mirroring(nursery, registries) as replica:
            async with trio.open_nursery() as pulls:
                pulls.start_soon(pull, replica.client, found)
                await until(lambda: key_at(slow) in replica.store.objects)
                assert (await replica.client.get(HERE.replace("/hub/", "/other/"))).content == LAYER
                gate.set()
            assert found == [LAYER]
        nursery.cancel_scope.cancel()


async def test_many_blobs_of_a_slow_upstream_leave_places_for_another() -> None:
    """More of them are asked for than a replica copies at once."""
    gate, found = trio.Event(), list[bytes]()
    layers = [bytes([number]) * len(LAYER) for number in range(MOST_COPIES + 1)]
    paths = [f"/blobs/{Digest.of(layer)}" for layer in layers]
    async with running() as slow, running() as fast, trio.open_nursery() as nursery:
        slow.scripts.update(
            {f"/v2/{NAME}{path}": [Reply(200, layer, gate=gate)] for path, layer in zip(paths, layers, strict=True)}
        )
        fast.scripts[LAYER_PATH] = [Reply(200, LAYER)]
        registries = [
            mirrored(slow.url, content=(MirroredContent(destination="hub"),)),
            mirrored(fast.url, content=(MirroredContent(destination="other"),)),
        ]
        async with mirroring(nursery, registries) as replica:
            async with trio.open_nursery() as pulls:
                for path in paths:
                    pulls.start_soon(pull, replica.client, found, f"/v2/{LOCAL}{path}")
                await until(lambda: replica.mirror.blobs.under_way == len(paths))
                assert (await replica.client.get(HERE.replace("/hub/", "/other/"))).content == LAYER
                gate.set()
            assert sorted(found) == layers
        nursery.cancel_scope.cancel()


async def test_a_replica_that_fails_leaves_the_turn_to_the_other() -> None:
    """Its clients get an error, and the one that waited fetches the blob."""
    gate, found = trio.Event(), list[bytes]()
    async with two() as (upstream, first, second):
        upstream.scripts[LAYER_PATH] = [Reply(200, b"?" * len(LAYER), gate=gate, gate_at=1000), Reply(200, LAYER)]
        async with trio.open_nursery() as nursery:
            nursery.start_soon(first.client.head, HERE)
            await until(lambda: key_at(upstream) in first.store.objects)
            nursery.start_soon(pull, second.client, found)
            await until(lambda: second.mirror.blobs.under_way == 1)
            gate.set()
        assert found == [LAYER]


async def test_the_turn_of_a_replica_that_was_killed_is_taken_over() -> None:
    """It is silent by the store's clock for as long as the others wait."""
    clock, found = Clock(), list[bytes]()
    async with two(clock) as (upstream, first, _):
        upstream.scripts[LAYER_PATH] = [Reply(200, LAYER)]
        await first.store.put(key_at(upstream), b"of a replica that was killed")
        async with trio.open_nursery() as nursery:
            nursery.start_soon(pull, first.client, found)
            await until(lambda: first.mirror.blobs.under_way == 1)
            assert not upstream.asked
            clock.advance(SILENT_S + 1)
        assert found == [LAYER]


async def test_a_turn_is_kept_as_long_as_its_holder_works(autojump_clock: trio.testing.MockClock) -> None:
    """However long it takes, nobody else begins; and a holder whose turn was taken over leaves it alone."""
    del autojump_clock
    memory = MemoryStore(lambda: datetime.fromtimestamp(trio.current_time(), UTC))
    began: list[float] = []

    async def work(_: str) -> tuple[str, bool]:
        if len(began) == 1 and trio.current_time() >= began[0] + 10 * SILENT_S:
            return "found", False
        began.append(trio.current_time())
        await trio.sleep(10 * SILENT_S)
        return "done", True

    results: list[tuple[str, bool]] = []

    async def take() -> None:
        results.append(await Turns(memory, "a").alone(Digest.of(b""), Note(), work))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(take)
        nursery.start_soon(take)
    assert sorted(results) == [("done", True), ("found", False)]
    assert not memory.objects
