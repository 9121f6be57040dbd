"""A manifest of many references costs few tasks and store calls at a time, and few names in an answer."""

from __future__ import annotations

import json
from functools import partial
from typing import TYPE_CHECKING

import pytest
import trio
import trio.testing

from tests.unit.registry.support import REPO, Script, open_replica, push
from tests.unit.registry.test_manifests import V1, descriptor
from zotpy.concurrency import gather
from zotpy.core.digests import Digest
from zotpy.core.errors import ClientStalled, ManifestBlobUnknown, ManifestInvalid
from zotpy.core.media_types import OCI_IMAGE
from zotpy.core.units import MIB
from zotpy.registry.pushing.manifest_push import LONG_LIST, MOST_NAMED
from zotpy.store.faulty import FaultyStore
from zotpy.store.memory_store import MemoryStore

if TYPE_CHECKING:
    from zotpy.registry.registry import Registry

MANY = 1_000


def image_of(*layers: Digest) -> bytes:
    """Write an image of these layers; its config is one of them."""
    listed = [descriptor(layer) for layer in layers]
    return json.dumps({"schemaVersion": 2, "mediaType": OCI_IMAGE, "config": listed[0], "layers": listed}).encode()


MISSING = image_of(*[Digest.of(str(number).encode()) for number in range(MANY)])


async def opened() -> tuple[Registry, Script, MemoryStore]:
    """Return a replica whose manifests may be long, and what stands between it and its store."""
    store, script = MemoryStore(), Script()
    return await open_replica(FaultyStore(store, script), manifest_limit_bytes=MIB), script, store


async def test_a_long_list_makes_no_more_tasks_than_run_at_once() -> None:
    """A thousand calls, eight at a time, are eight tasks."""
    most = 0
    before = trio.lowlevel.current_statistics().tasks_living

    async def call() -> None:
        nonlocal most
        await trio.lowlevel.checkpoint()
        most = max(most, trio.lowlevel.current_statistics().tasks_living - before)

    await gather(*[call] * MANY, limit=8)
    assert most == 8


async def test_the_first_few_absent_digests_are_named_and_no_more_looked_up() -> None:
    """A client pushes what is named, and asks again."""
    registry, script, _ = await opened()
    with pytest.raises(ManifestBlobUnknown) as refused:
        await registry.manifests.push(REPO, V1, MISSING, OCI_IMAGE)
    assert len(refused.value.digests) == len(refused.value.items()) == MOST_NAMED
    assert script.begun["get"] < MOST_NAMED + 2 * LONG_LIST


async def test_too_many_references_ask_nothing_of_the_store() -> None:
    """They are counted before the first is looked up."""
    registry, script, _ = await opened()
    asked = script.begun.copy()
    content = image_of(*[Digest.of(b"1")] * (registry.settings.manifest.limits.references + 1))
    with pytest.raises(ManifestInvalid, match="references"):
        await registry.manifests.push(REPO, V1, content, OCI_IMAGE)
    assert script.begun == asked


async def test_a_client_that_leaves_ends_the_looking_up() -> None:
    """No call is made for it any more, and nothing was written."""
    registry, script, store = await opened()
    left = trio.Event()

    async def until_left() -> None:
        await left.wait()
        msg = "the client has left"
        raise ClientStalled(msg)

    for _ in range(2 * LONG_LIST):
        script.park("before", "get")
    asked = script.begun["get"]
    keys = set(store.objects)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(leave_when_blocked, left)
        with pytest.raises(ClientStalled):
            await registry.manifests.push(REPO, V1, MISSING, OCI_IMAGE, until_left=until_left)
    assert script.begun["get"] - asked <= LONG_LIST + 1
    assert set(store.objects) == keys


async def leave_when_blocked(left: trio.Event) -> None:
    """Leave once nothing goes on by itself."""
    await trio.testing.wait_all_tasks_blocked()
    left.set()


async def test_a_client_that_stays_is_answered() -> None:
    """Watching it changes nothing."""
    registry, _, _ = await opened()
    layers = [await push(registry, str(number).encode()) for number in range(2 * LONG_LIST)]
    content = image_of(*layers)
    pushed = await registry.manifests.push(REPO, V1, content, OCI_IMAGE, until_left=partial(trio.sleep_forever))
    assert (await registry.manifests.find(REPO, V1)).digest == pushed.digest
