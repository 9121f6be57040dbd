"""When API keys were last used: written rarely, never in the way of a request, and gone with the key."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Literal

import pytest
from trio.testing import wait_all_tasks_blocked

from tests.unit.registry.support import Script
from zotpy.bucket.api_keys import ApiKeys
from zotpy.bucket.key_uses import EVERY_S, MOST_REMEMBERED, MOST_WAITING, KeyUses
from zotpy.core import keys
from zotpy.core.api_keys import ApiKey, digest_of, new_key
from zotpy.store.faulty import FaultyStore
from zotpy.store.interface import StoreUnavailable
from zotpy.store.memory_store import MemoryStore

if TYPE_CHECKING:
    import trio
    from trio.testing import MockClock


def made(owner: str = "alice") -> ApiKey:
    """Return what is known of a new key."""
    return ApiKey(digest_of(new_key(owner)), owner, frozenset(), "ci", (), datetime(2026, 1, 1, tzinfo=UTC))


@dataclass(slots=True)
class Scene:
    """A key in a bucket, and the uses that a replica notes."""

    store: MemoryStore
    script: Script
    api_keys: ApiKeys
    uses: KeyUses
    api_key: ApiKey

    @property
    def puts(self) -> int:
        """Count the writes."""
        return self.script.begun["put"]


@pytest.fixture
async def scene(nursery: trio.Nursery) -> Scene:
    """Return a replica that writes what it notes."""
    store, script = MemoryStore(), Script()
    uses, api_keys, api_key = KeyUses(FaultyStore(store, script)), ApiKeys(store), made()
    await api_keys.add(api_key)
    nursery.start_soon(uses.keep_written)
    return Scene(store, script, api_keys, uses, api_key)


async def test_a_use_is_written_once_an_hour(scene: Scene, mock_clock: MockClock) -> None:
    """However often the key is used."""
    for _ in range(3):
        scene.uses.note(scene.api_key)
        await wait_all_tasks_blocked()
    assert scene.puts == 1
    assert set(await scene.uses.of_owner("alice")) == {scene.api_key.key_id}
    assert await scene.uses.of_owner("bob") == {}
    mock_clock.jump(EVERY_S)
    scene.uses.note(scene.api_key)
    await wait_all_tasks_blocked()
    assert scene.puts == 2


async def test_a_use_that_could_not_be_written_is_written_at_the_next_one(scene: Scene) -> None:
    """The replica goes on."""
    scene.script.fail("before", "put", keys.API_KEY_USES, StoreUnavailable("down"))
    scene.uses.note(scene.api_key)
    await wait_all_tasks_blocked()
    assert await scene.uses.of_owner("alice") == {}
    scene.uses.note(scene.api_key)
    await wait_all_tasks_blocked()
    assert set(await scene.uses.of_owner("alice")) == {scene.api_key.key_id}


@pytest.mark.parametrize("moment", ["before", "after"])
async def test_a_key_that_is_revoked_meanwhile_leaves_nothing(scene: Scene, moment: Literal["before", "after"]) -> None:
    """Whether the revocation comes before the use is written, or between that and the second look."""
    parked = scene.script.park(moment, "put")
    scene.uses.note(scene.api_key)
    await parked.reached.wait()
    assert await scene.api_keys.revoke("alice", scene.api_key.key_id)
    await KeyUses(scene.store).forget("alice", scene.api_key.key_id)
    parked.go_on.set()
    await wait_all_tasks_blocked()
    assert scene.store.objects == {}


async def test_uses_that_wait_are_bounded() -> None:
    """A store that does not answer makes no replica grow."""
    uses = KeyUses(MemoryStore())
    for number in range(MOST_REMEMBERED + 2):
        uses.note(made(f"user{number}"))
    assert len(uses._waiting) == MOST_WAITING
    assert len(uses._quiet_until) == MOST_WAITING
