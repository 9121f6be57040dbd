"""One memory budget for all bodies in a replica. If none is left, sockets are not read: that is the backpressure.

Buffers are charged for bytes received, never for bytes promised. So a client that declares 10 GiB and sends nothing
holds nothing. The ledger says what may be granted without a deadlock (`zotpy.memory.ledger`). This module says who
waits, and whose turn it is.

Waiting bodies are served in the order in which they came: neither does an upload of 50 GiB starve a thousand small
ones, nor do they starve it. Two kinds pass a body that cannot be served yet. A body that has begun a part may finish
it, because only that frees memory. And a body may begin a smaller part than the waiting one, if what is missing is not
memory but the end of another large part.

A client whose body holds memory that others wait for must fill it: if it sends hardly anything, it is cut
(`contested_bytes`).

If the queue is too long, a body that holds nothing yet is refused: a refusal now, with a time to come back, is better
than a timeout later.
"""

from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import trio

from zotpy.core.errors import TooManyRequests
from zotpy.memory.accounts import Account
from zotpy.memory.ledger import Ledger

if TYPE_CHECKING:
    from collections.abc import Callable

MOST_READ_BYTES = 2 * 1024 * 1024
LEAST_READ_BYTES = 32 * 1024
READERS = 128
"""How many connections may read ahead of what they are granted and together take no more than is free."""
LONGEST_QUEUE = 1024
"""How many bodies may wait for memory before newcomers are refused."""
_NOBODY = 1 << 62
"""The part of the smallest body that was passed over; this value if there is none."""


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
        """Share out `total_bytes`. `usual_bytes` is the length of a usual part, and of one read beside it.

        A request that can be repeated at little cost waits at most `longest_wait_s`.
        """
        self.ledger = Ledger(total_bytes, usual_bytes)
        self.total_bytes = total_bytes
        self.usual_bytes = usual_bytes
        self.longest_queue = longest_queue
        self.longest_wait_s = longest_wait_s
        self.on_room: Callable[[], None] | None = None
        """Called whenever bytes may be free for which no body here waits."""
        self._waiting: OrderedDict[_Waiter, None] = OrderedDict()
        self._smallest_passed = _NOBODY
        """A part must be smaller to be begun now; 0 if a body waits for bytes to be free at all."""

    @property
    def used_bytes(self) -> int:
        """What all accounts hold."""
        return self.ledger.used_bytes

    @property
    def peak_bytes(self) -> int:
        """The most that they have held at once."""
        return self.ledger.peak_bytes

    @property
    def has_spare(self) -> bool:
        """Whether no body waits for memory, and a quarter of it is free."""
        return not self._waiting and self.ledger.free_bytes >= self.total_bytes // 4

    @property
    def waiting(self) -> int:
        """How many bodies wait for memory."""
        return len(self._waiting)

    @property
    def contested_bytes(self) -> int:
        """How much a client must send in its time if others wait for memory; otherwise 0.

        A usual part then takes at most eight such times, and a client that wants to hold all memory has to send all of
        it.
        """
        return self.usual_bytes // 8 if self._waiting else 0

    @property
    def largest_part_bytes(self) -> int:
        """The length of the longest part: a usual one finds room beside it."""
        return self.ledger.largest_part_bytes

    @property
    def read_bytes(self) -> int:
        """How much to read from a socket at once: a read comes before its grant, so it is short if memory is short."""
        free = 0 if self._waiting else self.ledger.free_bytes
        return min(max(free // READERS, LEAST_READ_BYTES), MOST_READ_BYTES)

    def account(self) -> Account:
        """Open an account for one body. Close it when the body is done."""
        return Account(self, self.usual_bytes)

    def admit(self) -> None:
        """Let a newcomer wait for memory. Raises `TooManyRequests` if the queue is too long."""
        if len(self._waiting) >= self.longest_queue:
            msg = f"this replica is busy, and {len(self._waiting)} uploads wait for memory: try again"
            raise TooManyRequests(msg)

    @contextmanager
    def patience(self) -> Iterator[None]:
        """Limit the time of waiting for memory inside. Raises `TooManyRequests` after it."""
        try:
            with trio.fail_after(self.longest_wait_s):
                yield
        except trio.TooSlowError:
            raise no_memory(self.longest_wait_s) from None

    async def acquire(self, account: Account, size_bytes: int) -> None:
        """See `Account.acquire`."""
        if self.acquire_now(account, size_bytes):
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

    def acquire_now(self, account: Account, size_bytes: int) -> bool:
        """See `Account.acquire_now`."""
        self.ledger.check_size(account.filled_bytes + account.rest_bytes(size_bytes))
        if not self._has_turn(account, size_bytes):
            return False
        self._grant(account, size_bytes)
        return True

    def try_acquire(self, account: Account, size_bytes: int) -> bool:
        """Take `size_bytes` if no body waits and they are free; never memory that parts need to be finished."""
        if self._waiting or not self.ledger.may_lend(size_bytes):
            return False
        self.ledger.hold(account, size_bytes)
        return True

    def release(self, account: Account, size_bytes: int) -> None:
        """See `Account.release`."""
        self.ledger.release(account, size_bytes)
        self._serve()

    def part_is_full(self, account: Account) -> None:
        """See `Account.part_is_full`."""
        if self.ledger.part_is_full(account):
            self._serve()

    def _has_turn(self, account: Account, size_bytes: int) -> bool:
        """Say whether bytes may be granted now, ahead of those who were passed over."""
        free = self.ledger.free_bytes
        if size_bytes > free:
            return False
        if not account.filled_bytes and self.ledger.rank(account) >= self._smallest_passed:
            return False
        if account.filled_bytes and self._smallest_passed == 0 and account.rest_bytes(size_bytes) > free:
            return False
        return self.ledger.may_grant(account, size_bytes)

    def _grant(self, account: Account, size_bytes: int) -> None:
        self.ledger.grant(account, size_bytes)

    def _pass_over(self, waiter: _Waiter) -> None:
        """Note who may pass a waiting body: fewer if it waits for memory than if it waits for another's large part."""
        free = self.ledger.free_bytes
        if waiter.size_bytes > free:
            smallest = 0
        elif free + self.ledger.draining_bytes - waiter.size_bytes < self.usual_bytes:
            smallest = self.usual_bytes
        else:
            smallest = self.ledger.rank(waiter.account)
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
    """Return the error of a request that has waited this long for memory."""
    return TooManyRequests(f"this replica is busy: there was no memory for this request in {waited_s:g} s; try again")
