"""A client at the far end of a link: it sends in small pieces, or takes through a small window, at the link's pace."""

import socket
import time
from dataclasses import dataclass

from bench.clients.connection import TIMEOUT_S, Connection, Take, Traffic, connected
from bench.clients.content import Buffers
from bench.clients.endpoint import Endpoint

LATE_S = 0.05
SEGMENT_BYTES = 1448
"""As over Ethernet; the 64 KiB of loopback would not fit into a small window."""


@dataclass(frozen=True)
class Link:
    """How a client uses its link."""

    bytes_per_s: float
    piece_bytes: int
    """How many bytes one call to the system sends or takes."""
    window_bytes: int | None = None
    """The receive buffer, half of which is window; `None`: what the system gives."""


class PacedConnection(Connection):
    """A connection whose bodies go at the pace of a link."""

    def __init__(self, where: Endpoint | int, link: Link, traffic: Traffic | None = None) -> None:
        """Connect; a small window is in force from the first packet."""
        self._link = link
        self._due = 0.0
        self.receive_bytes = link.piece_bytes
        super().__init__(where, traffic)

    def _open(self) -> socket.socket:
        plain = socket.socket()
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, SEGMENT_BYTES)
        if self._link.window_bytes is not None:
            plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, self._link.window_bytes)
        plain.settimeout(TIMEOUT_S)
        plain.connect((self.endpoint.host, self.endpoint.port))
        return connected(self.endpoint, plain)

    def _send(self, buffers: Buffers) -> None:
        for buffer in buffers:
            view = memoryview(buffer)
            for start in range(0, len(view), self._link.piece_bytes):
                piece = view[start : start + self._link.piece_bytes]
                self._wait_for(len(piece))
                super()._send([piece])

    def _receive(self, length: int, take: Take) -> None:
        def take_in_time(piece: memoryview) -> None:
            take(piece)
            self._wait_for(len(piece))

        super()._receive(length, take_in_time)

    def _wait_for(self, count: int) -> None:
        """Wait until the link has room for so many more bytes."""
        now = time.monotonic()
        # A link does not make up for time in which nothing was sent, but for a scheduler's delays.
        self._due = max(self._due, now - LATE_S) + count / self._link.bytes_per_s
        if (early_s := self._due - now) > 0:
            time.sleep(early_s)
