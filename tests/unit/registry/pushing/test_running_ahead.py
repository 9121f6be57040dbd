"""Bodies from an upstream are read faster than a slow store takes them, as long as memory is free."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import pytest
import trio
import trio.testing

from tests.unit.registry.support import BUDGET_BYTES, PART_BYTES, REPO, Script, Sent, content, open_replica, pull
from zotpy.concurrency import gather
from zotpy.core.digests import Digest
from zotpy.store.faulty import FaultyStore
from zotpy.store.interface import StoreUnavailable
from zotpy.store.memory_store import MemoryStore

if TYPE_CHECKING:
    from collections.abc import Iterator

    from zotpy.registry.registry import Registry

PARTS = 12
BODY = content(PARTS * PART_BYTES + 11)
PIECE = PART_BYTES // 4
AT_ONCE = 3
"""Parts that a replica sends at once."""


@pytest.fixture(autouse=True)
def _hashed_on_the_spot(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let tests see how far a body comes: a task that waits for a thread counts as blocked."""
    monkeypatch.setattr("zotpy.bucket.digesting.THREAD_LIMIT_BYTES", len(BODY))


class Upload:
    """One upload. Tests hold up the calls that send its parts."""

    def __init__(self, replica: Registry) -> None:
        """Begin it."""
        self.replica = replica
        self.session = replica.uploads.begin(REPO, "sha256")
        self.taken_bytes = 0

    async def run(self, *, is_mirrored: bool) -> None:
        """Send the body, as a client or from an upstream."""
        finish = partial(self.replica.uploads.finish, self.session, Digest.of(BODY), Sent(self._pieces()), None)
        await finish(len(BODY), save_every_bytes=4 * PART_BYTES if is_mirrored else None)

    def _pieces(self) -> Iterator[bytes]:
        for start in range(0, len(BODY), PIECE):
            piece = BODY[start : start + PIECE]
            self.taken_bytes += len(piece)
            yield piece

    @property
    def full_parts(self) -> int:
        """How many full parts were taken."""
        return (self.taken_bytes - PIECE) // PART_BYTES


@pytest.mark.parametrize(
    ("is_mirrored", "others_parts", "full_parts"),
    [(False, 0, AT_ONCE + 1), (True, 0, 8), (True, 6, 7), (True, 12, AT_ONCE + 1)],
)
async def test_how_far_a_body_runs_ahead(
    is_mirrored: bool,  # noqa: FBT001 - a parameter
    others_parts: int,
    full_parts: int,
) -> None:
    """Up to half of all memory, and until only a quarter is free. A push stops at what is sent at once.

    However far it is ahead, no more parts are sent at once. In the end all bytes are there.
    """
    script, memory = Script(), MemoryStore()
    replica = await open_replica(FaultyStore(memory, script), parts_in_flight=AT_ONCE)
    parked = [script.park("before", "put_part") for _ in range(PARTS + 1)]
    others, upload = replica.budget.account(), Upload(replica)
    await others.hold(others_parts * PART_BYTES)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(partial(upload.run, is_mirrored=is_mirrored))
        await parked[AT_ONCE - 1].reached.wait()
        await trio.testing.wait_all_tasks_blocked()
        assert upload.full_parts == full_parts
        assert replica.budget.used_bytes <= BUDGET_BYTES
        assert script.begun["put_part"] == AT_ONCE
        for step in parked:
            step.go_on.set()
    others.close()
    assert await pull(replica, Digest.of(BODY)) == BODY
    assert replica.budget.used_bytes == 0


async def test_a_body_that_waits_for_memory_goes_first() -> None:
    """While one waits, no other body runs ahead."""
    replica = await open_replica(MemoryStore())
    budget = replica.budget
    one, two = budget.account(), budget.account()
    assert budget.has_spare
    await one.hold(BUDGET_BYTES * 3 // 4)
    assert budget.has_spare
    async with trio.open_nursery() as nursery:
        nursery.start_soon(two.hold, BUDGET_BYTES // 2)
        await trio.testing.wait_all_tasks_blocked()
        assert not budget.has_spare
        one.close()
    two.close()
    assert budget.has_spare


async def test_a_part_that_fails_ends_those_that_wait_for_their_turn() -> None:
    """No memory is left, and nothing more is sent."""
    script, memory = Script(), MemoryStore()
    replica = await open_replica(FaultyStore(memory, script), parts_in_flight=AT_ONCE)
    parked = [script.park("before", "put_part") for _ in range(AT_ONCE)]
    script.fail("after", "put_part", "", StoreUnavailable("the store is gone"))
    upload = Upload(replica)

    async def fail_one() -> None:
        await parked[-1].reached.wait()
        await trio.testing.wait_all_tasks_blocked()
        parked[0].go_on.set()

    with pytest.raises(StoreUnavailable):
        await gather(partial(upload.run, is_mirrored=True), fail_one)
    assert script.begun["put_part"] == AT_ONCE
    assert replica.budget.used_bytes == 0
    assert memory.multiparts == {}
