"""Bodies shorter than a part: nothing is sent while they come, so they need no nursery."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import trio

from tests.unit.registry.support import PART_BYTES, REPO, content, open_replica, pull, push, sent
from zotpy.core.digests import Digest
from zotpy.core.record_values import INLINE_LIMIT_BYTES
from zotpy.store.memory_store import MemoryStore

if TYPE_CHECKING:
    from collections.abc import Iterator

HALF = PART_BYTES // 2


class Nurseries:
    """Counts the nurseries that are opened."""

    def __init__(self) -> None:
        """Count none yet."""
        self.count = 0
        self._open = trio.open_nursery

    def __call__(self) -> object:
        """Count one, and open it."""
        self.count += 1
        return self._open()


@pytest.fixture
def nurseries(monkeypatch: pytest.MonkeyPatch) -> Iterator[Nurseries]:
    """Count nurseries from now on."""
    nurseries = Nurseries()
    monkeypatch.setattr(trio, "open_nursery", nurseries)
    yield nurseries
    monkeypatch.undo()


def pieces_of(sizes: tuple[int, ...]) -> list[bytes]:
    """Return a body in pieces of these lengths."""
    body = content(sum(sizes))
    return [body[sum(sizes[:number]) : sum(sizes[: number + 1])] for number in range(len(sizes))]


@pytest.mark.parametrize("size", [0, 1, INLINE_LIMIT_BYTES])
async def test_a_small_blob_in_one_request_takes_no_nursery(size: int, nurseries: Nurseries) -> None:
    """Only the entry comes after the lease: the upload has no state to be deleted beside it."""
    replica = await open_replica(MemoryStore())
    body = content(size)
    nurseries.count = 0
    digest = await push(replica, body)
    assert nurseries.count == 0
    assert await pull(replica, digest) == body


@pytest.mark.parametrize("sizes", [(1,), (INLINE_LIMIT_BYTES, 1), (HALF, HALF)])
async def test_a_chunk_up_to_a_part_takes_no_nursery(sizes: tuple[int, ...], nurseries: Nurseries) -> None:
    """However many pieces it comes in."""
    replica = await open_replica(MemoryStore())
    pieces = pieces_of(sizes)
    body = b"".join(pieces)
    session = replica.uploads.begin(REPO, "sha256")
    nurseries.count = 0
    session = await replica.uploads.chunk(session, sent(*pieces), None, len(body))
    assert nurseries.count == 0
    digest = Digest.of(body)
    await replica.uploads.finish(session, digest, sent(), None, 0)
    assert await pull(replica, digest) == body


@pytest.mark.parametrize("sizes", [(PART_BYTES + 1,), (PART_BYTES, 1), (HALF, PART_BYTES), (1, 3 * PART_BYTES, 7)])
async def test_a_chunk_beyond_a_part_takes_one_nursery(sizes: tuple[int, ...], nurseries: Nurseries) -> None:
    """It opens with the first byte that does not fit, wherever the pieces are cut. No byte is taken twice or lost."""
    replica = await open_replica(MemoryStore())
    pieces = pieces_of(sizes)
    body = b"".join(pieces)
    session = replica.uploads.begin(REPO, "sha256")
    nurseries.count = 0
    session = await replica.uploads.chunk(session, sent(*pieces), None, None)
    assert nurseries.count == 1
    digest = Digest.of(body)
    await replica.uploads.finish(session, digest, sent(), None, 0)
    assert await pull(replica, digest) == body
