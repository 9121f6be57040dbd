"""The parts of one upload that are on their way: filled, but not yet both hashed and acknowledged by the store."""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

import trio

from zotpy.core.pieces import Pieces
from zotpy.core.quick import quickly_made
from zotpy.memory.accounts import Account


@quickly_made
@dataclass(frozen=True, slots=True)
class Limits:
    """What one upload may do at once."""

    in_flight_bytes: int
    """How long all full parts may be that are sent at once; one part is always sent."""
    held_bytes: int
    """How long full parts and the one that is being filled may be together, unless that one alone is longer."""
    tail_bytes: int
    """A longer tail of a chunk is sent, although it is not a full part."""
    checkpoint_bytes: int
    """How many bytes are sent from one checkpoint to the next."""
    runs_ahead: bool = False
    """Whether more full parts may wait until they are sent, as long as a quarter of all memory is free.

    They have at most `held_bytes`. So readers of the body do not wait for a slow store.
    """


@dataclass(eq=False, slots=True)
class PartInFlight:
    """A part that was filled."""

    number: int
    body: Pieces
    end: int
    """How many bytes the upload has up to the end of this part."""
    is_checkpoint: bool
    hash_state: bytes | None = None
    """At a checkpoint: after this part."""
    pending: int = 2  # hashing and sending


@dataclass(eq=False, slots=True)
class PartsInFlight:
    """Gives their memory back as they settle, and says which checkpoint is reached by that."""

    account: Account
    size_bytes: int = 0
    """How long all of them are together."""
    _unsettled: dict[int, PartInFlight] = field(default_factory=dict)
    """By number, in order."""
    _checkpoints: deque[PartInFlight] = field(default_factory=deque)
    """Those to come, in order; they may have settled themselves."""
    _settled: trio.Event = field(default_factory=trio.Event)

    def add(self, part: PartInFlight) -> None:
        """Take in the next part."""
        self.size_bytes += len(part.body)
        self._unsettled[part.number] = part
        if part.is_checkpoint:
            self._checkpoints.append(part)

    async def leave_room(
        self, size_bytes: int, limit_bytes: int, may_exceed: Callable[[], bool] = lambda: False
    ) -> None:
        """Wait until a part of `size_bytes` keeps to the limit beside those in flight, or none is.

        If it `may_exceed` the limit now, nothing is waited for.
        """
        while self._unsettled and self.size_bytes + size_bytes > limit_bytes and not may_exceed():
            self._settled = trio.Event()
            await self._settled.wait()

    def settle(self, part: PartInFlight) -> PartInFlight | None:
        """Note that a part was hashed, or sent; return the last checkpoint that was reached by that, if one was.

        A part that was both is dropped with its bytes: what still names them keeps memory that was given back.
        """
        part.pending -= 1
        if part.pending:
            return None
        del self._unsettled[part.number]
        self.size_bytes -= len(part.body)
        self.account.release(len(part.body))
        part.body.clear()
        self._settled.set()
        # Parts settle in any order. A checkpoint is reached when no part up to it is unsettled.
        first_unsettled = next(iter(self._unsettled), None)
        reached = None
        while self._checkpoints and (first_unsettled is None or self._checkpoints[0].number < first_unsettled):
            reached = self._checkpoints.popleft()
        return reached

    def drop(self) -> None:
        """Free the memory of every byte that is left."""
        for part in self._unsettled.values():
            part.body.clear()
