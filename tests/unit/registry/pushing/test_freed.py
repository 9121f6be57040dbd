"""Bytes of bodies are freed when their request ends: no cycle of objects holds them until Python looks for some."""

from __future__ import annotations

import gc
from typing import TYPE_CHECKING

import pytest

from tests.unit.registry.support import PART_BYTES, REPO, Sent, open_replica
from zotpy.core.errors import ClientStalled
from zotpy.store.interface import StoreUnavailable
from zotpy.store.memory_store import MemoryStore

if TYPE_CHECKING:
    from collections.abc import Iterator

    from zotpy.store.interface import Body, Part


class Piece(bytes):
    """Bytes that tell when they are freed."""

    alive = 0

    def __init__(self, _: bytes) -> None:
        """Count it."""
        Piece.alive += 1

    def __del__(self) -> None:
        """Count it no longer."""
        Piece.alive -= 1


@pytest.fixture
def no_collector() -> Iterator[None]:
    """Let nothing look for cycles."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


def body(error: Exception | None = None) -> Sent:
    """Return a body in pieces of which each fills a quarter of a part."""
    return Sent((Piece(bytes(PART_BYTES // 4)) for _ in range(10)), error)


class Down(MemoryStore):
    """Takes no parts."""

    async def put_part(self, key: str, multipart_id: str, number: int, body: Body) -> Part:
        """See `Store`."""
        del key, multipart_id, number, body
        msg = "down"
        raise StoreUnavailable(msg)


async def send(store: MemoryStore, sent: Sent) -> None:
    """Send it as a chunk to a replica of its own."""
    replica = await open_replica(store)
    await replica.uploads.chunk(replica.uploads.begin(REPO, "sha256"), sent, None, None)


@pytest.mark.usefixtures("no_collector")
async def test_a_chunk_leaves_nothing() -> None:
    """All is well."""
    await send(MemoryStore(), body())
    assert Piece.alive == 0


@pytest.mark.usefixtures("no_collector")
async def test_a_chunk_that_was_cut_leaves_nothing() -> None:
    """The client leaves after the last piece."""
    with pytest.raises(ClientStalled):
        await send(MemoryStore(), body(ClientStalled("gone")))
    assert Piece.alive == 0


@pytest.mark.usefixtures("no_collector")
async def test_a_chunk_that_the_store_does_not_take_leaves_nothing() -> None:
    """A part fails in the middle, and what comes after is not received."""
    with pytest.raises(StoreUnavailable):
        await send(Down(), body())
    assert Piece.alive == 0
