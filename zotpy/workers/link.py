"""What supervisor and worker say to each other: an order, a report, and in the end a word to stop."""

import json
import pickle
import socket
from dataclasses import dataclass
from pathlib import Path

from zotpy.config import Settings

STOP = b"!"
"""Said by the supervisor; where the link ends without it, the supervisor has died."""
_LENGTH_BYTES = 8


@dataclass(frozen=True, slots=True)
class Order:
    """What a worker is told."""

    worker: int
    """Its index, from 1."""
    settings: Settings
    """With the store named, also where it is the embedded one."""
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
        """Read the order and nothing beyond it: the word to stop may come right behind.

        Raises `EOFError` where the supervisor has ended.
        """
        size_bytes = int.from_bytes(_receive_exactly(link, _LENGTH_BYTES))
        order = pickle.loads(_receive_exactly(link, size_bytes))  # noqa: S301 - from the process that started us
        if not isinstance(order, Order):
            raise TypeError(order)
        return order


@dataclass(frozen=True, slots=True)
class Report:
    """What became of a worker's start."""

    listening: tuple[str, ...] = ()
    """The URLs at which it answers."""
    failure: str = ""
    """Why it cannot start."""

    def encode(self) -> bytes:
        """Write the report as one line."""
        return json.dumps({"listening": self.listening, "failure": self.failure}).encode() + b"\n"

    @staticmethod
    def decode(line: bytes) -> "Report":
        """Read a report; a line cut short by the worker's death is an empty one."""
        if not line.endswith(b"\n"):
            return Report()
        fields = json.loads(line)
        return Report(tuple(fields["listening"]), fields["failure"])


def _receive_exactly(link: socket.socket, size_bytes: int) -> bytes:
    received = b""
    while len(received) < size_bytes:
        piece = link.recv(size_bytes - len(received))
        if not piece:
            raise EOFError
        received += piece
    return received
