"""Entries answered from memory: for how long, which ones, and what a DELETE waits for."""

from __future__ import annotations

import json
from functools import partial
from typing import TYPE_CHECKING

import pytest
import trio
import trio.testing

from tests.calls import CallLog
from tests.unit.registry.support import BUDGET_BYTES, PART_BYTES, REPO, Clock, Script, pull, push
from zotpy.bucket import promise as promises
from zotpy.bucket.promise import WAIT_PER_LIFE, Promise
from zotpy.bucket.promised_entries import MOST_BYTES, PromisedEntries
from zotpy.core import keys
from zotpy.core.digests import Digest
from zotpy.core.errors import BlobUnknown, ManifestBlobUnknown, ManifestUnknown
from zotpy.core.media_types import OCI_IMAGE, OCI_INDEX
from zotpy.core.names import Tag
from zotpy.memory.budget import MemoryBudget
from zotpy.registry.registry import Registry, open_registry
from zotpy.settings import GcSettings, Settings
from zotpy.store.faulty import FaultyStore
from zotpy.store.interface import StoreUnavailable
from zotpy.store.memory_store import MemoryStore

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from zotpy.store.interface import Store

LIFE_S = 2.0
WAIT_S = LIFE_S * WAIT_PER_LIFE
GRACE_S = 1000.0
CLIENT_S = 1e-6
"""A little, so that what is compared is not the same moment."""
BODY = b"a small blob"
LARGE = bytes(range(256)) * 300
INDEX = json.dumps({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": []}).encode()
UNNAMED = b'{"schemaVersion": 2, "manifests": []}'
"""An index that does not say what it is."""


@pytest.fixture(autouse=True)
def _one_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the clock of the promise be that of the test."""
    monkeypatch.setattr(promises, "boot_s", trio.current_time)


async def replica(store: Store, life_s: float = LIFE_S, **options: Callable[[], None]) -> Registry:
    """Start a replica of a bucket with a promise."""
    settings = Settings(gc=GcSettings(grace_s=GRACE_S, deadline_s=60.0))
    promised = PromisedEntries(Promise(life_s, life_s), **options)
    return await open_registry(store, settings, MemoryBudget(BUDGET_BYTES, 2 * PART_BYTES), promised=promised)


async def has_blob(registry: Registry, digest: Digest) -> bool:
    """Ask for a blob as a HEAD does."""
    try:
        await registry.blobs.stat(REPO, digest)
    except BlobUnknown:
        return False
    return True


@pytest.mark.parametrize("body", [BODY, LARGE])
async def test_what_was_read_is_not_asked_for_again_until_the_promise_ends(
    body: bytes, autojump_clock: trio.testing.MockClock
) -> None:
    """HEAD and GET of a blob, and a manifest by digest: one call, then none, then one again."""
    del autojump_clock
    log, hits = CallLog(MemoryStore()), 0

    def on_hit() -> None:
        nonlocal hits
        hits += 1

    registry = await replica(log, on_hit=on_hit)
    digest = await push(registry, body)
    pushed = await registry.manifests.push(REPO, Tag("v1"), INDEX, OCI_INDEX)
    reads: list[Callable[[], Awaitable[object]]] = [
        partial(registry.blobs.stat, REPO, digest),
        partial(registry.blobs.find, REPO, digest),
        partial(registry.manifests.find, REPO, pushed.digest),
        partial(registry.manifests.stat, REPO, pushed.digest),
    ]
    for expected in ([1, 0, 1, 0], [0, 0, 0, 0], [1, 0, 1, 0]):
        made = []
        for read in reads:
            with log.counted() as calls:
                await read()
            made.append(len(calls))
        assert made == expected
        if made == [0, 0, 0, 0]:
            await trio.sleep(LIFE_S)
    assert hits == 8


async def test_tags_and_what_is_missing_are_always_asked_for() -> None:
    """No answer by tag comes from memory, and what is pushed is found at once at a replica that had not found it."""
    log = CallLog(MemoryStore())
    first, second = await replica(log), await replica(log)
    assert not await has_blob(first, Digest.of(BODY))
    await push(second, BODY)
    assert await has_blob(first, Digest.of(BODY))
    await first.manifests.push(REPO, Tag("v1"), INDEX, OCI_INDEX)
    for _ in range(2):
        with log.counted() as calls:
            await first.manifests.find(REPO, Tag("v1"))
        assert len(calls) == 1


async def test_a_manifest_that_does_not_name_its_media_type_is_not_remembered() -> None:
    """It can be pushed again with another Content-Type, which all replicas then answer with at once."""
    store = MemoryStore()
    first, second = await replica(store), await replica(store)
    pushed = await first.manifests.push(REPO, Tag("v1"), UNNAMED, OCI_INDEX)
    assert (await second.manifests.find(REPO, pushed.digest)).value.media_type == OCI_INDEX
    await first.manifests.push(REPO, Tag("v1"), UNNAMED, "application/vnd.other+json")
    assert (await second.manifests.find(REPO, pushed.digest)).value.media_type == "application/vnd.other+json"


async def test_a_delete_answers_when_no_replica_remembers(autojump_clock: trio.testing.MockClock) -> None:
    """Of a blob and of a manifest: until the answer another replica may find it, and from then on none does."""
    del autojump_clock
    store = MemoryStore()
    first, second = await replica(store), await replica(store)
    digest = await push(first, BODY)
    pushed = await first.manifests.push(REPO, Tag("v1"), INDEX, OCI_INDEX)
    for delete, read, missing in (
        (first.blobs.delete, second.blobs.find, BlobUnknown),
        (first.manifests.delete, second.manifests.find, ManifestUnknown),
    ):
        name = digest if missing is BlobUnknown else pushed.digest
        await read(REPO, name)
        began = trio.current_time()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(delete, REPO, name)
            await trio.sleep(LIFE_S / 2)
            await read(REPO, name)
        assert trio.current_time() == pytest.approx(began + WAIT_S)
        with pytest.raises(missing):
            await read(REPO, name)


async def test_a_delete_without_a_promise_does_not_wait(autojump_clock: trio.testing.MockClock) -> None:
    """It answers when its calls have been answered."""
    del autojump_clock
    registry = await replica(MemoryStore(), life_s=0)
    digest = await push(registry, BODY)
    pushed = await registry.manifests.push(REPO, Tag("v1"), INDEX, OCI_INDEX)
    began = trio.current_time()
    await registry.blobs.delete(REPO, digest)
    await registry.manifests.delete(REPO, pushed.digest)
    with pytest.raises(BlobUnknown):
        await registry.blobs.delete(REPO, digest)
    assert trio.current_time() == began


async def test_a_delete_that_finds_a_tombstone_waits_as_well(autojump_clock: trio.testing.MockClock) -> None:
    """The DELETE that wrote it may have got no answer: the client that sends it again is told when it is true."""
    del autojump_clock
    script = Script()
    store = FaultyStore(MemoryStore(), script)
    registry = await replica(store)
    digest = await push(registry, BODY)
    pushed = await registry.manifests.push(REPO, Tag("v1"), INDEX, OCI_INDEX)
    for delete, kind, name, missing in (
        (registry.blobs.delete, "blobs", digest, BlobUnknown),
        (registry.manifests.delete, "manifests", pushed.digest, ManifestUnknown),
    ):
        script.fail("after", "put", f"{keys.ENTRIES}{REPO}!/{kind}/", StoreUnavailable("no answer"))
        with pytest.raises(StoreUnavailable):
            await delete(REPO, name)
        began = trio.current_time()
        with pytest.raises(missing):
            await delete(REPO, name)
        assert trio.current_time() == pytest.approx(began + WAIT_S)


@pytest.mark.parametrize(
    ("operation", "prefix"),
    [("put", f"{keys.ENTRIES}{REPO}!/blobs/"), ("put", f"{keys.ENTRIES}{REPO}!/manifests/"), ("delete", keys.TAGS)],
)
async def test_a_delete_that_fails_at_the_store_waits_as_well(
    operation: str, prefix: str, autojump_clock: trio.testing.MockClock
) -> None:
    """Its tombstone may have been written. So a client that asks after the failure gets no answer from memory."""
    del autojump_clock
    script = Script()
    registry = await replica(FaultyStore(MemoryStore(), script))
    other = await replica(registry.store)
    digest = await push(registry, BODY)
    pushed = await registry.manifests.push(REPO, Tag("v1"), INDEX, OCI_INDEX)
    await other.blobs.find(REPO, digest)
    await other.manifests.find(REPO, pushed.digest)
    script.fail("after", operation, prefix, StoreUnavailable("no answer"))
    is_blob, began = "/blobs/" in prefix, trio.current_time()
    with pytest.raises(StoreUnavailable):
        await (registry.blobs.delete(REPO, digest) if is_blob else registry.manifests.delete(REPO, pushed.digest))
    assert trio.current_time() == pytest.approx(began + WAIT_S)
    with pytest.raises(BlobUnknown if is_blob else ManifestUnknown):
        await (other.blobs.find(REPO, digest) if is_blob else other.manifests.find(REPO, pushed.digest))


async def test_the_promise_counts_from_before_the_read(autojump_clock: trio.testing.MockClock) -> None:
    """An answer that was on its way for longer than the promise is not remembered at all."""
    del autojump_clock
    script = Script()
    log = CallLog(MemoryStore())
    registry = await replica(FaultyStore(log, script))
    digest = await push(registry, BODY)
    step = script.park("after", "get", keys.ENTRIES)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(has_blob, registry, digest)
        await step.reached.wait()
        await trio.sleep(LIFE_S)
        step.go_on.set()
    with log.counted() as calls:
        assert await has_blob(registry, digest)
    assert len(calls) == 1


async def test_a_lease_that_is_nearly_old_is_not_relied_on_from_memory() -> None:
    """It may be too old before the promise ends, so each HEAD asks, and renews it in time."""
    clock = Clock()
    log = CallLog(MemoryStore(clock))
    registry = await replica(log)
    digest = await push(registry, BODY)
    clock.advance(GRACE_S / 2 - LIFE_S)
    for expected in (1, 1):
        with log.counted() as calls:
            assert await has_blob(registry, digest)
        assert len(calls) == expected
    clock.advance(LIFE_S)
    with log.counted() as calls:
        assert await has_blob(registry, digest)
    assert calls.of("put", keys.ENTRIES)


async def test_a_push_relies_on_nothing_that_is_remembered(autojump_clock: trio.testing.MockClock) -> None:
    """While a DELETE of a blob is under way, neither a manifest nor the blob itself is pushed on what was before."""
    del autojump_clock
    store = MemoryStore()
    first, second = await replica(store), await replica(store)
    digest = await push(first, BODY)
    assert await has_blob(second, digest)
    config = {"mediaType": "application/json", "digest": str(digest), "size": len(BODY)}
    image = json.dumps({"schemaVersion": 2, "mediaType": OCI_IMAGE, "config": config, "layers": []}).encode()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(first.blobs.delete, REPO, digest)
        await trio.sleep(LIFE_S / 2)
        with pytest.raises(ManifestBlobUnknown):
            await second.manifests.push(REPO, Tag("v1"), image, OCI_IMAGE)
        await push(second, BODY)
    assert await has_blob(first, digest)
    assert await pull(second, digest) == BODY


async def test_memory_is_bounded(autojump_clock: trio.testing.MockClock) -> None:
    """The oldest are forgotten first, and those that have ended with them."""
    del autojump_clock
    registry = await replica(MemoryStore())
    promised = registry.blobs.records.promised
    digests = [await push(registry, bytes([number, number >> 8]) * 30_000) for number in range(200)]
    for digest in digests:
        assert await has_blob(registry, digest)
        await trio.sleep(CLIENT_S)
        assert promised.used_bytes <= MOST_BYTES
    assert promised.used_bytes > MOST_BYTES / 2
    await trio.sleep(LIFE_S)
    assert await has_blob(registry, digests[0])
    assert promised.used_bytes < MOST_BYTES / 100


async def test_bytes_that_were_damaged_on_their_way_are_read_again() -> None:
    """They are read from the store, and not from memory."""
    store = MemoryStore()
    registry = await replica(store)
    digest = await push(registry, BODY)
    key = keys.entry(REPO, "blobs", digest)
    right = store.objects[key].body
    store.objects[key].body = right.replace(BODY, BODY[::-1])
    assert not await has_blob(registry, digest)
    store.objects[key].body = right
    assert await pull(registry, digest) == BODY
