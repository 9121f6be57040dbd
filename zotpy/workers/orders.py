"""What supervisor and worker say to each other.

The supervisor gives an order, words to reload, and in the end the word to stop. The worker gives beats, for as long as
its event loop runs, and one report. All but the order are lines.
"""

import base64
import json
import pickle
import socket
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from zotpy.settings import AccessSettings, LogSettings, Settings

STOP = b"!"
"""A line of the supervisor. If the link ends without it, the supervisor has died."""
BEAT = b""
"""A line of the worker."""
BEATS = 4
"""How many beats a worker sends in the time after which a silent worker is considered hung."""
_LENGTH_BYTES = 8


@dataclass(frozen=True, slots=True)
class Order:
    """The order to a worker."""

    worker: int
    """Its index, from 1."""
    settings: Settings
    """The store is always named, also if it is the embedded one."""
    listener: int
    """The descriptor of the bound socket that it inherits."""
    metrics: Path
    """The directory of all workers' metrics."""

    def encode(self) -> bytes:
        """Write the order, its length before it, for `receive`."""
        order = pickle.dumps(self)
        return len(order).to_bytes(_LENGTH_BYTES) + order

    @staticmethod
    def receive(link: socket.socket) -> "Order":
        """Read the order and nothing beyond it: the word to stop may follow at once.

        Raises `EOFError` if the supervisor has ended.
        """
        size_bytes = int.from_bytes(_receive_exactly(link, _LENGTH_BYTES))
        order = pickle.loads(_receive_exactly(link, size_bytes))  # noqa: S301 - from the process that started us
        if not isinstance(order, Order):
            raise TypeError(order)
        return order


@dataclass(frozen=True, slots=True)
class Reload:
    """Word to check what is on the disk again, certificates and the log's file, and what holds from now on."""

    log: LogSettings
    access: AccessSettings | None = None

    def encode(self) -> bytes:
        """Write it as one line, without its end."""
        return base64.b64encode(pickle.dumps(self))

    @staticmethod
    def decode(line: bytes) -> "Reload":
        """Read it."""
        reload = pickle.loads(base64.b64decode(line))  # noqa: S301 - from the process that started us
        if not isinstance(reload, Reload):
            raise TypeError(reload)
        return reload


@dataclass(frozen=True, slots=True)
class Report:
    """What became of a worker's start."""

    listening: tuple[str, ...] = ()
    """The URLs at which it answers."""
    failure: str = ""
    """Why it cannot start."""

    def encode(self) -> bytes:
        """Write the report as one line, without its end."""
        return json.dumps({"listening": self.listening, "failure": self.failure}).encode()

    @staticmethod
    def decode(line: bytes) -> "Report":
        """Read a report."""
        fields = json.loads(line)
        return Report(tuple(fields["listening"]), fields["failure"])


class Lines:
    """Splits a stream of bytes into lines. A line that is cut short by the other side's end does not count."""

    def __init__(self, receive: Callable[[], Awaitable[bytes]]) -> None:
        """`receive` returns what has come, nothing at the end."""
        self._receive = receive
        self._rest = b""

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        while b"\n" not in self._rest:
            received = await self._receive()
            if not received:
                raise StopAsyncIteration
            self._rest += received
        line, _, self._rest = self._rest.partition(b"\n")
        return line


def _receive_exactly(link: socket.socket, size_bytes: int) -> bytes:
    received = b""
    while len(received) < size_bytes:
        piece = link.recv(size_bytes - len(received))
        if not piece:
            raise EOFError
        received += piece
    return received
