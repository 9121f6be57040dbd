"""Reading in *bites*: the bytes of a body gather in the socket before they are read.

Over a link bytes come in pieces of some KiB. Each read takes them through trio, hypercorn, h11 and the pipeline, which
costs about the same for 4 KiB as for 1 MiB. So if a body's last read was short, the next one waits. It waits until the
socket holds a bite (`SO_RCVLOWAT`) or all that is left of the body, or until some time has passed.

Nothing waits for bytes that may not come. If the length of a body is known, the last bite is what is left of it. The
end of a body in chunks is not known. So zotpy waits at most as long as a bite took until then, and only while bytes go
on to arrive. It reads a short body, and the first bytes of any, as they come.
"""

import trio

from zotpy.http.sockets import LeastReadable, Shares, received_bytes

EAGER_BYTES = 64 * 1024
"""The first bytes of each body, up to this number, are read as they come."""
LONGEST_WAIT_S = 0.3
"""The longest wait for a slow client's bytes: whether a client stalls is judged by what was read."""
SHORTEST_PAUSE_S, LONGEST_PAUSE_S = 0.02, 0.1
PAUSE_SHARE = 0.05
"""If the length is not known and nothing comes for this share of the body's time, the body may have ended."""


class Patience:
    """How one connection waits for the next bytes."""

    def __init__(self, shares: Shares) -> None:
        """Begin with a connection that has received nothing. `shares` says how long a bite may be."""
        self._shares = shares
        self._body_bytes = 0
        self._began = 0.0
        self._last_bytes = 0
        self._least = LeastReadable()
        self._gathers = False
        """The body is counted among those that share what the system holds."""

    def note(self, received_bytes: int, *, in_body: bool) -> None:
        """Take note of a read, and of whether a body goes on after it."""
        if not in_body:
            self._body_bytes = 0
            self.end()
            return
        if not self._body_bytes:
            self._began = trio.current_time()
        self._body_bytes += received_bytes
        self._last_bytes = received_bytes

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

    async def gather(self, opened: trio.socket.SocketType, left_bytes: int | None, most_bytes: int) -> None:
        """Wait for `most_bytes` of a body of which `left_bytes` are left (`None`: unknown), if that pays."""
        if self._body_bytes < EAGER_BYTES:
            return
        bite = most_bytes
        if left_bytes is not None and left_bytes <= bite:
            bite = left_bytes or 1
        if self._last_bytes >= bite:
            return
        self._least.ask(opened, bite)
        if left_bytes is None:
            seconds = trio.current_time() - self._began
            pause_s = min(max(SHORTEST_PAUSE_S, seconds * PAUSE_SHARE), LONGEST_PAUSE_S)
            await _until_it_pauses(opened, pause_s, min(LONGEST_WAIT_S, seconds * bite / self._body_bytes))
        else:
            with trio.move_on_after(LONGEST_WAIT_S):
                await trio.lowlevel.wait_readable(opened)
        self._least.ask(opened, 1)


async def _until_it_pauses(opened: trio.socket.SocketType, pause_s: float, longest_s: float) -> None:
    """Wait until the socket is readable, nothing came for `pause_s`, or `longest_s` has passed."""
    deadline = trio.current_time() + longest_s
    before = received_bytes(opened)
    while (left_s := deadline - trio.current_time()) > 0:
        with trio.move_on_after(min(pause_s, left_s)):
            await trio.lowlevel.wait_readable(opened)
            return
        if (now := received_bytes(opened)) == before:
            return
        before = now
