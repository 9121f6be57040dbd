"""Pushes leave a share of the disk alone, however fast they are; everything else may use it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from zotpy.core.errors import StorageFull
from zotpy.store.faulty import FaultyStore, Moment
from zotpy.store.interface import StoreFull
from zotpy.store.memory_store import MemoryStore
from zotpy.store.space import Space, SpacedStore

if TYPE_CHECKING:
    from pathlib import Path

PART = bytes(1000)


async def space_of(directory: Path, room_bytes: int) -> Space:
    """Return the space of a disk on which pushes may write this much."""
    space = Space(directory, 0.5)
    await space.look()
    space.free_bytes = space.reserved_bytes + room_bytes
    return space


async def test_bytes_on_their_way_count_and_so_does_what_was_written(tmp_path: Path) -> None:
    """Of six parts at once on a disk with room for two, two are taken, before any look at the disk."""

    async def hold(moment: Moment, operation: str, key: str) -> None:
        del key
        if (moment, operation) == ("before", "put_part"):
            await go_on.wait()

    go_on, taken, refused = trio.Event(), list[int](), list[int]()
    store = SpacedStore(FaultyStore(MemoryStore(), hold), await space_of(tmp_path, 2 * len(PART)))
    multipart = await store.create_multipart("data/a")

    async def send(number: int) -> None:
        try:
            await store.put_part("data/a", multipart, number, PART)
            taken.append(number)
        except StoreFull:
            refused.append(number)

    async with trio.open_nursery() as nursery:
        for number in range(1, 7):
            nursery.start_soon(send, number)
        await wait_all_tasks_blocked()
        assert (len(taken), len(refused)) == (0, 4)
        go_on.set()
    assert len(taken) == 2
    with pytest.raises(StoreFull, match="the disk of this registry is full"):
        await store.put("data/b", PART)


async def test_what_is_no_blob_is_written_and_deleted_on_a_full_disk(tmp_path: Path) -> None:
    """Tombstones, leases and deletes are what makes room."""
    store = SpacedStore(MemoryStore(), await space_of(tmp_path, -1))
    await store.put("entries/a", b"tombstone")
    await store.delete("entries/a")


async def test_a_command_that_only_pushes_writes_nothing_on_a_full_disk(tmp_path: Path) -> None:
    """Small blobs and manifests have no data of their own: an import of many would fill the disk with them."""
    space = await space_of(tmp_path, 100)
    store = SpacedStore(MemoryStore(), space, only_pushes=True)
    await store.put("entries/a", bytes(100))
    with pytest.raises(StoreFull, match="the disk of this registry is full"):
        await store.put("entries/b", b"one more")
    await store.delete("entries/a")


async def test_a_look_finds_room_and_its_end(tmp_path: Path) -> None:
    """What is free decides; elsewhere there is always room."""
    space = Space(tmp_path, 0.0)
    await space.look()
    space.check()
    full = Space(tmp_path, 1.0)
    await full.look()
    with pytest.raises(StorageFull, match="MiB are free"):
        full.check()
    elsewhere = Space()
    await elsewhere.look()
    assert elsewhere.has_room(1 << 60)
    await elsewhere.keep_looking()


async def test_a_share_of_nothing_is_never_full(tmp_path: Path) -> None:
    """A file system that says it has no blocks, as some in memory do, has nothing to reserve."""
    space = Space(tmp_path, 0.02)
    space.total_bytes = space.free_bytes = 0
    space.check()
