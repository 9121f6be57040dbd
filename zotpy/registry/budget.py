"""One memory budget for all bodies in a replica: with none left, sockets are not read. That is the backpressure.

Buffers are charged for bytes received, never for bytes promised, so a client that declares 10 GiB and sends nothing
holds nothing. Two rules keep the budget from locking up:

- An upload holds at most its parts in flight and the part it is filling; it waits for its own parts before it asks for
  more.
- Were every byte held by parts half filled, none could be finished and none freed. So one part's length is kept
  back. When the open share is spent, the waiter that has waited longest may draw on what was kept back until its
  part is full and on its way; then the next one.

Waiters are served in the order in which they came: a thousand small uploads are not starved by one of 50 GiB. A body
that holds nothing yet is turned away when the queue is too long: better now, with a time to come back, than after a
timeout.
"""

from collections import OrderedDict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import trio

from zotpy.core.errors import TooManyRequests

if TYPE_CHECKING:
    from collections.abc import Callable

LONGEST_QUEUE = 1024
"""So many bodies may wait for memory before newcomers are turned away."""


@dataclass(eq=False, slots=True)
class Account:
    """What one body holds of the budget."""

    budget: "MemoryBudget"
    held_bytes: int = 0

    async def acquire(self, size_bytes: int) -> None:
        """Wait until `size_bytes` more may be held; the order of the waiting is the order of the granting."""
        await self.budget.acquire(self, size_bytes)

    def release(self, size_bytes: int) -> None:
        """Give back bytes that were sent or dropped."""
        self.budget.release(self, size_bytes)

    def part_is_full(self) -> None:
        """Say that what is held will be freed without further bytes: its turn at the kept back share is over."""
        self.budget.end_turn(self)

    def close(self) -> None:
        """Give back everything."""
        self.budget.release(self, self.held_bytes)
        self.budget.end_turn(self)


@dataclass(eq=False, slots=True)
class _Waiter:
    account: Account
    size_bytes: int
    granted: trio.Event = field(default_factory=trio.Event)


class MemoryBudget:
    """The budget of one process, in bytes."""

    def __init__(self, total_bytes: int, kept_back_bytes: int, longest_queue: int = LONGEST_QUEUE) -> None:
        """Share out `total_bytes`, of which `kept_back_bytes` (one part and one read, at least) serve one at a time."""
        if total_bytes < 2 * kept_back_bytes:
            msg = f"a memory budget of {total_bytes} bytes is too small: {2 * kept_back_bytes} are needed"
            raise ValueError(msg)
        self.total_bytes = total_bytes
        self.open_bytes = total_bytes - kept_back_bytes
        self.used_bytes = 0
        self.peak_bytes = 0
        self.longest_queue = longest_queue
        self.on_room: Callable[[], None] | None = None
        """Told whenever bytes may be free that nobody here waits for."""
        self._waiting: OrderedDict[_Waiter, None] = OrderedDict()
        self._turn: Account | None = None

    @property
    def waiting(self) -> int:
        """How many bodies wait for memory."""
        return len(self._waiting)

    def account(self) -> Account:
        """Open an account for one body; close it when the body is done."""
        return Account(self)

    async def acquire(self, account: Account, size_bytes: int) -> None:
        """See `Account.acquire`; raises `TooManyRequests` where the queue is too long for a newcomer."""
        if self._turn is account and self._fits(size_bytes, self.total_bytes):
            self._grant(account, size_bytes)
            await trio.lowlevel.checkpoint_if_cancelled()
            return
        if not self._waiting and self._fits(size_bytes, self.open_bytes):
            self._grant(account, size_bytes)
            await trio.lowlevel.checkpoint_if_cancelled()
            return
        if not account.held_bytes and len(self._waiting) >= self.longest_queue:
            msg = f"this replica is busy: {len(self._waiting)} uploads wait for memory; try again"
            raise TooManyRequests(msg)
        waiter = _Waiter(account, size_bytes)
        self._waiting[waiter] = None
        if self._turn is account:
            self._waiting.move_to_end(waiter, last=False)
        self._serve()
        try:
            await waiter.granted.wait()
        except trio.Cancelled:
            if not waiter.granted.is_set():
                del self._waiting[waiter]
                self._serve()
            raise

    def try_acquire(self, account: Account, size_bytes: int) -> bool:
        """Take `size_bytes` if nobody waits and they are free; never of what is kept back."""
        if self._waiting or not self._fits(size_bytes, self.open_bytes):
            return False
        self._grant(account, size_bytes)
        return True

    def release(self, account: Account, size_bytes: int) -> None:
        """See `Account.release`."""
        account.held_bytes -= size_bytes
        self.used_bytes -= size_bytes
        self._serve()

    def end_turn(self, account: Account) -> None:
        """See `Account.part_is_full`."""
        if self._turn is account:
            self._turn = None
            self._serve()

    def _fits(self, size_bytes: int, limit: int) -> bool:
        return self.used_bytes + size_bytes <= limit

    def _grant(self, account: Account, size_bytes: int) -> None:
        account.held_bytes += size_bytes
        self.used_bytes += size_bytes
        self.peak_bytes = max(self.peak_bytes, self.used_bytes)

    def _serve(self) -> None:
        """Grant from the front of the queue, as far as memory goes."""
        while self._waiting:
            waiter = next(iter(self._waiting))
            limit = self.open_bytes
            if self._turn is None and not self._fits(waiter.size_bytes, limit):
                self._turn = waiter.account
            if self._turn is waiter.account:
                limit = self.total_bytes
            if not self._fits(waiter.size_bytes, limit):
                return
            del self._waiting[waiter]
            self._grant(waiter.account, waiter.size_bytes)
            waiter.granted.set()
        if self.on_room is not None:
            self.on_room()
