"""Reading in bites that pay: bytes of a body gather in the socket before they are read.

Over a link bytes come in pieces of some KiB. Each read takes them through trio, hypercorn, h11 and the pipeline, which
costs about the same for 4 KiB as for 256 KiB. So where a body's last read was short, the next one waits until the
socket holds a bite (`SO_RCVLOWAT`), all that is left of the body, or until some time has passed.

Nothing waits for bytes that may not come: of a body with a known length the last bite is what is left of it. A body in
chunks ends at a place that nobody knows: it is waited for at most as long as a bite took at its own rate until then.
A short body, and the first bytes of any, are read as they come.
"""

import socket

import trio

BITE_BYTES = 256 * 1024
"""Read at once of a body that comes slowly. The system holds as much for each connection."""
EAGER_BYTES = 64 * 1024
"""Of each body so many bytes are read as they come."""
LONGEST_WAIT_S = 0.1
"""A slow client's bytes are waited for no longer: what stalls is judged by what was read."""
LONGEST_BLIND_WAIT_S = 0.05
"""The same of a body whose length nobody knows: the end of it may wait for so long."""
TCP_NOTSENT_LOWAT = 25
UNSENT_BYTES = 256 * 1024


class Patience:
    """How one connection waits for the next bytes."""

    def __init__(self) -> None:
        """Begin with a connection that has received nothing."""
        self._body_bytes = 0
        self._began = 0.0
        self._last_bytes = 0
        self._least_bytes = 1
        """`SO_RCVLOWAT`, as it is."""

    def note(self, received_bytes: int, *, in_body: bool) -> None:
        """Take note of a read, and of whether a body goes on after it."""
        if not in_body:
            self._body_bytes = 0
            return
        if not self._body_bytes:
            self._began = trio.current_time()
        self._body_bytes += received_bytes
        self._last_bytes = received_bytes

    async def gather(self, opened: trio.socket.SocketType, left_bytes: int | None, most_bytes: int) -> None:
        """Wait for a bite of a body of which so many bytes are left (`None`: nobody knows), if that pays."""
        bite = min(BITE_BYTES, most_bytes)
        is_last = left_bytes is not None and left_bytes <= bite
        if is_last:
            bite = left_bytes or 1
        if self._body_bytes < EAGER_BYTES or self._last_bytes >= bite:
            self._set_least(opened, 1)
            return
        longest_s = LONGEST_WAIT_S
        if left_bytes is None:
            seconds = trio.current_time() - self._began
            longest_s = min(LONGEST_BLIND_WAIT_S, seconds * bite / self._body_bytes)
        self._set_least(opened, bite)
        with trio.move_on_after(longest_s):
            await trio.lowlevel.wait_readable(opened)
        self._set_least(opened, 1)

    def _set_least(self, opened: trio.socket.SocketType, least_bytes: int) -> None:
        if least_bytes != self._least_bytes:
            opened.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, least_bytes)
            self._least_bytes = least_bytes
