"""How fast a client must take its answers.

A client that reads nothing would hold the memory of its answer, and a connection to the store, for ever. So it must
take 64 KiB in each stall timeout. While others wait for what its answer holds, it must take more, as the bodies of
pushes must bring more. Otherwise a hundred clients that read 2 KB a second, each within the rule, would stop all pulls.
"""

from collections.abc import Awaitable, Callable
from functools import partial

import trio

PROGRESS_BYTES = 64 * 1024
"""How much a client must take within the stall timeout."""


class Pace:
    """The pace of one connection. Only waits for its client count, not those for the store."""

    def __init__(self, stall_s: float, contested_bytes: Callable[[], int]) -> None:
        """Let a client take `stall_s` for its progress.

        `contested_bytes` says how much it must take now because others wait.
        """
        self._stall_s = stall_s
        self._contested_bytes = contested_bytes
        self._waited_s = 0.0
        self._taken_bytes = 0
        self.holds = False
        """The answer holds memory, or a connection to the store, that others may wait for."""

    def begin(self, *, holds: bool) -> None:
        """Begin an answer, or end one."""
        self.holds = holds
        self._waited_s, self._taken_bytes = 0.0, 0

    async def send_all(
        self,
        send_some: Callable[[memoryview], Awaitable[int]],
        data: memoryview,
        send_now: Callable[[memoryview], int] = lambda _: 0,
    ) -> None:
        """Send all of it with `send_some`, which returns how much was taken. `send_now` sends what needs no wait.

        Raises `trio.TooSlowError` without progress.

        It is shielded, as in hypercorn: half an event would spoil the next one.
        """
        if sent_bytes := send_now(data):
            self.note(sent_bytes, 0.0)
            if sent_bytes == len(data):
                return
            data = data[sent_bytes:]
        while data:
            sent_bytes = await self.send_once(partial(send_some, data))
            data = data[sent_bytes:]

    async def send_once(self, send_some: Callable[[], Awaitable[int]]) -> int:
        """Send what `send_some` can, and return how much that was. Raises as `send_all`."""
        asked_at = trio.current_time()
        sent_bytes = 0
        with trio.CancelScope(shield=True, deadline=asked_at + self._stall_s - self._waited_s) as scope:
            sent_bytes = await send_some()
        if scope.cancelled_caught:
            raise trio.TooSlowError
        self.note(sent_bytes, trio.current_time() - asked_at)
        return sent_bytes

    def note(self, taken_bytes: int, waited_s: float) -> None:
        """Note that the client took bytes, after a wait."""
        self._waited_s += waited_s
        self._taken_bytes += taken_bytes
        asked_bytes = self._contested_bytes() if self.holds else 0
        if self._taken_bytes >= max(PROGRESS_BYTES, asked_bytes):
            self._waited_s, self._taken_bytes = 0.0, 0
