"""A store whose writes are on the disk before they return."""

from __future__ import annotations

import errno

import pytest
import trio

from zotpy.store.interface import StoreRefused
from zotpy.store.memory_store import MemoryStore
from zotpy.store.observed import ObservedStore
from zotpy.store.synced import SyncedStore


class Order:
    """Keeps the order of what happened."""

    def __init__(self) -> None:
        self.events: list[str] = []

    def on_call(self, operation: str, key: str, seconds: float, outcome: str) -> None:
        """Take note of a call to the store within."""
        del key, seconds, outcome
        self.events.append(operation)

    async def sync(self) -> None:
        """Take note of a sync."""
        await trio.lowlevel.checkpoint()
        self.events.append("sync")


async def test_each_write_is_synced_before_it_returns_and_no_read_is() -> None:
    """Whatever a later answer relies on is on the disk first: objects, parts, deletes; reads wait for no disk."""
    order = Order()
    store = SyncedStore(ObservedStore(MemoryStore(), order), order.sync)
    await store.put("a", b"1")
    await store.delete("a")
    await store.delete_many(["a"])
    multipart = await store.create_multipart("b")
    part = await store.put_part("b", multipart, 1, b"2")
    await store.complete_multipart("b", multipart, [part])
    await store.get("b")
    await store.list("")
    writes = ["put", "delete", "delete_many", "create_multipart", "put_part", "complete_multipart", "get", "list"]
    unsynced = {"create_multipart", "get", "list"}
    assert order.events == [event for name in writes for event in ([name] if name in unsynced else [name, "sync"])]


async def test_a_write_that_the_disk_did_not_take_is_refused() -> None:
    """If the disk fails, a write fails with the reason."""

    async def fail() -> None:
        await trio.lowlevel.checkpoint()
        raise OSError(errno.EIO, "Input/output error")

    with pytest.raises(StoreRefused, match="put: the disk did not store what was written \\(Input/output error\\)"):
        await SyncedStore(MemoryStore(), fail).put("a", b"1")
