"""Blobs of a mirrored repository: streamed while they are copied, copied once, and never wrong."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, TypeVar

import httpx
import pytest
import trio

from tests.unit.mirror.support import (
    CONFIG,
    HERE,
    LAYER,
    LAYER_DIGEST,
    LAYER_PATH,
    LOCAL,
    NAME,
    TAG_HERE,
    TAG_THERE,
    give,
    image,
    mirrored,
    mirroring,
    world,
)
from tests.unit.registry.support import sent, until
from tests.unit.s3.scripted import Drop, Reply
from tests.unit.upstream.upstreams import Upstream, ranged
from zotpy.core import keys
from zotpy.core.digests import Digest
from zotpy.core.names import RepositoryName
from zotpy.core.units import KIB, MIB
from zotpy.mirror.events import Unwatched
from zotpy.store.memory_store import MemoryStore
from zotpy.store.wrapper import StoreWrapper

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from tests.unit.mirror.support import MirrorReplica
    from zotpy.store.interface import Running, Store

T = TypeVar("T")
CONFIG_HERE = f"/v2/{LOCAL}/blobs/{Digest.of(CONFIG)}"
CONFIG_PATH = f"/v2/{NAME}/blobs/{Digest.of(CONFIG)}"


def held(gate: trio.Event, at: int = MIB, body: bytes = LAYER) -> Reply:
    """Answer with the layer, of which the rest comes when the gate opens."""
    return Reply(200, body, gate=gate, gate_at=at)


async def exists(replica: MirrorReplica) -> bool:
    """Say whether the layer is in the bucket."""
    return await replica.registry.blobs.records.read_blob(RepositoryName(LOCAL), Digest.parse(LAYER_DIGEST)) is not None


async def begin_and_leave(replica: MirrorReplica) -> None:
    """Ask for the layer, and close the connection after its first bytes."""
    stream = await trio.open_tcp_stream("127.0.0.1", replica.client.base_url.port or 0)
    async with stream:
        await stream.send_all(f"GET {HERE} HTTP/1.1\r\nHost: registry\r\n\r\n".encode())
        found = b""
        while len(found) < 64 * KIB:
            found += await stream.receive_some()


async def read_exactly(stream: httpx.Response, size_bytes: int) -> tuple[bytes, object]:
    """Read this many bytes at least of an answer, and return the iterator for the rest."""
    pieces, found = stream.aiter_raw(), b""
    while len(found) < size_bytes:
        found += await anext(pieces)
    return found, pieces


async def test_the_first_bytes_come_before_the_last_ones_are_there() -> None:
    """A client gets what the upstream has sent, while the rest is still under way; then all is in the bucket."""
    gate = trio.Event()
    async with world() as (upstream, replica):
        upstream.scripts[LAYER_PATH] = [held(gate)]
        async with replica.client.stream("GET", HERE) as answer:
            assert answer.status_code == 200
            assert answer.headers["Content-Length"] == str(len(LAYER))
            assert answer.headers["Docker-Content-Digest"] == LAYER_DIGEST
            beginning, rest = await read_exactly(answer, MIB)
            assert not await exists(replica)
            gate.set()
            assert beginning + b"".join([piece async for piece in rest]) == LAYER  # type: ignore[attr-defined]
        await until(lambda: not replica.mirror.blobs.under_way)
        assert await exists(replica)
        assert (await replica.client.get(HERE)).content == LAYER
        assert upstream.asked == [LAYER_PATH]


class Closed(StoreWrapper):
    """Answers no call that completes a multipart before the gate opens."""

    def __init__(self, store: Store) -> None:
        """Stand in front of `store`."""
        super().__init__(store)
        self.gate = trio.Event()

    async def call(self, operation: str, key: str, run: Callable[[], Running[T]]) -> T:
        """Wait at the gate."""
        if operation == "complete_multipart":
            await self.gate.wait()
        return await super().call(operation, key, run)


class Overtaken(StoreWrapper):
    """Lets something happen before a turn is taken."""

    before: Callable[[], Awaitable[object]] | None = None

    async def call(self, operation: str, key: str, run: Callable[[], Running[T]]) -> T:
        """Do it once."""
        before = self.before
        if before is not None and operation == "put" and key.startswith("mirror/copies/"):
            self.before = None
            await before()
        return await super().call(operation, key, run)


class Counted(Unwatched):
    """Notes what came of blobs, and how many bytes came from upstreams."""

    def __init__(self) -> None:
        """Begin with nothing."""
        self.copies: list[str] = []
        self.size_bytes = 0

    def on_mirror_copy(self, outcome: str) -> None:
        """See `MirrorEvents`."""
        self.copies.append(outcome)

    def on_mirror_bytes(self, size_bytes: int) -> None:
        """See `MirrorEvents`."""
        self.size_bytes += size_bytes


async def test_a_copy_that_ended_before_the_turn_was_taken_is_not_made_again() -> None:
    """The request did not find the blob, but another replica brought it before its turn: the upstream is not asked."""
    memory, events = MemoryStore(), Counted()
    store = Overtaken(memory)
    async with trio.open_nursery() as nursery:
        upstream = Upstream()
        await upstream.server.start(nursery)
        async with mirroring(nursery, [mirrored(upstream.url)], memory, store, events) as replica:
            uploads = replica.registry.uploads
            session = uploads.begin(RepositoryName(LOCAL), "sha256")
            store.before = partial(uploads.finish, session, Digest.parse(LAYER_DIGEST), sent(LAYER), None, len(LAYER))
            assert (await replica.client.get(HERE)).content == LAYER
            await until(lambda: not replica.mirror.blobs.under_way)
        assert (events.copies, events.size_bytes, upstream.asked) == (["shared"], 0, [])
        nursery.cancel_scope.cancel()


async def test_no_client_and_no_other_blob_waits_until_the_store_has_a_blob() -> None:
    """The digest is what the last byte waits for. The upstream's place is free once it has sent all."""
    memory = MemoryStore()
    store = Closed(memory)
    async with trio.open_nursery() as nursery:
        upstream = Upstream()
        await upstream.server.start(nursery)
        upstream.scripts[LAYER_PATH], upstream.scripts[CONFIG_PATH] = [Reply(200, LAYER)], [Reply(200, CONFIG)]
        async with mirroring(nursery, [mirrored(upstream.url, requests_at_once=1)], memory, store) as replica:
            assert (await replica.client.get(HERE)).content == LAYER
            assert (await replica.client.get(CONFIG_HERE)).content == CONFIG
            assert not await exists(replica)
            store.gate.set()
            await until(lambda: not replica.mirror.blobs.under_way)
            assert await exists(replica)
        nursery.cancel_scope.cancel()


async def test_a_blob_comes_over_the_connection_of_its_manifest() -> None:
    """So its first byte waits neither for a connection nor for a login."""
    async with world() as (upstream, replica):
        give(upstream, image())
        for path in (TAG_HERE, HERE):
            assert (await replica.client.get(path)).status_code == 200
        assert upstream.asked == [TAG_THERE, LAYER_PATH]
        assert upstream.server.connections == 1


async def test_a_small_blob_is_answered_once_it_is_here() -> None:
    """Then an error is an answer, and not a cut; the length is that of the blob."""
    async with world() as (upstream, replica):
        upstream.scripts[CONFIG_PATH] = [Reply(200, CONFIG, chunked=True)]
        for _ in range(2):
            answer = await replica.client.get(CONFIG_HERE)
            assert (answer.status_code, answer.content) == (200, CONFIG)
        assert upstream.asked == [CONFIG_PATH]


async def test_many_clients_share_one_copy_and_the_first_may_leave() -> None:
    """The upstream sends a blob once, however many ask for it at the same time."""
    gate = trio.Event()
    found: list[bytes] = []

    async def pull(client: httpx.AsyncClient) -> None:
        found.append((await client.get(HERE)).content)

    async with world() as (upstream, replica):
        upstream.scripts[LAYER_PATH] = [held(gate)]
        await begin_and_leave(replica)
        async with trio.open_nursery() as nursery:
            for _ in range(8):
                nursery.start_soon(pull, replica.client)
            await until(lambda: replica.mirror.blobs.readers_of(RepositoryName(LOCAL), Digest.parse(LAYER_DIGEST)) == 8)
            gate.set()
        assert found == [LAYER] * 8
        assert upstream.asked == [LAYER_PATH]


async def test_a_copy_ends_although_all_clients_left() -> None:
    """What was begun is there for the next one."""
    gate = trio.Event()
    async with world() as (upstream, replica):
        upstream.scripts[LAYER_PATH] = [held(gate)]
        await begin_and_leave(replica)
        gate.set()
        await until(lambda: not replica.mirror.blobs.under_way)
        assert await exists(replica)
        assert (await replica.client.get(HERE)).content == LAYER
        assert upstream.asked == [LAYER_PATH]


async def test_ranges_are_served_while_it_is_copied() -> None:
    """A range that has come is answered at once, and one that has not waits for its bytes."""
    gate = trio.Event()
    async with world() as (upstream, replica):
        upstream.scripts[LAYER_PATH] = [held(gate)]
        answer = await replica.client.get(HERE, headers={"Range": "bytes=1000-1999"})
        assert (answer.status_code, answer.content) == (206, LAYER[1000:2000])
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_expect_range, replica.client, 2 * MIB, 2 * MIB + 10)
            gate.set()
        assert upstream.asked == [LAYER_PATH]


async def _expect_range(client: httpx.AsyncClient, start: int, end: int) -> None:
    answer = await client.get(HERE, headers={"Range": f"bytes={start}-{end - 1}"})
    assert (answer.status_code, answer.content) == (206, LAYER[start:end])


async def test_wrong_bytes_are_cut_and_not_kept() -> None:
    """A client never ends well with other bytes than those of the digest, and the next one is served rightly."""
    wrong = LAYER[:-1] + b"?"
    async with world() as (upstream, replica):
        upstream.scripts[LAYER_PATH] = [Reply(200, wrong), Reply(200, LAYER)]
        with pytest.raises(httpx.RemoteProtocolError):
            await replica.client.get(HERE)
        assert not await exists(replica)
        assert (await replica.client.get(HERE)).content == LAYER


async def test_wrong_bytes_of_a_small_blob_are_an_error() -> None:
    """Nothing of them was sent yet."""
    async with world() as (upstream, replica):
        upstream.scripts[CONFIG_PATH] = [Reply(200, b"{}")]
        assert (await replica.client.get(CONFIG_HERE)).status_code == 429
        assert not [key for key in replica.store.objects if key.startswith("entries/")]


async def test_a_blob_that_breaks_off_goes_on_where_it_was() -> None:
    """The client sees nothing of it, and no byte is fetched twice."""
    async with world() as (upstream, replica):
        upstream.scripts[LAYER_PATH] = [Reply(200, LAYER, cut_to=MIB), partial(ranged, content=LAYER)]
        assert (await replica.client.get(HERE)).content == LAYER
        assert upstream.seen[1].headers["range"] == f"bytes={MIB}-"


async def test_a_mirror_of_the_upstream_goes_on_for_it() -> None:
    """The addresses of one registry are asked in their order, for the rest of a blob as well."""
    async with trio.open_nursery() as nursery:
        first, second = Upstream(), Upstream()
        await first.server.start(nursery)
        await second.server.start(nursery)
        first.scripts[LAYER_PATH] = [Reply(200, LAYER, cut_to=MIB), Drop()]
        second.scripts[LAYER_PATH] = [partial(ranged, content=LAYER)]
        async with mirroring(nursery, [mirrored(first.url, second.url)]) as replica:
            assert (await replica.client.get(HERE)).content == LAYER
        assert second.seen[0].headers["range"] == f"bytes={MIB}-"
        nursery.cancel_scope.cancel()


async def test_registries_are_asked_in_order() -> None:
    """The first that has it wins; a name that only the second knows comes from there."""
    async with trio.open_nursery() as nursery:
        first, second = Upstream(), Upstream()
        await first.server.start(nursery)
        await second.server.start(nursery)
        second.scripts[LAYER_PATH] = [Reply(200, LAYER)]
        async with mirroring(nursery, [mirrored(first.url), mirrored(second.url)]) as replica:
            assert (await replica.client.get(HERE)).content == LAYER
        assert (first.asked, second.asked) == ([LAYER_PATH], [LAYER_PATH])
        nursery.cancel_scope.cancel()


async def test_what_no_upstream_has_is_absent_for_a_minute() -> None:
    """The upstream is asked once."""
    async with world() as (upstream, replica):
        for _ in range(3):
            answer = await replica.client.get(HERE)
            assert (answer.status_code, answer.json()["errors"][0]["code"]) == (404, "BLOB_UNKNOWN")
        assert upstream.asked == [LAYER_PATH]
        assert (await replica.client.get(f"/v2/elsewhere/blobs/{LAYER_DIGEST}")).status_code == 404


async def test_an_upstream_that_is_down_is_said_to_be() -> None:
    """The answer asks the client to try again."""
    async with world() as (upstream, replica):
        upstream.scripts[LAYER_PATH] = [Reply(503)]
        answer = await replica.client.get(HERE)
        assert (answer.status_code, answer.headers["Retry-After"]) == (429, "5")


async def test_a_blob_that_lost_its_entry_is_served_although_the_upstream_is_down() -> None:
    """Its lease says that it is here; for a mirrored repository that is asked last."""
    repo, digest = RepositoryName(LOCAL), Digest.parse(LAYER_DIGEST)
    async with world() as (upstream, replica):
        session = replica.registry.uploads.begin(repo, "sha256")
        await replica.registry.uploads.finish(session, digest, sent(LAYER), None, len(LAYER))
        replica.store.objects.pop(keys.entry(repo, "blobs", digest))
        upstream.scripts[LAYER_PATH] = [Reply(503)]
        assert (await replica.client.get(HERE)).content == LAYER
        assert keys.entry(repo, "blobs", digest) in replica.store.objects


async def test_bytes_that_another_repository_has_are_not_fetched() -> None:
    """The upstream shows that it has the blob, and its bytes come from the bucket."""
    gate = trio.Event()
    async with world() as (upstream, replica):
        session = replica.registry.uploads.begin(RepositoryName("team/app"), "sha256")
        await replica.registry.uploads.finish(session, Digest.parse(LAYER_DIGEST), sent(LAYER), None, len(LAYER))
        upstream.scripts[LAYER_PATH] = [held(gate)]
        assert (await replica.client.get(HERE)).content == LAYER
        assert len([key for key in replica.store.objects if key.startswith("data/")]) == 1
        gate.set()


async def test_a_head_says_what_the_upstream_has() -> None:
    """The copy begins, and the length is known at once."""
    gate = trio.Event()
    async with world() as (upstream, replica):
        upstream.scripts[LAYER_PATH] = [held(gate, 0)]
        answer = await replica.client.head(HERE)
        assert (answer.status_code, answer.headers["Content-Length"]) == (200, str(len(LAYER)))
        gate.set()
