"""Hashing the bytes of one body in their order: parts in a task beside their sending, whatever is short at once."""

from collections.abc import Callable
from dataclasses import dataclass, field

import trio

from zotpy.bucket.digesting import hash_pieces
from zotpy.core.hashing import Hasher
from zotpy.core.pieces import Pieces
from zotpy.registry.pushing.in_flight import PartInFlight


@dataclass(eq=False, slots=True)
class BodyHashing:
    """Hashes what it is given, in that order."""

    hasher: Hasher | None
    """`None` if the digest can only be told by reading back."""
    on_hashed: Callable[[PartInFlight], None]
    """Called with each part that was hashed."""
    on_ended: Callable[[], None] = lambda: None
    """Called when all of the body was hashed."""
    skip_bytes: int = 0
    """How many of the first bytes an earlier request hashed: its tail begins this body."""
    _parts: "trio.MemorySendChannel[PartInFlight | Pieces] | None" = field(default=None, init=False)

    async def add(self, part: PartInFlight, nursery: trio.Nursery) -> None:
        """Hash a part, in a task of this nursery. Returns when all parts before it were hashed."""
        if self._parts is None:
            self._parts, parts = trio.open_memory_channel[PartInFlight | Pieces](0)
            nursery.start_soon(self._hash_all, parts)
        await self._parts.send(part)

    async def end(self, tail: Pieces) -> None:
        """Hash the last bytes: at once if there was no part, else by the task, which then ends."""
        if self._parts is None:
            await self._hash(tail)
            self.on_ended()
            return
        async with self._parts:
            await self._parts.send(tail)

    def state(self) -> bytes | None:
        """Return the state of the hash after what was hashed so far, if it can be told."""
        return None if self.hasher is None else self.hasher.export()

    async def _hash_all(self, parts: "trio.MemoryReceiveChannel[PartInFlight | Pieces]") -> None:
        """Hash the parts, then the tail."""
        async with parts:
            async for part in parts:
                if isinstance(part, Pieces):
                    await self._hash(part)
                    self.on_ended()
                    continue
                await self._hash(part.body)
                if part.is_checkpoint:
                    part.hash_state = self.state()
                self.on_hashed(part)

    async def _hash(self, pieces: Pieces) -> None:
        skip_bytes, self.skip_bytes = self.skip_bytes, 0
        if self.hasher is not None:
            await hash_pieces(self.hasher, pieces, skip_bytes)
