"""One memory budget for all bodies in a replica: with none left, sockets are not read. That is the backpressure.

Buffers are charged for bytes received, never for bytes promised, so a client that declares 10 GiB and sends nothing
holds nothing. Memory comes back when a part was sent, and a part is sent only when it is full. Were every byte held by
parts half filled, none could be finished and none freed. So the budget knows how long the part is that each body fills,
and grants nothing after which the parts begun could not all be finished, one after another, each with what is free and
with what those before it give back (the banker's algorithm). A part is

- *usual* (at most `usual_bytes`): it gets memory as long as the whole rest of it fits beside the bytes that stay;
- *large* (those of blobs of many GiB): what is left after each grant holds a usual part, so that all usual ones finish
  whatever the large ones do; and the large ones can be finished in some order with the memory of the usual ones.

*Bytes that stay* are those of parts being filled, and those lent for reading ahead; full parts on their way to the
store free themselves.

Waiters are served in the order in which they came: a thousand small uploads are not starved by one of 50 GiB, nor it by
them. Two kinds pass a waiter who cannot be served yet. Who has begun a part may finish it: only that frees memory. And
where what is missing is not memory but the end of another's large part, smaller parts than the waiter's may be begun.

Who holds memory that others wait for must fill it: a client that sends hardly anything is cut (`contested_bytes`).

A body that holds nothing yet is turned away when the queue is too long: better now, with a time to come back, than
after a timeout.
"""

from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import trio

from zotpy.core.errors import TooManyRequests, Unavailable

if TYPE_CHECKING:
    from collections.abc import Callable

MOST_READ_BYTES = 1024 * 1024
LEAST_READ_BYTES = 32 * 1024
READERS = 256
"""So many connections may read ahead of what they are granted and together take no more than is free."""
LONGEST_QUEUE = 1024
"""So many bodies may wait for memory before newcomers are turned away."""
_NOBODY = 1 << 62
"""The part of the smallest waiter passed over, where there is none."""


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


@dataclass(eq=False, slots=True)
class _Waiter:
    account: Account
    size_bytes: int
    granted: trio.Event = field(default_factory=trio.Event)


class MemoryBudget:
    """The budget of one process, in bytes."""

    def __init__(
        self,
        total_bytes: int,
        usual_bytes: int,
        longest_queue: int = LONGEST_QUEUE,
        longest_wait_s: float = float("inf"),
    ) -> None:
        """Share out `total_bytes`; `usual_bytes` is the length of a usual part, and of one read beside it.

        What can be repeated at little cost waits `longest_wait_s` at most.
        """
        if total_bytes < 2 * usual_bytes:
            msg = f"a memory budget of {total_bytes} bytes is too small: {2 * usual_bytes} are needed"
            raise ValueError(msg)
        self.total_bytes = total_bytes
        self.usual_bytes = usual_bytes
        self.used_bytes = 0
        self.peak_bytes = 0
        self.longest_queue = longest_queue
        self.longest_wait_s = longest_wait_s
        self.on_room: Callable[[], None] | None = None
        """Told whenever bytes may be free that nobody here waits for."""
        self._draining_bytes = 0
        self._usual_filled_bytes = 0
        self._large: set[Account] = set()
        """Those with bytes in a large part that is being filled."""
        self._waiting: OrderedDict[_Waiter, None] = OrderedDict()
        self._smallest_passed = _NOBODY
        """A part must be smaller to be begun now; 0 where somebody waits for bytes to be free at all."""

    @property
    def waiting(self) -> int:
        """How many bodies wait for memory."""
        return len(self._waiting)

    @property
    def contested_bytes(self) -> int:
        """How much a body must bring while its client may keep us waiting, where others wait for memory; else 0.

        Then a usual part takes eight such times at most, and whoever would hold all memory has to send it all.
        """
        return self.usual_bytes // 8 if self._waiting else 0

    @property
    def largest_part_bytes(self) -> int:
        """No part may be longer: a usual one finds room beside it."""
        return self.total_bytes - self.usual_bytes

    @property
    def read_bytes(self) -> int:
        """How much to read from a socket at once: a read comes before its grant, so little where memory is short."""
        free = 0 if self._waiting else self.total_bytes - self.used_bytes
        return min(max(free // READERS, LEAST_READ_BYTES), MOST_READ_BYTES)

    def account(self) -> Account:
        """Open an account for one body; close it when the body is done."""
        return Account(self, self.usual_bytes)

    def admit(self) -> None:
        """Let a newcomer wait for memory; raises `TooManyRequests` where the queue is too long."""
        if len(self._waiting) >= self.longest_queue:
            msg = f"this replica is busy, and {len(self._waiting)} uploads wait for memory: try again"
            raise TooManyRequests(msg)

    @contextmanager
    def patience(self) -> Iterator[None]:
        """Wait inside for memory only so long; raises `TooManyRequests` then."""
        try:
            with trio.fail_after(self.longest_wait_s):
                yield
        except trio.TooSlowError:
            raise no_memory(self.longest_wait_s) from None

    async def acquire(self, account: Account, size_bytes: int) -> None:
        """See `Account.acquire`."""
        self._check_size(account.filled_bytes + account.rest_bytes(size_bytes))
        if self._has_turn(account, size_bytes):
            self._grant(account, size_bytes)
            await trio.lowlevel.checkpoint_if_cancelled()
            return
        if not account.held_bytes:
            self.admit()
        waiter = _Waiter(account, size_bytes)
        self._waiting[waiter] = None
        self._pass_over(waiter)
        try:
            await waiter.granted.wait()
        except trio.Cancelled:
            if not waiter.granted.is_set():
                del self._waiting[waiter]
                self._serve()
            raise

    def try_acquire(self, account: Account, size_bytes: int) -> bool:
        """Take `size_bytes` if nobody waits and they are free; never of what parts need to be finished."""
        if self._waiting or self.used_bytes + size_bytes > self.total_bytes - self.usual_bytes:
            return False
        if not self._can_be_finished(self._large, size_bytes):
            return False
        self._hold(account, size_bytes)
        return True

    def release(self, account: Account, size_bytes: int) -> None:
        """See `Account.release`."""
        drained = min(size_bytes, account.draining_bytes)
        account.draining_bytes -= drained
        self._draining_bytes -= drained
        account.held_bytes -= size_bytes
        self.used_bytes -= size_bytes
        dropped = account.filled_bytes - (account.held_bytes - account.draining_bytes)
        if dropped > 0:
            self._fill(account, -dropped)
        self._serve()

    def part_is_full(self, account: Account) -> None:
        """See `Account.part_is_full`."""
        if account.filled_bytes:
            account.draining_bytes += account.filled_bytes
            self._draining_bytes += account.filled_bytes
            self._fill(account, -account.filled_bytes)
            self._serve()

    def _check_size(self, part_bytes: int) -> None:
        """Raise `Unavailable` where a part would wait for ever; it was planned by a replica with a larger budget."""
        if part_bytes > self.largest_part_bytes:
            msg = (
                f"this upload has parts of {part_bytes} bytes, but this replica's memory holds no part above "
                f"{self.largest_part_bytes}: give all replicas the same upload.memoryBudget and upload.partSize"
            )
            raise Unavailable(msg)

    def _has_turn(self, account: Account, size_bytes: int) -> bool:
        """Say whether bytes may be granted now, ahead of those who were passed over."""
        free = self.total_bytes - self.used_bytes
        if size_bytes > free:
            return False
        if not account.filled_bytes and self._rank(account) >= self._smallest_passed:
            return False
        if account.filled_bytes and self._smallest_passed == 0 and account.rest_bytes(size_bytes) > free:
            return False
        if self._is_large(account):
            return self._can_be_finished({*self._large, account}, size_bytes, account)
        return account.rest_bytes(size_bytes) <= free + self._draining_bytes

    def _can_be_finished(self, large: set[Account], size_bytes: int, taker: Account | None = None) -> bool:
        """Say whether all parts begun, these large ones among them, can be finished once `taker` has `size_bytes` more.

        The usual ones are finished first, for which one's length is enough, and leave their memory to the large ones.
        """
        available = self.total_bytes - self.used_bytes + self._draining_bytes - size_bytes - self.usual_bytes
        if available < 0:
            return False
        available += self._usual_filled_bytes
        parts = [(account.rest_bytes(0), account.filled_bytes) for account in large if account is not taker]
        if taker is not None:
            parts.append((taker.rest_bytes(size_bytes) - size_bytes, taker.filled_bytes + size_bytes))
        for rest, filled in sorted(parts):
            if rest > available:
                return False
            available += filled
        return True

    def _is_large(self, account: Account) -> bool:
        return account.part_bytes > self.usual_bytes

    def _rank(self, account: Account) -> int:
        """Return the length by which smaller parts pass larger ones: usual ones do not pass each other."""
        return max(account.part_bytes, self.usual_bytes)

    def _hold(self, account: Account, size_bytes: int) -> None:
        account.held_bytes += size_bytes
        self.used_bytes += size_bytes
        self.peak_bytes = max(self.peak_bytes, self.used_bytes)

    def _fill(self, account: Account, change_bytes: int) -> None:
        """Keep count of what is in parts being filled."""
        account.filled_bytes += change_bytes
        if not self._is_large(account):
            self._usual_filled_bytes += change_bytes
        elif account.filled_bytes:
            self._large.add(account)
        else:
            self._large.discard(account)

    def _grant(self, account: Account, size_bytes: int) -> None:
        self._hold(account, size_bytes)
        self._fill(account, size_bytes)

    def _pass_over(self, waiter: _Waiter) -> None:
        """Note who may be served before a waiter: fewer if it waits for memory than if for another's large part."""
        free = self.total_bytes - self.used_bytes
        if waiter.size_bytes > free:
            smallest = 0
        elif free + self._draining_bytes - waiter.size_bytes < self.usual_bytes:
            smallest = self.usual_bytes
        else:
            smallest = self._rank(waiter.account)
        self._smallest_passed = min(self._smallest_passed, smallest)

    def _serve(self) -> None:
        """Grant what can be granted, from the front of the queue."""
        self._smallest_passed = _NOBODY
        for waiter in list(self._waiting):
            if self._has_turn(waiter.account, waiter.size_bytes):
                del self._waiting[waiter]
                self._grant(waiter.account, waiter.size_bytes)
                waiter.granted.set()
            else:
                self._pass_over(waiter)
        if self.on_room is not None:
            self.on_room()


def no_memory(waited_s: float) -> TooManyRequests:
    """Return the error of a request that has waited for memory for so long."""
    return TooManyRequests(f"this replica is busy: there was no memory for this request in {waited_s:g} s; try again")
