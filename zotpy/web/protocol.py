"""HTTP/1 as hypercorn speaks it, with h11 for large bodies, and with the head of an answer sent together with its body.

hypercorn makes a call to the system, with a lock and a time limit around it, for each of head, body and end. An answer
of a registry is mostly a head alone, or a head and a document.
"""

from typing import Any

import h11
from hypercorn.events import RawData
from hypercorn.protocol import ProtocolWrapper
from hypercorn.protocol.h11 import H11Protocol

from zotpy import http1

TOGETHER_BYTES = 64 * 1024
"""A longer piece is not copied behind the head."""


class JoiningProtocol(H11Protocol):
    """One connection."""

    def __init__(self, *arguments: Any) -> None:
        """Take what hypercorn's takes."""
        super().__init__(*arguments)
        self.connection = http1.Connection(h11.SERVER, self.config.h11_max_incomplete_size)
        self._head = b""
        """Of an answer of which nothing was sent yet."""

    async def _send_h11_event(self, event: Any) -> None:
        try:
            data: bytes = self.connection.send(event) or b""
        except h11.LocalProtocolError:
            if self.connection.their_state != h11.ERROR:
                raise
            return
        if isinstance(event, h11.Response):
            self._head = data
            return
        head, self._head = self._head, b""
        if head and len(data) > TOGETHER_BYTES:
            await self.send(RawData(head))
        else:
            data = head + data
        if data:
            await self.send(RawData(data))


def join(wrapper: ProtocolWrapper) -> None:
    """Let a new connection speak HTTP/1 like this, unless HTTP/2 was agreed on."""
    if isinstance(wrapper.protocol, H11Protocol):
        wrapper.protocol = JoiningProtocol(
            wrapper.app,
            wrapper.config,
            wrapper.context,
            wrapper.task_group,
            wrapper.state,
            wrapper.ssl,
            wrapper.client,
            wrapper.server,
            wrapper.send,
        )
