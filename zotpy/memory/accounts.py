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
    """Length of the part being filled, once it is full."""
    held_bytes: int = 0
    filled_bytes: int = 0
    """Of `held_bytes`, those of the part being filled."""
    draining_bytes: int = 0
    """Of `held_bytes`, those of full parts."""

    async def acquire(self, size_bytes: int) -> None:
        """Wait until `size_bytes` more may be held; the order of the waiting is the order of the granting.

        Raises `TooManyRequests` where the queue is too long for a newcomer, and `Unavailable` where so much can never
        be held.
        """
        await self.budget.acquire(self, size_bytes)

    async def hold(self, size_bytes: int) -> None:
        """Wait until so much may be held, or all that one body may hold; it is freed without further bytes.

        So not to be called while the budget is waited for with other bytes held. Raises `TooManyRequests`.
        """
        self.begin_part(min(size_bytes, self.budget.largest_part_bytes))
        with self.budget.patience():
            await self.acquire(self.part_bytes)
        self.part_is_full()

    def release(self, size_bytes: int) -> None:
        """Give back bytes that were sent or dropped."""
        self.budget.release(self, size_bytes)

    def begin_part(self, size_bytes: int) -> None:
        """Say how long the part is to which the bytes acquired next belong; the one before it is full."""
        self.part_is_full()
        self.part_bytes = size_bytes

    def part_is_full(self) -> None:
        """Say that what is held will be freed without further bytes."""
        self.budget.part_is_full(self)

    def close(self) -> None:
        """Give back everything."""
        self.budget.release(self, self.held_bytes)

    def rest_bytes(self, size_bytes: int) -> int:
        """Return what the part being filled takes until it is full, `size_bytes` at least."""
        return max(self.part_bytes - self.filled_bytes, size_bytes)
