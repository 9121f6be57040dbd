"""How much the system holds of bodies for this process: its share for each connection, of clients and to the store."""

import fcntl
import os
import socket
import struct
import sys
import termios
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import trio

UNSENT_BYTES = 512 * 1024
"""How many bytes the system holds for each connection that are not on their way yet; more for a long answer."""
SHARED_BYTES = 64 * 1024 * 1024
"""How much all bodies that come in may leave with the system; those that go out may leave twice as much."""
SHARE_OF_BUDGET = 8
"""The system may hold one part in so many of the memory budget, besides the budget."""
MOST_BITE_BYTES = 2 * 1024 * 1024
MOST_UNSENT_BYTES = 2 * 1024 * 1024
"""More than this gave nothing."""
LEAST_BITE_BYTES = 64 * 1024
_TCP_NOTSENT_LOWAT = 25
"""The number on Linux; Python 3.11 has no name for it."""


class Shares:
    """Divides what the system may hold among the bodies under way in one direction."""

    def __init__(self, shared_bytes: int = SHARED_BYTES) -> None:
        """Begin with no body. `shared_bytes` is for all of them together, as long as there are at most 1,000."""
        self._shared_bytes = shared_bytes
        self.bodies = 0
        """How many bodies are under way."""

    @property
    def bite_bytes(self) -> int:
        """How much one body may gather, from `LEAST_BITE_BYTES` to `MOST_BITE_BYTES`: less, the more there are."""
        return max(LEAST_BITE_BYTES, min(MOST_BITE_BYTES, self._shared_bytes // max(1, self.bodies)))


def shared_bytes_of(budget_bytes: int) -> int:
    """Return how much the system may hold of bodies in one direction beside a memory budget."""
    return min(SHARED_BYTES, budget_bytes // SHARE_OF_BUDGET)


def write_in_bites(opened: trio.socket.SocketType, unsent_bytes: int = UNSENT_BYTES) -> None:
    """Let the system wait for room for half of `unsent_bytes` before it calls a socket writable.

    trio asks for 16 KiB (`TCP_NOTSENT_LOWAT`), which suits programs that may change their mind about what they send
    next. But then each turn of the loop writes what one window of the peer has freed, which is some KiB over a link.
    """
    if sys.platform == "linux" and opened.family in {socket.AF_INET, socket.AF_INET6}:
        opened.setsockopt(socket.IPPROTO_TCP, _TCP_NOTSENT_LOWAT, unsent_bytes)


def send_buffer_of(tcp_wmem: str, wmem_max: str) -> int | None:
    """Return how far the system lets a send buffer grow, in bytes; `None` if none may begin with that much.

    The texts are those of the settings `net.ipv4.tcp_wmem` and `net.core.wmem_max` (tcp(7), socket(7)). Raises
    `ValueError`, `IndexError`.
    """
    longest_bytes = int(tcp_wmem.split()[2])
    return longest_bytes if longest_bytes <= 2 * int(wmem_max) else None  # the system doubles what is asked for


@cache
def longest_send_buffer() -> int | None:
    """Return the same for this system; `None` also if it does not say."""
    settings = Path("/proc/sys/net")
    try:
        return send_buffer_of((settings / "ipv4/tcp_wmem").read_text(), (settings / "core/wmem_max").read_text())
    except (OSError, ValueError, IndexError):
        return None


class Unsent:
    """How much the system holds of what one connection sends, before it is on its way."""

    def __init__(self, shares: Shares) -> None:
        """Begin with `UNSENT_BYTES`. `shares` says how much one of the long bodies may have."""
        self._shares = shares
        self._unsent_bytes = UNSENT_BYTES
        self._is_grown = False

    @contextmanager
    def long_body(self, opened: trio.socket.SocketType) -> Iterator[None]:
        """Let the system hold two bites of a long body, so that each turn of the event loop sends many bytes.

        It holds no more than `MOST_UNSENT_BYTES`.
        """
        self._shares.bodies += 1
        try:
            unsent_bytes = min(MOST_UNSENT_BYTES, 2 * self._shares.bite_bytes)
            if unsent_bytes != self._unsent_bytes:
                self._unsent_bytes = unsent_bytes
                write_in_bites(opened, unsent_bytes)
            self._grow(opened)
            yield
        finally:
            self._shares.bodies -= 1

    def _grow(self, opened: trio.socket.SocketType) -> None:
        """Let the send buffer be as long at once as the system would let it grow.

        It grows with what is on its way. So if the peer's window is small, the buffer has room for less than a bite,
        and is called writable when a third of that is free. How much may be unsent is limited all the same.
        """
        if not self._is_grown:
            self._is_grown = True
            if (longest_bytes := longest_send_buffer()) is not None:
                opened.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, longest_bytes // 2)


class LeastReadable:
    """How many bytes must be here before the system calls one socket readable (socket(7), `SO_RCVLOWAT`)."""

    def __init__(self) -> None:
        """Begin as the system does: any byte is enough."""
        self.least_bytes = 1

    def ask(self, opened: trio.socket.SocketType, least_bytes: int) -> None:
        """Wait for so many from now on, 1 or more. It costs a call to the system only if the number changes."""
        if least_bytes != self.least_bytes:
            opened.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, least_bytes)
            self.least_bytes = least_bytes


def ensure_open(opened: trio.socket.SocketType) -> None:
    """Raise `trio.ClosedResourceError` if another task has closed the socket: to wait for it is then no `OSError`."""
    if opened.fileno() < 0:
        raise trio.ClosedResourceError


def received_bytes(opened: trio.socket.SocketType) -> int:
    """Return how many bytes the system holds that were received and not read (tcp(7), SIOCINQ).

    Raises `trio.ClosedResourceError`.
    """
    ensure_open(opened)
    count: int = struct.unpack("i", fcntl.ioctl(opened.fileno(), termios.FIONREAD, bytes(4)))[0]
    return count


Read = Callable[[trio.socket.SocketType, int], bytes | bytearray]
"""Reads up to so many bytes that are here, as `read` does."""


def read(opened: trio.socket.SocketType, most_bytes: int) -> bytes:
    """Read what is here, none at the end. Raises `OSError`."""
    return os.read(opened.fileno(), most_bytes)


async def receive_here(
    opened: trio.socket.SocketType, most_bytes: int, read_now: Read = read, *, has_waited: bool = False
) -> bytes | bytearray:
    """Receive what is here, none at the end, after one turn of the event loop at least.

    `has_waited`: that turn has passed in a wait for this socket, so none is added to it. Otherwise the socket is waited
    for before the first attempt: one that fails costs a call to the system.

    Raises `trio.ClosedResourceError`, `OSError`.
    """
    while True:
        ensure_open(opened)
        if not has_waited:
            await trio.lowlevel.wait_readable(opened)
        try:
            return read_now(opened, most_bytes)
        except BlockingIOError:
            has_waited = False
