"""Reading in *bites*: the bytes of a body gather in the socket before they are read.

Over a link bytes come in pieces of some KiB. Each read takes them through trio, hypercorn, h11 and the pipeline, which
costs about the same for 4 KiB as for 1 MiB. So a read waits until the socket holds a bite (`SO_RCVLOWAT`) or all that
is left of the body, or until some time has passed.

Nothing waits for bytes that may not come. If the length of a body is known, the last bite is what is left of it. The
end of a body in chunks is not known. So zotpy waits little longer than a bite took until then, and only while bytes go
on to arrive. It reads a short body, and the first bytes of any, as they come.
"""

from contextlib import AbstractContextManager

import trio

from zotpy.http.server.pauses import Pauses
from zotpy.http.silences import Silences, Wait
from zotpy.http.sockets import LeastReadable, Shares, ensure_open, received_bytes

EAGER_BYTES = 64 * 1024
"""The first bytes of each body, up to this number, are read as they come."""
LONGEST_WAIT_S = 0.3
"""The longest wait for a slow client's bytes: whether a client stalls is judged by what was read."""
SHORT_WAIT_S = 0.04
"""A bite that takes no longer is waited for whether bytes come or not: a pause would be noticed no sooner."""
SHORTEST_PAUSE_S, LONGEST_PAUSE_S = 0.02, 0.1
PAUSE_SHARE = 0.05
"""If the length is not known and nothing comes for this share of the body's time, the body may have ended.

A bite may take longer than the ones before by this share, too."""


class Patience:
    """How one connection waits for the next bytes."""

    def __init__(self, shares: Shares, pauses: Pauses, silences: Silences) -> None:
        """Begin with a connection that has received nothing.

        `shares` says how long a bite may be, `pauses` notices that a body may have ended, and `silences` ends a wait.
        """
        self._shares = shares
        self._pauses = pauses
        self._silences = silences
        self._wait = Wait()
        self._body_bytes = 0
        self._began = 0.0
        self._least = LeastReadable()
        self._gathers = False
        """The body is counted among those that share what the system holds."""

    def note(self, count: int, *, in_body: bool) -> None:
        """Take note of a read of `count` bytes, and of whether a body goes on after it."""
        if not in_body:
            self._body_bytes = 0
            self.end()
            return
        if not self._body_bytes:
            self._began = trio.current_time()
        self._body_bytes += count

    def end(self) -> None:
        """Leave the share to others: the body, or its connection, has ended."""
        if self._gathers:
            self._gathers = False
            self._shares.bodies -= 1

    def most(self, most_bytes: int) -> int:
        """Return how much of a body to read at once, up to `most_bytes`: a read comes before its memory is granted."""
        if not self._gathers:
            self._gathers = True
            self._shares.bodies += 1
        return min(most_bytes, self._shares.bite_bytes)

    async def gather(self, opened: trio.socket.SocketType, left_bytes: int | None, most_bytes: int) -> bool:
        """Wait for `most_bytes` of a body of which `left_bytes` are left (`None`: unknown), if that pays.

        Return whether there was a wait: if so, the event loop has had a turn. Raises `trio.ClosedResourceError`.
        """
        if self._body_bytes < EAGER_BYTES:
            return False
        bite = _bite(left_bytes, most_bytes)
        if received_bytes(opened) >= bite:
            return False
        self._least.ask(opened, bite)
        with self._limited(opened, bite, is_end_known=left_bytes is not None):
            await trio.lowlevel.wait_readable(opened)
        self._least.ask(opened, 1)
        return True

    async def gather_soon(self, opened: trio.socket.SocketType, left_bytes: int | None, most_bytes: int) -> bool:
        """Do the same for a task that alone waits for the socket. Return whether the event loop has had a turn.

        Afterwards the system may wait for as many bytes again: `take_any` comes before a wait for fewer. So a long body
        costs no call to the system for it, nor a look whether the bite is here, which ends the wait at once.
        """
        if self._body_bytes < EAGER_BYTES:
            return False
        if left_bytes is None:
            if not await self.gather(opened, left_bytes, most_bytes):
                await trio.lowlevel.checkpoint()
            return True
        ensure_open(opened)
        self._least.ask(opened, _bite(left_bytes, most_bytes))
        wait = self._wait
        wait.due = trio.current_time() + LONGEST_WAIT_S
        try:
            await self._silences.until_readable(opened, wait)
        except trio.ClosedResourceError:
            if not wait.is_late:
                raise
        return True

    def take_any(self, opened: trio.socket.SocketType) -> None:
        """Let any byte be enough for the next wait. Raises `OSError`."""
        if self._least.least_bytes != 1:
            self._least.ask(opened, 1)

    def is_bite_here(self, opened: trio.socket.SocketType, left_bytes: int | None, most_bytes: int) -> bool:
        """Say whether `gather` would not wait for bytes after the first ones. Raises `trio.ClosedResourceError`."""
        return self._body_bytes >= EAGER_BYTES and received_bytes(opened) >= _bite(left_bytes, most_bytes)

    def _limited(
        self, opened: trio.socket.SocketType, bite: int, *, is_end_known: bool
    ) -> AbstractContextManager[object]:
        """Limit the wait for a bite inside. Raises `trio.ClosedResourceError`."""
        if is_end_known:
            return trio.move_on_after(LONGEST_WAIT_S)
        seconds = trio.current_time() - self._began
        longest_s = min(LONGEST_WAIT_S, seconds * (bite / self._body_bytes + PAUSE_SHARE))
        if longest_s <= SHORT_WAIT_S:
            return trio.move_on_after(longest_s)
        pause_s = min(max(SHORTEST_PAUSE_S, seconds * PAUSE_SHARE), LONGEST_PAUSE_S)
        return self._pauses.ending(opened, pause_s, longest_s)


def _bite(left_bytes: int | None, most_bytes: int) -> int:
    """Return how many bytes are worth a read: what is left of a body, if that is less than it may take at once."""
    return most_bytes if left_bytes is None else max(1, min(left_bytes, most_bytes))
