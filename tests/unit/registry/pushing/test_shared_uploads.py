"""Two replicas that finish one upload at once, because the second took the first for dead, and it was only slow."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest
import trio

from tests.unit.registry.support import (
    PART_BYTES,
    REPO,
    Fed,
    Script,
    Step,
    content,
    keys_below,
    open_replica,
    pull,
    state_of,
    until,
)
from zotpy.core.digests import Digest
from zotpy.core.errors import DigestInvalid, RegistryError, UploadInvalid, UploadUnknown
from zotpy.store.faulty import FaultyStore
from zotpy.store.interface import ConditionFailed
from zotpy.store.memory_store import MemoryStore

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from zotpy.core.record_values import BlobValue
    from zotpy.registry.pushing.sessions import Session
    from zotpy.registry.registry import Registry

BODY = content(4 * PART_BYTES + 99)
DIGEST = Digest.of(BODY)
OTHER = bytes([BODY[0] ^ 1]) + BODY[1:]
"""The same but for a byte in the first part."""


@dataclass
class Finish:
    """The last request of the upload at one replica."""

    registry: Registry
    session: Session
    body: Fed = field(default_factory=Fed)
    value: BlobValue | None = None
    error: RegistryError | None = None
    scope: trio.CancelScope = field(default_factory=trio.CancelScope)
    ended: trio.Event = field(default_factory=trio.Event)

    async def run(self) -> None:
        """Take the body; its state is saved after each part."""
        left_bytes = len(BODY) - self.session.token.offset
        finish = self.registry.uploads.finish
        try:
            with self.scope:
                self.value = await finish(
                    self.session, DIGEST, self.body, None, left_bytes, save_every_bytes=PART_BYTES
                )
        except RegistryError as error:
            self.error = error
        self.ended.set()

    async def end(self, start: int, body: bytes = BODY) -> None:
        """Send the rest of the body, and wait for the end."""
        self.body.feed(body[start:])
        self.body.end()
        await self.ended.wait()


@dataclass
class Scene:
    """A slow replica that has saved one part, and a quick one that has gone on and saved two."""

    store: MemoryStore
    slow: Finish
    quick: Finish

    async def assert_one_blob(self) -> None:
        """Check that the blob is right, and that nothing else is left."""
        assert await pull(self.quick.registry, DIGEST) == BODY
        assert len(keys_below(self.store, "data/")) == 1
        assert keys_below(self.store, "uploads/") == []
        assert self.store.multiparts == {}
        assert self.slow.registry.budget.used_bytes == self.quick.registry.budget.used_bytes == 0


async def shared(nursery: trio.Nursery, script: Script, sent: bytes = BODY) -> Scene:
    """Let the slow replica save the first part, of `sent`, and the quick one go on from there."""
    store = MemoryStore()
    first, other = await open_replica(FaultyStore(store, script)), await open_replica(store)
    slow = Finish(first, first.uploads.begin(REPO, "sha256"))
    nursery.start_soon(slow.run)
    slow.body.feed(sent[: PART_BYTES + 1])
    await until(lambda: bool(keys_below(store, "uploads/")))
    quick = Finish(other, await other.uploads.status(slow.session))
    assert quick.session.token.offset == PART_BYTES
    nursery.start_soon(quick.run)
    quick.body.feed(BODY[PART_BYTES : 2 * PART_BYTES + 1])
    await until(lambda: state_of(store).offset == 2 * PART_BYTES)
    return Scene(store, slow, quick)


@pytest.fixture
async def scene() -> AsyncIterator[Scene]:
    """Return such a scene."""
    async with trio.open_nursery() as nursery:
        yield await shared(nursery, Script())


@pytest.mark.parametrize("first", ["slow", "quick"])
async def test_both_have_the_blob_whoever_ends_first(scene: Scene, first: str) -> None:
    """The slow one loses the race for the state, and goes on. Whoever comes late finds the blob of the other."""
    if first == "slow":
        await scene.slow.end(PART_BYTES + 1)
        await scene.quick.end(2 * PART_BYTES + 1)
    else:
        await scene.quick.end(2 * PART_BYTES + 1)
        await scene.slow.end(PART_BYTES + 1)
    assert scene.slow.value is not None
    assert scene.slow.value == scene.quick.value
    await scene.assert_one_blob()


async def test_the_state_is_that_of_the_one_that_took_it_over(scene: Scene) -> None:
    """A third one goes on from what the quick one saved, not from what the slow one would have."""
    scene.slow.body.feed(BODY[PART_BYTES + 1 : 4 * PART_BYTES + 1])
    (multipart,) = scene.store.multiparts.values()
    await until(lambda: len(multipart.parts) == 4)
    assert state_of(scene.store).offset == 2 * PART_BYTES
    await scene.quick.end(2 * PART_BYTES + 1)
    await scene.slow.end(4 * PART_BYTES + 1)
    await scene.assert_one_blob()


async def test_one_that_got_other_bytes_ends_both_and_leaves_no_blob() -> None:
    """Its first part is in the state from which the other one went on: the digest tells, and the upload is over."""
    async with trio.open_nursery() as nursery:
        scene = await shared(nursery, Script(), OTHER)
        await scene.quick.end(2 * PART_BYTES + 1)
        assert isinstance(scene.quick.error, DigestInvalid)
        await scene.slow.end(PART_BYTES + 1, OTHER)
        assert isinstance(scene.slow.error, UploadUnknown)
    assert keys_below(scene.store, "data/") == keys_below(scene.store, "entries/") == []
    assert scene.store.multiparts == {}


async def test_a_part_with_other_bytes_that_came_later_is_not_joined(scene: Scene) -> None:
    """The slow one replaces a part that the quick one has sent: the store compares it with what that one named."""
    at = 3 * PART_BYTES
    wrong = BODY[:at] + bytes([BODY[at] ^ 1]) + BODY[at + 1 :]
    (multipart,) = scene.store.multiparts.values()
    scene.quick.body.feed(BODY[2 * PART_BYTES + 1 : 4 * PART_BYTES + 1])
    await until(lambda: 4 in multipart.parts)
    right = multipart.parts[4]
    scene.slow.body.feed(wrong[PART_BYTES + 1 : 4 * PART_BYTES + 1])
    await until(lambda: multipart.parts[4] != right)
    await scene.quick.end(4 * PART_BYTES + 1)
    assert isinstance(scene.quick.error, UploadInvalid)
    await scene.slow.end(4 * PART_BYTES + 1, wrong)
    assert isinstance(scene.slow.error, DigestInvalid)
    assert keys_below(scene.store, "data/") == keys_below(scene.store, "entries/") == []


class Overtaken(Step):
    """A write whose answer was lost: when it is repeated, another request has written since."""

    async def happen(self) -> None:
        """See `Step`."""
        await super().happen()
        raise ConditionFailed(self.prefix)


@pytest.mark.parametrize("first", ["slow", "quick"])
async def test_one_that_never_learned_that_it_saved_drops_no_parts_of_the_other(first: str) -> None:
    """It is given up later; or it comes late, and finds the blob that the other one has joined of its parts."""
    script = Script()
    lost = Overtaken("after", "put", "uploads/")
    script.steps.append(lost)
    async with trio.open_nursery() as nursery:
        scene = await shared(nursery, script)
        lost.go_on.set()
        if first == "slow":
            (multipart,) = scene.store.multiparts.values()
            scene.slow.body.feed(BODY[PART_BYTES + 1 : 4 * PART_BYTES + 1])
            await until(lambda: 4 in multipart.parts)
            scene.slow.scope.cancel()
            await scene.slow.ended.wait()
            assert len(scene.store.multiparts) == 1
            await scene.quick.end(2 * PART_BYTES + 1)
        else:
            await scene.quick.end(2 * PART_BYTES + 1)
            await scene.slow.end(PART_BYTES + 1)
            assert scene.slow.value == scene.quick.value
    await scene.assert_one_blob()
