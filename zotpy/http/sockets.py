"""How much the system holds of what is sent, for connections of both sides: those of clients and those to the store."""

import socket
import sys

import trio

UNSENT_BYTES = 512 * 1024
"""The system holds as much for each connection that is not on its way yet."""
_TCP_NOTSENT_LOWAT = 25
"""Linux's; Python 3.11 has no name for it."""


def write_in_bites(opened: trio.socket.SocketType) -> None:
    """Have the system wait for room for a bite (256 KiB) before it calls a socket writable.

    trio asks for 16 KiB (`TCP_NOTSENT_LOWAT`), which suits programs that may change their mind about what they send
    next. Then each turn of the loop writes what one window of the peer has freed, some KiB over a link.
    """
    if sys.platform == "linux" and opened.family in {socket.AF_INET, socket.AF_INET6}:
        opened.setsockopt(socket.IPPROTO_TCP, _TCP_NOTSENT_LOWAT, UNSENT_BYTES)
