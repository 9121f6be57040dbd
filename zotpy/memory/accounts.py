"""Accounts: what one body, or one answer, holds of the memory budget."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from zotpy.memory.budget import MemoryBudget


@dataclass(eq=False, slots=True)
class Account:
    """What one body holds of the budget."""

    budget: "MemoryBudget"
    part_bytes: int
    """Length of the part that is being filled, once it is full."""
    held_bytes: int = 0
    filled_bytes: int = 0
    """How many of `held_bytes` are in the part that is being filled."""
    draining_bytes: int = 0
    """How many of `held_bytes` are in full parts."""

    async def acquire(self, size_bytes: int) -> None:
        """Wait until `size_bytes` more may be held. Memory is granted in the order of the requests.

        Raises `TooManyRequests` if the queue is too long for a newcomer, and `Unavailable` if this much can never be
        held.
        """
        await self.budget.acquire(self, size_bytes)

    def acquire_now(self, size_bytes: int) -> bool:
        """Do the same if that needs no wait, and say so. Raises `Unavailable` if this much can never be held."""
        return self.budget.acquire_now(self, size_bytes)

    async def hold(self, size_bytes: int) -> None:
        """Wait until this much may be held, or all that one body may hold. No further bytes are needed to free it.

        So do not call it while the budget is waited for with other bytes held. Raises `TooManyRequests`.
        """
        self.begin_part(min(size_bytes, self.budget.largest_part_bytes))
        with self.budget.patience():
            await self.acquire(self.part_bytes)
        self.part_is_full()

    def release(self, size_bytes: int) -> None:
        """Give back bytes that were sent or dropped."""
        self.budget.release(self, size_bytes)

    def begin_part(self, size_bytes: int) -> None:
        """Say how long the part is to which the next acquired bytes belong. The part before it is full."""
        self.part_is_full()
        self.part_bytes = size_bytes

    def part_is_full(self) -> None:
        """Say that no further bytes are needed to free what is held."""
        self.budget.part_is_full(self)

    def close(self) -> None:
        """Give back everything."""
        self.budget.release(self, self.held_bytes)

    def rest_bytes(self, size_bytes: int) -> int:
        """Return what the part that is being filled takes until it is full, at least `size_bytes`."""
        return max(self.part_bytes - self.filled_bytes, size_bytes)
