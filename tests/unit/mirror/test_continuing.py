"""A replica that is killed in the middle of a copy: another one goes on from the bytes that were saved."""

from __future__ import annotations

from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import httpx
import pytest
import trio

from tests.unit.mirror.support import HERE, LAYER, LAYER_DIGEST, LAYER_PATH, LOCAL, mirrored, mirroring
from tests.unit.registry.support import Clock, push, until
from tests.unit.s3.scripted import Drop, Reply
from tests.unit.upstream.upstreams import Upstream
from tests.unit.web.serving import SETTINGS
from zotpy.collector import Collector, CollectorSettings
from zotpy.core.errors import TryAgain
from zotpy.core.names import RepositoryName
from zotpy.core.units import MIB
from zotpy.core.upload_state import UploadState
from zotpy.mirror.continuing import left_behind
from zotpy.mirror.turns import SILENT_S
from zotpy.store.interface import Running, StoreError
from zotpy.store.memory_store import MemoryStore
from zotpy.store.wrapper import StoreWrapper

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from tests.unit.mirror.support import MirrorReplica
    from tests.unit.s3.scripted import Seen
    from zotpy.registry.pushing.sessions import Session

SAVED = 2 * MIB
"""How much the replica has saved when it is killed."""
ELSEWHERE = HERE.replace("/app/", "/other/")
T = TypeVar("T")


@pytest.fixture(autouse=True)
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let states be saved after each part."""
    monkeypatch.setattr("zotpy.mirror.fetching.SAVE_EVERY_BYTES", MIB)


class Mortal(StoreWrapper):
    """The store of a replica, whose calls never come back once it is killed, unless it was only suspended."""

    def __init__(self, memory: MemoryStore) -> None:
        """Begin alive."""
        super().__init__(memory)
        self.is_killed = False
        self.over = trio.Event()

    async def call(self, operation: str, key: str, run: Callable[[], Running[T]]) -> T:
        """Wait for the end of the test if it is killed, or until it wakes."""
        if self.is_killed:
            await self.over.wait()
            if self.is_killed:
                msg = "this replica was killed"
                raise StoreError(msg)
        return await super().call(operation, key, run)


def states(memory: MemoryStore) -> dict[str, int]:
    """Return how many bytes each upload has saved, by its key."""
    found = {key: value for key, value in memory.objects.items() if key.startswith("uploads/")}
    return {key: UploadState.decode(each.body).offset for key, each in found.items()}


def answered(seen: Seen) -> Reply:
    """Answer with the layer or a range of it."""
    if (wanted := seen.headers.get("range")) is None:
        return Reply(200, LAYER)
    start, last = wanted.removeprefix("bytes=").split("-")
    end = int(last) + 1 if last else len(LAYER)
    return Reply(206, LAYER[int(start) : end], {"Content-Range": f"bytes {start}-{end - 1}/{len(LAYER)}"})


@dataclass(slots=True)
class Scene:
    """What is left when a replica was killed: the bucket, the upstream, and another replica."""

    clock: Clock
    memory: MemoryStore
    upstream: Upstream
    other: MirrorReplica
    first: MirrorReplica
    mortal: Mortal
    rest: trio.Event
    """Lets the upstream send the rest of its first answer."""

    def wake(self) -> None:
        """Let the first replica go on: it was suspended."""
        self.mortal.is_killed = False
        self.mortal.over.set()
        self.rest.set()

    def ranges(self) -> list[str | None]:
        """Return what the upstream was asked for after the first request."""
        return [seen.headers.get("range") for seen in self.upstream.seen[1:]]


@asynccontextmanager
async def killed(sent: bytes = LAYER) -> AsyncIterator[Scene]:
    """Kill a replica when it has saved 2 of 3 MiB, and let the others find out. `sent` is what it is sent."""
    clock = Clock()
    memory = MemoryStore(clock)
    mortal, upstream, never = Mortal(memory), Upstream(), trio.Event()
    async with trio.open_nursery() as nursery:
        await upstream.server.start(nursery)
        registries = [mirrored(upstream.url)]
        upstream.scripts[LAYER_PATH] = [Reply(200, sent, gate=never, gate_at=SAVED + MIB // 2), answered]
        upstream.scripts[LAYER_PATH.replace("/app/", "/other/")] = [answered]
        async with (
            mirroring(nursery, registries, memory, mortal) as first,
            mirroring(nursery, registries, memory) as other,
        ):
            async with first.client.stream("GET", HERE) as answer:
                assert answer.status_code == 200
                await until(lambda: list(states(memory).values()) == [SAVED])
            mortal.is_killed = True
            clock.advance(SILENT_S + 1)
            yield Scene(clock, memory, upstream, other, first, mortal, never)
            mortal.over.set()
        nursery.cancel_scope.cancel()


async def test_a_copy_goes_on_where_it_was_saved() -> None:
    """The client goes on, too, and neither asks the upstream for a byte that is in the bucket."""
    async with killed() as scene:
        answer = await scene.other.client.get(HERE, headers={"Range": f"bytes={SAVED}-"})
        assert (answer.status_code, answer.content) == (206, LAYER[SAVED:])
        assert scene.ranges() == [f"bytes={SAVED}-"]
        await until(lambda: not scene.other.mirror.blobs.under_way)
        assert (await scene.other.client.get(HERE)).content == LAYER
        assert len(scene.upstream.asked) == 2
        assert not states(scene.memory)
        assert not scene.memory.multiparts


async def test_a_client_that_begins_then_gets_the_bytes_before_from_the_upstream() -> None:
    """Parts of an unfinished multipart cannot be read. No byte is fetched a third time."""
    async with killed() as scene:
        assert (await scene.other.client.get(HERE)).content == LAYER
        assert sorted(map(str, scene.ranges())) == [f"bytes=0-{SAVED - 1}", f"bytes={SAVED}-"]


async def test_without_its_state_a_copy_begins_anew() -> None:
    """The note is a hint."""
    async with killed() as scene:
        for key in states(scene.memory):
            del scene.memory.objects[key]
        assert (await scene.other.client.get(HERE)).content == LAYER
        assert scene.ranges() == [None]


async def test_another_repository_does_not_go_on_with_an_upload_of_this_one() -> None:
    """An upload belongs to its repository; the turn is that of the digest."""
    async with killed() as scene:
        assert (await scene.other.client.get(ELSEWHERE)).content == LAYER
        assert scene.ranges() == [None]


async def test_an_upstream_that_has_no_more_of_it_lets_the_copy_begin_anew() -> None:
    """It may have another blob now. Nothing is left of the first copy, and the client notices nothing."""
    async with killed() as scene:
        scene.upstream.scripts[LAYER_PATH] = [Reply(416), answered]
        assert (await scene.other.client.get(HERE)).content == LAYER
        await until(lambda: not scene.other.mirror.blobs.under_way)
        assert scene.ranges() == [f"bytes={SAVED}-", None]
        assert not states(scene.memory)
        assert not scene.memory.multiparts


async def test_a_blob_that_the_upstream_has_no_more_leaves_nothing_of_its_copy() -> None:
    """The client gets a 404."""
    async with killed() as scene:
        scene.upstream.scripts[LAYER_PATH] = [Reply(404)]
        assert (await scene.other.client.get(HERE)).status_code == 404
        await until(lambda: not scene.other.mirror.blobs.under_way)
        assert not states(scene.memory)
        assert not scene.memory.multiparts


@pytest.mark.parametrize("place", [LOCAL, "mine/app"])
async def test_a_blob_that_was_pushed_meanwhile_leaves_nothing_of_its_copy(
    monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    """By a client, to the same repository or to another one. The upstream sends it no second time."""

    async def found(*arguments: Any) -> Session | None:
        await push(scene.other.registry, LAYER, RepositoryName(place))
        return await left_behind(*arguments)

    async with killed() as scene:
        monkeypatch.setattr("zotpy.mirror.fetching.left_behind", found)
        assert (await scene.other.client.get(HERE)).content == LAYER
        await until(lambda: not scene.other.mirror.blobs.under_way)
        assert not states(scene.memory)
        assert not scene.memory.multiparts


async def test_a_replica_that_was_only_suspended_finds_what_the_other_one_has_copied() -> None:
    """Both send the same parts to one multipart. There is one blob, and nothing is left of the copies."""
    async with killed() as scene:
        assert (await scene.other.client.get(HERE)).content == LAYER
        scene.wake()
        assert (await scene.first.client.get(HERE)).content == LAYER
        await until(lambda: not scene.first.mirror.blobs.under_way and not scene.other.mirror.blobs.under_way)
        assert len([key for key in scene.memory.objects if key.startswith("data/")]) == 1
        assert not states(scene.memory)
        assert not scene.memory.multiparts


async def test_what_began_with_other_bytes_ends_with_an_error_and_the_next_copy_begins_anew() -> None:
    """An upstream sent other bytes to the killed replica: the digest of all bytes tells."""
    async with killed(bytes([1]) + LAYER[1:]) as scene:
        with pytest.raises(httpx.RemoteProtocolError):
            await scene.other.client.get(HERE)
        await until(lambda: not scene.other.mirror.blobs.under_way)
        assert not states(scene.memory)
        assert not scene.memory.multiparts
        assert (await scene.other.client.get(HERE)).content == LAYER
        assert scene.ranges()[-1] is None


async def test_an_upload_that_another_replica_ended_meanwhile(monkeypatch: pytest.MonkeyPatch) -> None:
    """Between two looks: a push that needs the blob is asked to try again, and gets it."""

    async def found(*arguments: Any) -> Session | None:
        begun = await left_behind(*arguments)
        assert begun is not None
        del scene.memory.objects[begun.key]
        return begun

    async with killed() as scene:
        monkeypatch.setattr("zotpy.mirror.fetching.left_behind", found)
        mirror, needed = scene.other.mirror, (RepositoryName(LOCAL), [LAYER_DIGEST])
        with pytest.raises(TryAgain):
            await mirror.bring(*needed)
        assert await mirror.bring(*needed)


def ago(offset: int) -> Callable[..., Awaitable[Session | None]]:
    """Find an upload as it was when it had this many bytes: its replica was slow, and saves more a moment later."""

    async def found(*arguments: Any) -> Session | None:
        begun = await left_behind(*arguments)
        return None if begun is None else begun.at(offset)

    return found


async def test_a_copy_goes_on_where_a_slow_replica_has_saved_it_meanwhile(monkeypatch: pytest.MonkeyPatch) -> None:
    """The client waits for the byte where the copy was to begin. The bytes before the copy come from the upstream."""
    monkeypatch.setattr("zotpy.mirror.fetching.left_behind", ago(SAVED - MIB))
    async with killed() as scene:
        answer = await scene.other.client.get(HERE, headers={"Range": f"bytes={SAVED - MIB}-"})
        assert answer.content == LAYER[SAVED - MIB :]
        await until(lambda: not scene.other.mirror.blobs.under_way)
        assert (await scene.other.client.get(HERE)).content == LAYER
        asked = scene.ranges()
        assert asked[:1] == [f"bytes={SAVED - MIB}-"]
        assert sorted(map(str, asked[1:])) == [f"bytes={SAVED - MIB}-{SAVED - 1}", f"bytes={SAVED}-"]


async def test_a_copy_does_not_follow_a_slow_replica_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    """The client is asked to try again if the other one saves more after the last time that the copy follows it."""
    monkeypatch.setattr("zotpy.mirror.fetching.left_behind", ago(SAVED - MIB))
    monkeypatch.setattr("zotpy.mirror.fetching.MOST_CHASES", 0)
    async with killed() as scene:
        with pytest.raises(TryAgain):
            await scene.other.mirror.bring(RepositoryName(LOCAL), [LAYER_DIGEST])


async def test_a_collection_keeps_the_multipart_with_which_another_replica_goes_on() -> None:
    """The multipart is older than uploads may rest, and its state is not: it is read before a multipart is aborted."""
    async with killed() as scene:
        multipart_id, (state_key,) = next(iter(scene.memory.multiparts)), states(scene.memory)
        gc = SETTINGS.gc
        scene.clock.advance(gc.upload_ttl_s)
        scene.memory.objects[state_key].last_modified = scene.memory.now()
        await Collector(scene.memory, CollectorSettings(gc)).run()
        assert set(scene.memory.multiparts) == {multipart_id}
        assert (await scene.other.client.get(HERE, headers={"Range": f"bytes={SAVED}-"})).content == LAYER[SAVED:]
        assert scene.ranges() == [f"bytes={SAVED}-"]


async def test_a_copy_that_rested_for_too_long_begins_anew() -> None:
    """A collection has ended the upload. The note names nothing any more."""
    async with killed() as scene:
        scene.clock.advance(SETTINGS.gc.upload_ttl_s)
        await Collector(scene.memory, CollectorSettings(SETTINGS.gc)).run()
        assert not scene.memory.multiparts
        assert (await scene.other.client.get(HERE)).content == LAYER
        assert scene.ranges() == [None]


@asynccontextmanager
async def two(upstream: Upstream) -> AsyncIterator[tuple[MirrorReplica, MirrorReplica]]:
    """Run two replicas over one bucket."""
    memory = MemoryStore()
    async with trio.open_nursery() as nursery:
        await upstream.server.start(nursery)
        registries = [mirrored(upstream.url)]
        async with mirroring(nursery, registries, memory) as first, mirroring(nursery, registries, memory) as other:
            yield first, other
        nursery.cancel_scope.cancel()


def turns(memory: MemoryStore) -> list[str]:
    """Return the keys of turns."""
    return [key for key in memory.objects if key.startswith("mirror/copies/")]


async def test_a_copy_that_the_upstream_broke_off_is_gone_on_with() -> None:
    """By whichever replica is asked next, and at once."""
    upstream = Upstream()
    gate = trio.Event()
    async with two(upstream) as (first, other):
        cut = Reply(200, LAYER, cut_to=SAVED + MIB // 2, gate=gate, gate_at=SAVED + MIB // 4)
        upstream.scripts[LAYER_PATH] = [cut, Drop(), answered]
        async with first.client.stream("GET", HERE) as answer:
            await until(lambda: list(states(first.store).values()) == [SAVED])
            gate.set()
            with pytest.raises(httpx.RemoteProtocolError):
                await answer.aread()
        await until(lambda: not first.mirror.blobs.under_way)
        assert len(turns(first.store)) == 1
        answer = await other.client.get(HERE, headers={"Range": f"bytes={SAVED}-"})
        assert answer.content == LAYER[SAVED:]
        assert upstream.seen[-1].headers["range"] == f"bytes={SAVED}-"
        await until(lambda: not other.mirror.blobs.under_way)
        assert not turns(first.store)
        assert not states(first.store)


async def test_a_copy_of_a_replica_that_stops_is_gone_on_with() -> None:
    """Such as at each rollout: nobody waits until the turn counts as that of a killed replica."""
    upstream = Upstream()
    async with two(upstream) as (first, other):
        upstream.scripts[LAYER_PATH] = [Reply(200, LAYER, gate=trio.Event(), gate_at=SAVED + MIB // 2), answered]
        async with first.client.stream("GET", HERE):
            await until(lambda: list(states(first.store).values()) == [SAVED])
            tasks: Any = first.mirror.tasks
            tasks._work._nursery.cancel_scope.cancel()
            await until(lambda: not first.mirror.blobs.under_way)
        answer = await other.client.get(HERE, headers={"Range": f"bytes={SAVED}-"})
        assert answer.content == LAYER[SAVED:]
        assert upstream.seen[-1].headers["range"] == f"bytes={SAVED}-"


@pytest.mark.parametrize("trouble", [Reply(404), Reply(500), Reply(200, b"?" * len(LAYER))])
async def test_a_copy_that_has_nothing_to_go_on_with_leaves_no_turn(trouble: Reply) -> None:
    """The upstream has no such blob, has sent nothing, or has sent other bytes."""
    upstream = Upstream()
    async with two(upstream) as (first, _):
        upstream.scripts[LAYER_PATH] = [trouble]
        with suppress(httpx.RemoteProtocolError):
            await first.client.get(HERE)
        await until(lambda: not first.mirror.blobs.under_way)
        assert not turns(first.store)
        assert not states(first.store)
