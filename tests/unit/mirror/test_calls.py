"""What a mirrored pull costs in calls to the store: the table of docs/design.md."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

import trio

from tests.calls import CallLog
from tests.unit.mirror.support import HERE, LAYER, LOCAL, TAG_HERE, give, image, mirrored, mirroring
from tests.unit.registry.support import until
from tests.unit.upstream.upstreams import Upstream
from zotpy.core.names import RepositoryName, Tag
from zotpy.store.memory_store import MemoryStore

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

V1 = image()
BEFORE_THE_UPSTREAM = ["get entries", "put mirror", "get entries"]
T = TypeVar("T")


async def counted(interval_s: float) -> dict[str, list[str]]:
    """Pull a tag twice and a blob twice, and return the calls of each."""
    found: dict[str, list[str]] = {}
    async with trio.open_nursery() as nursery:
        upstream, memory = Upstream(), MemoryStore()
        await upstream.server.start(nursery)
        give(upstream, V1)
        log = CallLog(memory)
        registries = [mirrored(upstream.url, check_interval_s=interval_s)]
        async with mirroring(nursery, registries, memory, log) as replica:
            for what, path in {"tag": TAG_HERE, "tag again": TAG_HERE, "blob": HERE, "blob again": HERE}.items():
                with log.counted() as calls:
                    assert (await replica.client.get(path)).content in {V1, LAYER}
                    await until(lambda: not replica.mirror.blobs.under_way)
                    await replica.mirror.manifests.settle(RepositoryName(LOCAL), Tag("v1"))
                found[what] = [f"{call.operation} {call.key.partition('/')[0]}" for call in calls.made]
        nursery.cancel_scope.cancel()
    return found


async def test_a_pull_within_the_interval_reads_the_tag_and_the_note() -> None:
    """Both at once, and nobody else is asked; a blob that is here costs what it costs without a mirror."""
    calls = await counted(60.0)
    assert sorted(calls["tag again"]) == ["get mirror", "get tags"]
    assert calls["blob again"] == ["get entries", "open data"]


async def test_without_an_interval_no_note_is_read_or_written() -> None:
    """The upstream is asked in any case."""
    calls = await counted(0.0)
    assert calls["tag again"] == ["get tags"]
    assert not [call for call in calls["tag"] if call.endswith("mirror")]


async def test_a_blob_costs_its_push_and_six_calls() -> None:
    """It is looked for twice, the turn is taken and given back, and the hints are asked for bytes that are here."""
    calls = await counted(0.0)
    assert sorted(call for call in calls["blob"] if call.endswith("mirror")) == ["delete mirror", "put mirror"]
    parts, of_a_push, of_the_mirror = 3, 6, 6
    assert len(calls["blob"]) == parts + of_a_push + of_the_mirror


class Impatient(CallLog):
    """Answers what is asked of it after the first three calls only once the upstream was asked as well."""

    upstream: Upstream | None = None
    """`None`: it answers everything at once."""

    async def call(self, operation: str, key: str, run: Callable[[], Awaitable[T]]) -> T:
        """Wait for the upstream from the fourth call on."""
        upstream = self.upstream
        if upstream is not None and len(self.calls) >= len(BEFORE_THE_UPSTREAM):
            await until(lambda: bool(upstream.asked))
        return await super().call(operation, key, run)


async def test_the_upstream_is_asked_for_a_blob_after_three_calls() -> None:
    """The blob is not here, nobody else fetches it, and nobody has brought it meanwhile. The rest comes beside."""
    async with trio.open_nursery() as nursery:
        upstream, memory = Upstream(), MemoryStore()
        await upstream.server.start(nursery)
        give(upstream, V1)
        log = Impatient(memory)
        async with mirroring(nursery, [mirrored(upstream.url)], memory, log) as replica:
            with log.counted() as calls:
                log.upstream = upstream
                assert (await replica.client.get(HERE)).content == LAYER
        assert [f"{call.operation} {call.key.partition('/')[0]}" for call in calls.made[:3]] == BEFORE_THE_UPSTREAM
        nursery.cancel_scope.cancel()
