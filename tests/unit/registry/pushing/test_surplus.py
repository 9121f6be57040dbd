"""Data that another copy made superfluous: to drop it is no part of the push."""

from __future__ import annotations

import pytest

from tests.unit.registry.support import OTHER, PART_BYTES, Script, content, keys_below, open_replica, pull, push
from zotpy.core import keys
from zotpy.store.faulty import FaultyStore
from zotpy.store.interface import StoreRefused, StoreUnavailable
from zotpy.store.memory_store import MemoryStore


@pytest.mark.parametrize("error", [StoreUnavailable("busy"), StoreRefused("no s3:DeleteObject")])
@pytest.mark.parametrize(
    ("operation", "size_bytes"), [("delete", PART_BYTES - 1), ("abort_multipart", 2 * PART_BYTES + 3)]
)
async def test_a_push_succeeds_where_its_surplus_copy_cannot_be_deleted(
    operation: str, size_bytes: int, error: Exception
) -> None:
    """The blob is there by the older data; what the push wrote besides is the collector's."""
    store, script = MemoryStore(), Script()
    replica = await open_replica(FaultyStore(store, script))
    body = content(size_bytes)
    await push(replica, body)
    (older,) = keys_below(store, keys.DATA)
    script.fail("before", operation, keys.DATA, error)
    digest = await push(replica, body, OTHER)
    assert script.steps == []
    assert await pull(replica, digest, OTHER) == body
    assert older in keys_below(store, keys.DATA)
