"""A mirror whose store is full: clients get everything from the upstream, and nothing is written."""

from __future__ import annotations

from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest
import trio
from structlog.testing import capture_logs

from tests.unit.mirror.support import (
    CONFIG,
    HERE,
    LAYER,
    LAYER_DIGEST,
    LAYER_PATH,
    LOCAL,
    NAME,
    TAG_HERE,
    give,
    image,
    mirrored,
    mirroring,
)
from tests.unit.mirror.test_blobs import CONFIG_HERE, CONFIG_PATH, held, read_exactly
from tests.unit.mirror.test_only_signed import V1, V2, give_index, here, index, sign
from tests.unit.registry.support import until
from tests.unit.s3.scripted import Reply
from tests.unit.upstream.upstreams import Upstream
from zotpy.bucket.sweeps import list_all
from zotpy.core.digests import Digest
from zotpy.core.names import RepositoryName
from zotpy.core.units import KIB, MIB
from zotpy.mirror.events import Unwatched
from zotpy.store.interface import StoreFull
from zotpy.store.memory_store import MemoryStore
from zotpy.store.space import Space, SpacedStore
from zotpy.store.wrapper import StoreWrapper

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from tests.unit.mirror.support import MirrorReplica
    from tests.unit.s3.scripted import Seen
    from zotpy.mirror.events import Copied
    from zotpy.store.interface import Body, Stored

TOTAL_BYTES, RESERVED_BYTES = 100 * MIB, 10 * MIB


@dataclass
class Outcomes(Unwatched):
    """What happened to blobs."""

    copies: list[Copied] = field(default_factory=list)

    def on_mirror_copy(self, outcome: Copied) -> None:
        """See `MirrorEvents`."""
        self.copies.append(outcome)


@dataclass
class World:
    """An upstream, a replica that mirrors it, and the disk of its store."""

    upstream: Upstream
    replica: MirrorReplica
    space: Space
    copies: list[Copied]

    async def keys(self) -> Sequence[str]:
        """Return the keys of all objects of repositories."""
        listed = await list_all(self.replica.store, "")
        return [each.key for each in listed if not each.key.startswith(("meta/", "keys/"))]


@asynccontextmanager
async def world(free_bytes: int, **changed: Any) -> AsyncIterator[World]:
    """Run a replica whose store has this much space, of which `RESERVED_BYTES` stay free."""
    space, outcomes, memory = Space(Path("/"), RESERVED_BYTES / TOTAL_BYTES), Outcomes(), MemoryStore()
    space.total_bytes, space.free_bytes = TOTAL_BYTES, free_bytes
    async with trio.open_nursery() as nursery:
        upstream = Upstream()
        await upstream.server.start(nursery)
        store, entries = SpacedStore(memory, space), [mirrored(upstream.url, **changed)]
        async with mirroring(nursery, entries, memory, store, outcomes, space=space) as replica:
            yield World(upstream, replica, space, outcomes.copies)
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize("check_interval_s", [0.0, 60.0])
async def test_everything_is_passed_on_and_nothing_is_written(check_interval_s: float) -> None:
    """Manifests, a small blob and a large one: each time anew from the upstream. The log has one warning."""
    async with world(RESERVED_BYTES - 1, check_interval_s=check_interval_s) as there:
        content, client = image(), there.replica.client
        digest = give(there.upstream, content)
        before = await there.keys()
        with capture_logs() as logs:
            for _ in range(2):
                assert (await client.get(TAG_HERE)).content == content
                assert (await client.head(TAG_HERE)).headers["Docker-Content-Digest"] == digest
                assert (await client.get(f"/v2/{LOCAL}/manifests/{digest}")).content == content
                assert (await client.get(CONFIG_HERE)).content == CONFIG
                assert (await client.get(HERE)).content == LAYER
                assert (await client.get(f"/v2/{LOCAL}/referrers/{digest}")).json()["manifests"] == []
                await until(lambda: not there.replica.mirror.blobs.under_way)
        assert [each["event"] for each in logs if each["log_level"] == "warning"] == ["mirror_keeps_nothing"]
        assert await there.keys() == before
        assert there.copies == ["passed"] * 4
        assert there.upstream.asked.count(LAYER_PATH) == 2


async def test_a_full_store_that_has_room_again_keeps_what_comes_then() -> None:
    """Nothing needs to be started again."""
    async with world(RESERVED_BYTES - 1) as there:
        give(there.upstream, image())
        assert (await there.replica.client.get(HERE)).content == LAYER
        there.space.free_bytes = TOTAL_BYTES
        for _ in range(2):
            assert (await there.replica.client.get(HERE)).content == LAYER
            await until(lambda: not there.replica.mirror.blobs.under_way)
        assert there.copies == ["passed", "copied"]
        assert there.upstream.asked.count(LAYER_PATH) == 2


async def test_a_blob_for_which_there_is_no_room_beside_others_is_passed_on() -> None:
    """The first of two layers fits, the second does not beside what the first still has to write. A short blob does."""
    gate, second = trio.Event(), LAYER[::-1]
    path = f"/v2/{NAME}/blobs/{Digest.of(second)}"
    async with world(RESERVED_BYTES + len(LAYER) * 3 // 2) as there:
        there.upstream.scripts[LAYER_PATH] = [held(gate, 100 * KIB)]
        there.upstream.scripts[path] = [Reply(200, second)]
        async with there.replica.client.stream("GET", HERE) as answer:
            beginning, rest = await read_exactly(answer, 100 * KIB)
            found = await there.replica.client.get(f"/v2/{LOCAL}/blobs/{Digest.of(second)}")
            assert found.content == second
            gate.set()
            assert beginning + b"".join([piece async for piece in rest]) == LAYER  # type: ignore[attr-defined]
        there.upstream.scripts[CONFIG_PATH] = [Reply(200, CONFIG)]
        assert (await there.replica.client.get(CONFIG_HERE)).content == CONFIG
        await until(lambda: not there.replica.mirror.blobs.under_way)
        assert there.copies == ["passed", "copied", "copied"]


async def test_a_store_that_fills_in_the_middle_of_a_copy_cuts_no_client() -> None:
    """The copy begins anew without the store, and the client goes on at its byte. What was written is deleted."""
    gate = trio.Event()
    async with world(RESERVED_BYTES + 2 * len(LAYER)) as there:
        before = await there.keys()
        there.upstream.scripts[LAYER_PATH] = [held(gate), Reply(200, LAYER)]
        async with there.replica.client.stream("GET", HERE) as answer:
            beginning, rest = await read_exactly(answer, MIB)
            there.space.free_bytes = 0
            gate.set()
            assert beginning + b"".join([piece async for piece in rest]) == LAYER  # type: ignore[attr-defined]
        await until(lambda: not there.replica.mirror.blobs.under_way)
        assert there.copies == ["passed"]
        assert await there.keys() == before
        assert not (await there.replica.store.list_multiparts("")).multiparts


class Full(StoreWrapper):
    """Says by itself that it is full, as a service elsewhere does."""

    is_full = False
    refusals = 0

    async def put(self, key: str, body: Body, *, if_none_match: bool = False, if_match: str | None = None) -> Stored:
        """Raise `StoreFull` from some moment on."""
        if self.is_full:
            self.refusals += 1
            msg = "the quota of the bucket is used up"
            raise StoreFull(msg)
        return await self.store.put(key, body, if_none_match=if_none_match, if_match=if_match)


@pytest.mark.parametrize("check_interval_s", [0.0, 60.0])
async def test_a_store_elsewhere_that_is_full_costs_no_pull(check_interval_s: float) -> None:
    """Only its answers say so. The log has the reason once, and the store is tried again only after a while."""
    memory, outcomes, content = MemoryStore(), Outcomes(), image()
    async with trio.open_nursery() as nursery:
        upstream = Upstream()
        await upstream.server.start(nursery)
        digest, entries = give(upstream, content), [mirrored(upstream.url, check_interval_s=check_interval_s)]
        full = Full(memory)
        async with mirroring(nursery, entries, memory, full, outcomes) as replica:
            full.is_full = True
            with capture_logs() as logs:
                for _ in range(2):
                    assert (await replica.client.get(TAG_HERE)).content == content
                    assert (await replica.client.get(CONFIG_HERE)).content == CONFIG
                    assert (await replica.client.get(HERE)).content == LAYER
                    assert (await replica.client.get(f"/v2/{LOCAL}/referrers/{digest}")).status_code == 200
                    await until(lambda: not replica.mirror.blobs.under_way)
            reasons = [each["reason"] for each in logs if each["event"] == "mirror_keeps_nothing"]
            assert reasons == ["the quota of the bucket is used up"]
            assert not [each for each in logs if each["event"] == "manifest_not_mirrored"]
            assert outcomes.copies == ["passed"] * 4
            refusals = full.refusals
            assert (await replica.client.get(HERE)).content == LAYER
            assert full.refusals == refusals > 0
        nursery.cancel_scope.cancel()


async def test_other_bytes_are_cut() -> None:
    """Nobody gets the last byte of a blob that does not have its digest, although nothing is kept."""
    async with world(RESERVED_BYTES - 1) as there:
        there.upstream.scripts[LAYER_PATH] = [Reply(200, LAYER[:-1] + b"?")]
        with pytest.raises(httpx.RemoteProtocolError, match="without sending complete message body"):
            await there.replica.client.get(HERE)
        assert there.copies == ["failed"]


async def test_a_blob_that_nobody_reads_is_not_fetched_to_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """A HEAD begins a copy, as always. Without a store that would be for nothing."""
    monkeypatch.setattr("zotpy.mirror.copying.EXPECTED_S", 0.0)
    async with world(RESERVED_BYTES - 1) as there:
        there.upstream.scripts[LAYER_PATH] = [held(trio.Event(), 100 * KIB)]
        assert (await there.replica.client.head(HERE)).headers["Content-Length"] == str(len(LAYER))
        await until(lambda: not there.replica.mirror.blobs.under_way)
        assert there.copies == []
        there.upstream.scripts[LAYER_PATH] = [Reply(200, LAYER)]
        assert (await there.replica.client.get(HERE)).content == LAYER


async def test_an_upstream_that_does_not_say_the_length() -> None:
    """The client waits until it is known, and then gets what the window has no more from the upstream."""

    def answer(seen: Seen) -> Reply:
        wanted = seen.headers.get("range", "")
        if not wanted:
            return Reply(200, LAYER, chunked=True)
        start, last = map(int, wanted.removeprefix("bytes=").split("-"))
        place = {"Content-Range": f"bytes {start}-{last}/{len(LAYER)}"}
        return Reply(206, LAYER[start : last + 1], place)

    async with world(RESERVED_BYTES - 1) as there:
        there.upstream.scripts[LAYER_PATH] = [answer]
        assert (await there.replica.client.get(HERE)).content == LAYER


async def test_the_images_of_a_signed_index_are_passed_on() -> None:
    """They have no signatures of their own, and are not kept with their index either."""
    async with world(RESERVED_BYTES - 1, only_signed=True) as there:
        give(there.upstream, V1, "a"), give(there.upstream, V2, "b")
        sign(there.upstream, give_index(there.upstream, index(V1, V2)))
        assert (await there.replica.client.get(TAG_HERE)).status_code == 200
        for each in (V1, V2):
            assert (await there.replica.client.get(here(Digest.of(each)))).content == each


async def test_a_blob_that_is_lacking_for_a_push_is_not_here_after_all() -> None:
    """What is only passed on does not count as fetched."""
    async with world(RESERVED_BYTES - 1) as there:
        there.upstream.scripts[LAYER_PATH] = [Reply(200, LAYER)]
        mirror = there.replica.mirror
        assert not await mirror.bring(RepositoryName(LOCAL), [LAYER_DIGEST])
