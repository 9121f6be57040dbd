"""Collections of large repositories in the process of a replica, whose requests go on meanwhile."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
import trio

from tests.unit.collector.retention.support import ALL, Kept
from tests.unit.collector.support import GRACE_S
from tests.unit.metering import MOST_MS, metering
from tests.unit.registry.support import REPO, keys_below
from zotpy import concurrency
from zotpy.core import keys
from zotpy.core.digests import Digest
from zotpy.core.names import Tag
from zotpy.settings import KeepTagsSettings, PolicySettings

if TYPE_CHECKING:
    from zotpy.store.memory_store import MemoryStore

LEFT_OUT = 100
"""How many tags the test deletes."""


async def fill(kept: Kept, count: int) -> None:
    """Push an image with many tags, and many blobs, all of them copies."""
    image, store = await kept.bucket.push_image(tag="first"), kept.bucket.store
    named = store.objects[keys.tag(REPO, Tag("first"))]
    for number in range(count):
        copy(store, keys.tag(REPO, Tag("first")), keys.tag(REPO, Tag(f"tag{number}")))
        store.objects[f"{keys.tagged(REPO, image)}tag{number}"] = replace(named, body=b"")
    for key in (
        *keys_below(store, keys.all_of(keys.LEASES, REPO)),
        *keys_below(store, keys.all_of(keys.ENTRIES, REPO)),
    ):
        if "/blobs/" in key:
            (_, old) = keys.record_of(key)
            for number in range(count):
                copy(store, key, key.replace(old.hex, Digest.of(str(number).encode()).hex))


def copy(store: MemoryStore, key: str, other: str) -> None:
    """Put an object under another key as well."""
    store.objects[other] = store.objects[key]


@pytest.mark.parametrize(
    ("count", "is_old", "has_turns"), [(2000, True, True), (5000, False, True), (6000, False, False)]
)
async def test_others_get_turns(
    monkeypatch: pytest.MonkeyPatch,
    count: int,
    is_old: bool,  # noqa: FBT001
    has_turns: bool,  # noqa: FBT001
) -> None:
    """Retention of thousands of tags, and the records of as many blobs, deleted if old.

    Without turns the meter shows it. Deleting takes the most, so that there are fewer to delete.
    """
    if not has_turns:
        monkeypatch.setattr(concurrency, "TURN_S", math.inf)
    kept = await Kept.open()
    await fill(kept, count)
    kept.bucket.clock.advance(3 * GRACE_S if is_old else 1.0)
    most = PolicySettings(ALL, keep_tags=(KeepTagsSettings(most_recently_pushed_count=count - LEFT_OUT),))
    with metering(monkeypatch) as meter:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(kept.collect, most)
    left = keys_below(kept.bucket.store, keys.tags(REPO))
    assert len(left) == count - LEFT_OUT
    assert (meter.longest_ms < MOST_MS) is has_turns, (meter.longest_ms, meter.where)
