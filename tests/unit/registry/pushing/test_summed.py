"""The CRC of a part grows as its bytes come, while the processor still has them in its cache."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import crc32c

from tests.unit.registry.support import PART_BYTES, REPO, Sent, content, open_replica
from zotpy.core.pieces import SMALL_BYTES, Pieces
from zotpy.store.memory_store import MemoryStore

if TYPE_CHECKING:
    from zotpy.store.interface import Body, Part

BODY = content(3 * PART_BYTES + 5)


class Summed(MemoryStore):
    """Notes of each part how many bytes its CRC lacks, and the CRC."""

    def __init__(self, *, takes_crcs: bool = True) -> None:
        """Begin empty."""
        super().__init__()
        self._features = replace(self._features, takes_crcs=takes_crcs)
        self.parts: dict[int, tuple[int, int]] = {}

    async def put_part(self, key: str, multipart_id: str, number: int, body: Body) -> Part:
        """See `Store`."""
        assert isinstance(body, Pieces)
        self.parts[number] = body.unsummed_bytes, body.crc32c()
        return await super().put_part(key, multipart_id, number, body)


async def push(store: Summed) -> None:
    """Send the body in reads of the usual length."""
    replica = await open_replica(store)
    reads = [BODY[start : start + SMALL_BYTES] for start in range(0, len(BODY), SMALL_BYTES)]
    await replica.uploads.chunk(replica.uploads.begin(REPO, "sha256"), Sent(reads), None, None)


async def test_a_part_that_is_sent_has_its_crc() -> None:
    """Nothing is left to go through, and the CRC is that of the part."""
    store = Summed()
    await push(store)
    starts = range(0, 3 * PART_BYTES, PART_BYTES)
    crcs = [crc32c.crc32c(BODY[start : start + PART_BYTES]) for start in starts]
    assert [store.parts[number] for number in (1, 2, 3)] == [(0, crc) for crc in crcs]


async def test_no_crc_is_computed_for_a_store_that_takes_an_md5() -> None:
    """All bytes of each part are left to go through."""
    store = Summed(takes_crcs=False)
    await push(store)
    assert [store.parts[number][0] for number in (1, 2, 3)] == [PART_BYTES] * 3
