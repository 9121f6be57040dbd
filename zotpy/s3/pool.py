"""Connections to one service. Their number is bounded, and the one that was used last is taken first.

A request first waits for one of `limit` places. A request with a place takes an idle connection or makes one, and never
waits for anything else. So one that is cancelled while it waits leaves nothing behind, and no request looks at more
connections than it needs. httpcore's pool has both faults.
"""

from collections import deque
from collections.abc import Callable
from functools import partial

import trio

from zotpy.http.client.answer_parser import AnswerParser
from zotpy.http.client.connection import ClientConnection
from zotpy.http.client.outgoing import Outgoing
from zotpy.http.client.time_limits import no_answer_due
from zotpy.trio_clock import clock_reader

LOOK_EVERY_S = 1.0
"""How often the connection that has been idle for the longest is looked at: to ask the system costs a call."""


class ConnectionPool:
    """At most `limit` connections. `connect` makes one if none is idle."""

    def __init__(self, connect: Callable[[], ClientConnection], limit: int) -> None:
        """Make nothing yet."""
        self._connect = connect
        self._limit = limit
        self._places = trio.Semaphore(limit)
        self._now = clock_reader()
        self._idle: deque[ClientConnection] = deque()
        self._look_at = 0.0
        """When the oldest idle connection is looked at again, on trio's clock."""

    @property
    def idle(self) -> int:
        """How many connections wait for a request."""
        return len(self._idle)

    @property
    def busy(self) -> int:
        """How many requests hold a place."""
        return self._limit - self._places.value

    async def send(self, request: Outgoing) -> "Received":
        """Send a request when its turn comes, and receive the head of its answer. Raises `TransportError`."""
        try:
            self._places.acquire_nowait()
        except trio.WouldBlock:
            with no_answer_due(request.time):
                await self._places.acquire()
        try:
            connection = self._next()
            while connection.has_expired(self._now()):
                await _close(connection)
                connection = self._next()
            try:
                return Received(self, connection, await connection.send(request))
            except BaseException:
                await _close(connection)
                raise
        except BaseException:
            self._places.release()
            raise

    async def give_back(self, connection: ClientConnection) -> None:
        """Keep a connection whose answer was read to its end, close any other, and free the request's place."""
        try:
            now = self._now()
            if connection.finish(now):
                self._idle.append(connection)
            else:
                await _close(connection)
            if now >= self._look_at:
                self._look_at = now + LOOK_EVERY_S
                while self._idle and self._idle[0].has_expired(now):  # the one that has been unused for the longest
                    await _close(self._idle.popleft())
        finally:
            self._places.release()

    async def aclose(self) -> None:
        """Close the idle connections. The user of a connection closes it while it is in use."""
        while self._idle:
            await _close(self._idle.pop())

    def _next(self) -> ClientConnection:
        return self._idle.pop() if self._idle else self._connect()


class Received:
    """An answer whose body has still to be received.

    It is no generator: a reader may stop anywhere, and the garbage collector finds nothing.
    """

    __slots__ = ("aclose", "headers", "is_success", "receive", "status")

    def __init__(self, pool: ConnectionPool, connection: ClientConnection, answer: AnswerParser) -> None:
        """Hold a place of the pool until `aclose`, which is called once."""
        self.status = status = answer.status
        self.is_success = 200 <= status < 300  # noqa: PLR2004
        self.headers = answer.headers
        self.receive = connection.receive
        self.aclose = partial(pool.give_back, connection)


async def _close(connection: ClientConnection) -> None:
    with trio.CancelScope(shield=True):  # closing waits for no peer
        await connection.aclose()
