"""The socket on which systemd would hear of a service."""

from __future__ import annotations

import socket
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

DEADLINE_S = 60.0


class NoticeSocket:
    """Receives the messages of a service in the place of systemd."""

    def __init__(self, opened: socket.socket, address: str) -> None:
        """Receive from a bound socket; `address` is what `NOTIFY_SOCKET` holds."""
        self.socket = opened
        self.address = address

    def receive(self, deadline_s: float = DEADLINE_S) -> list[str]:
        """Wait for a message and return its lines; no message in time is a `TimeoutError`."""
        self.socket.settimeout(deadline_s)
        return self.socket.recv(65536).decode().split("\n")

    def received(self) -> list[list[str]]:
        """Return the messages that have come by now."""
        messages = []
        while True:
            try:
                messages.append(self.receive(0))
            except BlockingIOError:
                return messages

    def receive_until(self, line: str) -> list[list[str]]:
        """Return all messages up to the first with this line."""
        messages = [self.receive()]
        while line not in messages[-1]:
            messages.append(self.receive())
        return messages


@contextmanager
def notice_socket(abstract: str | None = None) -> Iterator[NoticeSocket]:
    """Listen at a path, or at `@` and an abstract name, for the block.

    The path is short: a socket's has 107 bytes at most, and the directory of a test may take all of them.
    """
    with (
        tempfile.TemporaryDirectory(prefix="zotpy") as directory,
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as opened,
    ):
        address = str(Path(directory) / "notify") if abstract is None else abstract
        opened.bind(address if abstract is None else "\0" + abstract.removeprefix("@"))
        yield NoticeSocket(opened, address)
