"""What the pulls of a replica may use: part of the memory, and few enough connections to the store.

If memory is reserved for a range, the range is received whole at the store's pace, and its connection is given back at
once, however slowly the client reads. Without memory a range is passed on at the client's pace, and holds a connection
for as long as that takes. Clients decide how many such ranges there are and for how long, so only a fixed number of
*places* exists for them. Even a thousand clients that never read leave the store's connections to pushes and to pulls
with memory.

Pulls wait in the order in which they came, each for memory or for a place, whichever is free first. They take no memory
that a push waits for, and never the last quarter of it. Ranges ahead of a client leave half.
"""

from collections import OrderedDict
from dataclasses import dataclass, field

import trio

from zotpy.memory.accounts import Account
from zotpy.memory.budget import MemoryBudget


@dataclass(eq=False, slots=True)
class _Waiter:
    account: Account
    size_bytes: int
    may_stream: bool = True
    """A place without memory is as good."""
    reserved_bytes: int = 0
    granted: trio.Event = field(default_factory=trio.Event)


@dataclass(eq=False, slots=True)
class Turn:
    """How far an answer is that may consist of several reads."""

    is_first: bool = True
    """Nothing was sent yet: its client can still be told to try again."""
    takes_files: bool = False
    """Its pieces may be in files (`zotpy.core.file_pieces`)."""


class Readers:
    """All pulls under way, over the budget of the process."""

    def __init__(self, budget: MemoryBudget, places: int) -> None:
        """Let `places` ranges at a time, 1 or more, go at their clients' pace. Ranges with memory do not count."""
        self._budget = budget
        self.limit_bytes = budget.largest_part_bytes * 3 // 4
        self._ahead_limit_bytes = budget.largest_part_bytes // 2
        self._free_places = places
        self._waiting: OrderedDict[_Waiter, None] = OrderedDict()
        self.reserved_bytes = 0
        budget.on_room = self._serve

    @property
    def waiting(self) -> int:
        """How many pulls wait for memory or a place."""
        return len(self._waiting)

    @property
    def contested_bytes(self) -> int:
        """How much the client of a pull must read in its time, if others wait for what the pull holds; otherwise 0.

        A body of a push must bring the same: a client that wants to hold all memory and places has to read all of it.
        """
        return self._budget.usual_bytes // 8 if self._waiting or self._budget.waiting else 0

    def account(self) -> Account:
        """Open an account for one pull. `close` it when the pull is done."""
        return self._budget.account()

    def reserve_ahead(self, account: Account, size_bytes: int) -> bool:
        """Reserve memory for a range that the client has not reached, if plenty is free."""
        return not self._waiting and self._reserve(account, size_bytes, self._ahead_limit_bytes)

    def reservation(self) -> "Reservation":
        """Begin with no memory for pulls, for an answer that is held as a whole. `close` it at the end."""
        return Reservation(self, self.account())

    async def begin(self, account: Account, size_bytes: int, *, is_first: bool = False, may_stream: bool = True) -> int:
        """Wait until a range may be read. Return the bytes reserved for it, all or none.

        With none it has a place instead, if it `may_stream`; `leave_place` gives it back. The first range of an answer
        waits for a limited time: its client can still be told to try again. Raises `TooManyRequests`.
        """
        waiter = _Waiter(account, size_bytes, may_stream)
        self._waiting[waiter] = None
        self._serve()
        try:
            if is_first:
                with self._budget.patience():
                    await waiter.granted.wait()
            else:
                await waiter.granted.wait()
        except BaseException:
            if waiter.granted.is_set():  # at the moment of the cancellation
                self._undo(waiter)
            else:
                del self._waiting[waiter]
                self._serve()
            raise
        return waiter.reserved_bytes

    def release(self, account: Account, size_bytes: int) -> None:
        """Give back memory of bytes that were sent or dropped."""
        self.reserved_bytes -= size_bytes
        account.release(size_bytes)

    def leave_place(self) -> None:
        """Say that a range without memory holds no connection any more."""
        self._free_places += 1
        self._serve()

    def close(self, account: Account) -> None:
        """Give back all memory that a pull holds."""
        self.release(account, account.held_bytes)

    def _undo(self, waiter: _Waiter) -> None:
        if waiter.reserved_bytes:
            self.release(waiter.account, waiter.reserved_bytes)
        else:
            self.leave_place()

    def _reserve(self, account: Account, size_bytes: int, limit_bytes: int) -> bool:
        if self.reserved_bytes + size_bytes > limit_bytes or not self._budget.try_acquire(account, size_bytes):
            return False
        self.reserved_bytes += size_bytes
        return True

    def _serve(self) -> None:
        """Let pulls begin, from the front of the queue, as far as memory and places allow."""
        is_short = False
        for waiter in list(self._waiting):
            if not is_short and self._reserve(waiter.account, waiter.size_bytes, self.limit_bytes):
                waiter.reserved_bytes = waiter.size_bytes
            elif waiter.may_stream and self._free_places:
                self._free_places -= 1
            elif self._free_places:
                is_short = True  # no pull behind it takes the memory that it waits for, only a place
                continue
            else:
                return
            del self._waiting[waiter]
            waiter.granted.set()


@dataclass(frozen=True, slots=True)
class Reservation:
    """What an answer that is read as a whole holds until it was sent."""

    readers: Readers
    account: Account

    async def hold(self, size_bytes: int) -> None:
        """Wait until this much more may be held, or all that pulls may hold. Raises `TooManyRequests`."""
        size_bytes = min(size_bytes, self.readers.limit_bytes)
        await self.readers.begin(self.account, size_bytes, is_first=True, may_stream=False)

    def close(self) -> None:
        """Give back everything."""
        self.readers.close(self.account)
