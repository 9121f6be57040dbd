"""States of small uploads that are over: deleted together, and unknown to their replica at once."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest
import trio

from tests.unit.registry.pushing.test_uploads_races import chunk, finish
from tests.unit.registry.support import PART_BYTES, REPO, content, keys_below, open_replica, pull
from zotpy.core import keys
from zotpy.core.digests import Digest
from zotpy.core.errors import UploadUnknown
from zotpy.core.record_values import INLINE_LIMIT_BYTES
from zotpy.registry.pushing import leftovers
from zotpy.registry.pushing.leftovers import GATHER_S
from zotpy.store.interface import StoreUnavailable
from zotpy.store.memory_store import MemoryStore

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from trio.testing import MockClock

    from zotpy.registry.pushing.sessions import Session
    from zotpy.registry.registry import Registry


class Deletions(MemoryStore):
    """Counts the calls that delete."""

    def __init__(self) -> None:
        """Count none yet."""
        super().__init__()
        self.single, self.together = 0, list[int]()
        self.fails = False

    async def delete(self, key: str, *, if_match: str | None = None) -> None:
        """See `Store`."""
        self.single += 1
        await super().delete(key, if_match=if_match)

    async def delete_many(self, keys: Sequence[str]) -> None:
        """See `Store`."""
        self.together.append(len(keys))
        if self.fails:
            msg = "it does not answer"
            raise StoreUnavailable(msg)
        for key in keys:
            await super().delete(key)


@asynccontextmanager
async def deleting(store: MemoryStore, nursery: trio.Nursery) -> AsyncIterator[Registry]:
    """Open a replica that deletes states together."""
    replica = await open_replica(store)
    nursery.start_soon(replica.uploads.sessions.leftovers.keep_deleting, replica.store)
    await trio.testing.wait_all_tasks_blocked()
    yield replica
    nursery.cancel_scope.cancel()


async def push(replica: Registry, body: bytes) -> Session:
    """Push a blob as docker does, and return its upload after the PATCH."""
    session = await chunk(replica, replica.uploads.begin(REPO, "sha256"), body)()
    await finish(replica, session, Digest.of(body), b"")()
    return session


async def test_states_are_deleted_together_a_moment_later(autojump_clock: MockClock, nursery: trio.Nursery) -> None:
    """Three uploads take one call, a second after the first of them; the next one takes another."""
    del autojump_clock
    store = Deletions()
    async with deleting(store, nursery) as replica:
        for number in range(3):
            await push(replica, content(100 + number))
        assert len(keys_below(store, keys.UPLOADS)) == 3
        await trio.sleep(2 * GATHER_S)
        assert (store.together, store.single) == ([3], 0)
        await push(replica, content(200))
        await trio.sleep(2 * GATHER_S)
        assert store.together == [3, 1]
        assert keys_below(store, keys.UPLOADS) == []


async def test_an_upload_that_is_over_is_unknown_before_its_state_is_deleted(nursery: trio.Nursery) -> None:
    """Its replica answers as afterwards. A PUT that is repeated finds the blob, at every replica."""
    store, body = Deletions(), content(100)
    async with deleting(store, nursery) as replica:
        session = await push(replica, body)
        with pytest.raises(UploadUnknown):
            await replica.uploads.status(session)
        with pytest.raises(UploadUnknown):
            await chunk(replica, session, body)()
        for each in (replica, await open_replica(store)):
            await finish(each, session, Digest.of(body), b"")()
            assert await pull(each, Digest.of(body)) == body


@pytest.mark.parametrize("size_bytes", [INLINE_LIMIT_BYTES + 1, PART_BYTES + 1])
async def test_a_state_that_names_data_is_deleted_at_once(size_bytes: int, nursery: trio.Nursery) -> None:
    """Otherwise the same bytes could be named a second time."""
    store = Deletions()
    async with deleting(store, nursery) as replica:
        await push(replica, content(size_bytes))
        assert keys_below(store, keys.UPLOADS) == []
        assert (store.together, store.single) == ([], 1)


async def test_a_few_states_wait_at_most(
    monkeypatch: pytest.MonkeyPatch, mock_clock: MockClock, nursery: trio.Nursery
) -> None:
    """More of them are deleted by the requests that end their uploads. Time stands still meanwhile."""
    del mock_clock
    monkeypatch.setattr(leftovers, "MOST", 2)
    store = Deletions()
    async with deleting(store, nursery) as replica:
        for number in range(5):
            await push(replica, content(100 + number))
        assert len(keys_below(store, keys.UPLOADS)) == 2
        assert store.single == 3


async def test_states_are_deleted_at_the_end_of_the_process(mock_clock: MockClock, nursery: trio.Nursery) -> None:
    """And at once by a process that has no such service, such as an import. Time stands still meanwhile."""
    del mock_clock
    store = Deletions()
    async with deleting(store, nursery) as replica:
        await push(replica, content(100))
        await replica.uploads.sessions.leftovers.delete(replica.store)
        assert keys_below(store, keys.UPLOADS) == []
    alone = await open_replica(store)
    await push(alone, content(101))
    assert (store.together, store.single) == ([1], 1)


async def test_states_that_cannot_be_deleted_are_left_to_the_collector(
    autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    """They are given up after one attempt, and later ones are deleted."""
    del autojump_clock
    store = Deletions()
    async with deleting(store, nursery) as replica:
        store.fails = True
        await push(replica, content(100))
        await trio.sleep(2 * GATHER_S)
        store.fails = False
        await push(replica, content(101))
        await trio.sleep(2 * GATHER_S)
        assert store.together == [1, 1]
        assert len(keys_below(store, keys.UPLOADS)) == 1
