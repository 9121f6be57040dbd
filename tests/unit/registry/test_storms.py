"""Many requests for the same thing at one replica, at once."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import pytest
import trio

from tests.calls import CallLog
from tests.unit.registry.support import BUDGET_BYTES, PART_BYTES, REPO, push
from zotpy.core.media_types import OCI_INDEX
from zotpy.core.names import Tag
from zotpy.memory.budget import MemoryBudget
from zotpy.registry.registry import open_registry
from zotpy.settings import Settings, StorageSettings
from zotpy.store.memory_store import MemoryStore
from zotpy.telemetry.metrics import Metrics

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

READERS = 50
TAG = Tag("latest")
CONTENT = b'{"schemaVersion": 2, "manifests": []}'


@pytest.mark.parametrize(("joins", "calls", "joined"), [(True, 2, READERS - 2), (False, READERS, 0)])
async def test_a_storm_is_two_calls_unless_the_setting_is_off(joins: bool, calls: int, joined: int) -> None:  # noqa: FBT001
    """By tag, by digest, and for a blob: one call was under way, and the others waited for one more."""
    settings = Settings(storage=StorageSettings(join_reads=joins))
    log, metrics = CallLog(MemoryStore()), Metrics()
    budget = MemoryBudget(BUDGET_BYTES, 2 * PART_BYTES)
    registry = await open_registry(log, settings, budget, on_join=metrics.store.on_join)
    pushed = await registry.manifests.push(REPO, TAG, CONTENT, OCI_INDEX)
    blob = await push(registry, b"a blob")
    reads: tuple[Callable[[], Awaitable[object]], ...] = (
        partial(registry.manifests.find, REPO, TAG),
        partial(registry.manifests.find, REPO, pushed.digest),
        partial(registry.blobs.stat, REPO, blob),
    )
    for number, read in enumerate(reads):
        with log.counted() as made:
            async with trio.open_nursery() as nursery:
                for _ in range(READERS):
                    nursery.start_soon(read)
        assert len(made) == calls
        text = metrics.render().decode()
        assert f"zotpy_store_reads_joined_total {float((number + 1) * joined)}\n" in text
