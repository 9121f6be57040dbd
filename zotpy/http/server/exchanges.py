"""The ordinary requests of one connection: answered one after another, in the task that reads the connection.

While that task answers, it reads nothing but the request's body. If the request takes long, the connection's vigil
reads in its place (`zotpy.http.server.vigil`).
"""

from typing import TYPE_CHECKING

import trio

from zotpy.http import http1
from zotpy.http.server.exchange import Exchange
from zotpy.http.server.heads import read_head

if TYPE_CHECKING:
    from zotpy.http.server.connections import BoundedConnection


class Exchanges:
    """Answers requests as long as each is an ordinary one."""

    def __init__(self, connection: "BoundedConnection") -> None:
        """Take a connection on which nothing was received yet."""
        self._connection = connection
        self._current: Exchange | None = None
        """The request that is being answered."""
        self.ahead = b""
        """What was received behind it while it took long."""

    async def answer(self, received: bytes) -> bytes:
        """Answer the requests that begin with `received`, and return the beginning of another kind, if there is one."""
        connection = self._connection
        app, is_last = connection.config.application, False
        if app is None or connection.is_refused:
            return received
        while not is_last and not connection.has_ended and received:
            head = read_head(received, connection.config.h11_max_incomplete_size)
            if head is None:
                return received
            received = received[head.end :]
            connection.note_idle(is_idle=False, watches=head.length == 0 and not received)
            exchange = self._current = Exchange(connection, app, head, received)
            connection.http1.keep_alive_requests += 1
            try:
                await exchange.run()
            finally:
                self._current = None
            await connection.vigil.watch_no_more()
            is_last = exchange.is_last or connection.context.terminated.is_set()
            received, self.ahead = exchange.behind + self.ahead, b""
            connection.wire.patience.note(0, in_body=False)
            connection.note_idle(is_idle=True)
            if received:  # some hundred requests may be in one piece: others get a turn after each
                await trio.lowlevel.checkpoint()
        if is_last:
            await connection.end()
        return b""

    async def receive_behind(self) -> None:
        """Receive once while a request takes long: perhaps its client has left."""
        try:
            received = await self._connection.wire.receive(0, http1.MOST_AHEAD_BYTES)
        except (trio.ClosedResourceError, trio.BrokenResourceError, OSError):
            received = b""
        if received:
            self.ahead = bytes(received)
        else:
            self._connection.has_ended = True
            if self._current is not None:
                self._current.client_left()
