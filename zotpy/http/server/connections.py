"""Connections of clients: read in large pieces, and cut if a client does not take what it asked for.

hypercorn sends with neither a time limit nor a way to cancel. So a client that stops reading in the middle of a pull
would hold its memory and a connection to the store for ever. Here a client must take what is sent, at a rate that even
a phone in a tunnel has. The cut is a reset, so that the client cannot take what it got for the whole. At a reset the
system also drops what it still held for the client.

HTTP/2 is not offered. hypercorn ends a response that failed in its middle without a word, and the client waits. And one
connection for many bodies would make each wait for all, so that none could slow down alone.
"""

import math
from typing import Any

import structlog
import trio
from hypercorn.config import Config
from hypercorn.events import Closed, Event, RawData, Updated
from hypercorn.trio.tcp_server import TCPServer
from hypercorn.typing import AppWrapper

from zotpy.http import http1
from zotpy.http.server.admission import Admission, Entry
from zotpy.http.server.hypercorn_config import ServerConfig
from zotpy.http.server.protocol import JoiningProtocol, join, left_of_body
from zotpy.http.server.wire import Wire
from zotpy.http.sockets import write_in_bites

END_S = 2.0
"""How long a client has to close its side once we have closed ours. What it still sends is dropped."""
_LATE_HEAD = "the head of the request was not complete in time: send it as a whole"

log = structlog.get_logger()


class BoundedConnection(TCPServer):
    """A connection that ends where its client reads no more, has closed its side, or asks nothing for too long.

    hypercorn starts a task to watch an idle connection at the end of each request, and cancels it when the next
    begins. Here there is one for all of the connection, whose deadline moves.
    """

    config: ServerConfig

    def __init__(self, app: AppWrapper, config: Config, context: Any, state: Any, stream: Any) -> None:
        """Make it, and let its requests know it as `state.connection` of their scope."""
        super().__init__(app, config, context, {**state, "connection": self}, stream)
        self.wire = Wire(stream, self.send_lock, self.config)
        self.stream: Any = self.wire.stream
        self.is_cut = False
        """Its client no longer reads."""
        self.has_ended = False
        """Its client has closed its side."""
        self.is_refused = False
        """Too many connections exist: its requests are answered with 429."""
        self._running = trio.CancelScope()
        self._idle = trio.Event()
        self._idle.set()
        self._idle_scope = trio.CancelScope()
        self._reading = trio.CancelScope()
        self._read_until = math.inf

    @property
    def admission(self) -> Admission:
        """Counts the connections of this replica."""
        assert self.config.admission is not None  # noqa: S101 - `serve` sees to it
        return self.config.admission

    async def run(self) -> None:
        """Serve it, if it is admitted."""
        entry = self.admission.enter(self)
        if entry is Entry.CLOSED:
            return  # the task that accepted it closes it
        self.is_refused = entry is Entry.REFUSED
        try:
            with self._running:
                await super().run()
        finally:
            self.admission.leave(self)

    def give_way(self) -> None:
        """Close, because others need what it holds. No request is under way."""
        if hasattr(self, "protocol"):
            self._idle_scope.cancel()
        else:  # in the handshake
            self._running.cancel()

    async def protocol_send(self, event: Event) -> None:
        """Send bytes, or cut the connection."""
        if isinstance(event, Updated):
            self._note_idle(is_idle=event.idle)
            return
        if not isinstance(event, RawData):
            await self._end()
            return
        async with self.send_lock:
            try:
                await self.wire.send(memoryview(event.data))
            except trio.TooSlowError:
                log.warning("client_cut", reason="it reads no more", seconds=self.config.send_stall_s)
                self.is_cut = True
                self.wire.reset()
                await self.protocol.handle(Closed())
            except (trio.BrokenResourceError, trio.ClosedResourceError, OSError):
                await self.protocol.handle(Closed())

    async def _end(self) -> None:
        """Close our side, and the connection when the client has closed its own, or after `END_S`.

        A socket that is closed with unread bytes resets the connection, and the reset can overtake the last answer (RFC
        9112, section 9.6).
        """
        if math.isinf(self._read_until):
            self._reading.deadline = self._read_until = trio.current_time() + END_S
            try:
                await self.wire.end()
            except (trio.BrokenResourceError, trio.ClosedResourceError):
                self._reading.cancel()
        await self.protocol.handle(Closed())

    async def ask_for_body(self) -> None:
        """Send `100 Continue` if the client waits for it."""
        await self.http1.ask_for_body()

    @property
    def http1(self) -> JoiningProtocol:
        """Set the protocol, once the connection exists."""
        protocol = self.protocol.protocol
        assert isinstance(protocol, JoiningProtocol)  # noqa: S101 - no other is offered
        return protocol

    @property
    def is_waited_at(self) -> bool:
        """The client waits for `100 Continue`, and sends nothing of its body before."""
        return self.http1.connection.client_is_waiting_for_100_continue

    def _is_in_head(self) -> bool:
        """Say whether only a part of a request's head has arrived."""
        return math.isinf(self._read_until) and self.http1.connection.unfinished_bytes > 0

    def _note_idle(self, *, is_idle: bool) -> None:
        if is_idle:
            self.admission.note_idle(self)
            self._idle.set()
            self._idle_scope.deadline = trio.current_time() + self.config.keep_alive_timeout
        else:
            self.admission.note_busy(self)
            self._idle = trio.Event()
            self._idle_scope.deadline = math.inf

    async def _idle_timeout(self) -> None:
        """Close the connection if it was idle for too long, or if it is idle and the server ends."""
        with self._idle_scope:
            await self.context.terminated.wait()
            while not self._idle.is_set():
                await self._idle.wait()
        if not self.has_ended:
            with trio.CancelScope(shield=True):
                if self._is_in_head():
                    await self.http1.refuse(408, _LATE_HEAD)
                    self.http1.connection.forget_received()
                    await self._end()
                else:
                    await self._initiate_server_close()

    async def _read_data(self) -> None:
        join(self.protocol)
        self._note_idle(is_idle=True)
        write_in_bites(self.wire.socket)
        try:
            await self._read_on()
        finally:
            self.wire.patience.end()
        self.has_ended = True
        await self.protocol.handle(Closed())
        self._idle_scope.cancel()  # no task waits for the connection to be idle for long, once its client has left

    async def _read_on(self) -> None:
        """Read to the end of what the client sends, or of what we want of it."""
        while True:
            data: bytes | bytearray = b""
            try:
                with trio.CancelScope(deadline=self._read_until) as self._reading:
                    left = left_of_body(self.protocol)
                    data = await self.wire.receive(left, self._most_to_read(left))
            except (trio.ClosedResourceError, trio.BrokenResourceError, OSError):
                break
            if self._reading.cancelled_caught:
                break
            if data and not math.isinf(self._read_until):
                continue  # we have closed our side, and wait for the client to close its own
            try:
                await self.protocol.handle(RawData(bytes(data)))
            except Exception:
                log.exception("internal_error")  # a fault of ours ends this connection, not the whole replica
                break
            self.wire.patience.note(len(data), in_body=left_of_body(self.protocol) != 0)
            if not data:
                break
            if self._is_in_head() and self.admission.note_head(self, self.http1.connection.unfinished_bytes):
                self._idle_scope.deadline = trio.current_time() + self.config.head_timeout_s

    def _most_to_read(self, left_bytes: int | None) -> int:
        """Say how much to read at once, if this much is left of a body.

        Bytes behind a request are held, outside the memory budget, until the request is answered. So little is read if
        such bytes may come: at a head, and at the end of a body.
        """
        if left_bytes == 0:
            return http1.MOST_AHEAD_BYTES
        most_bytes = self.config.read_bytes()
        return most_bytes if left_bytes is None else min(most_bytes, left_bytes)
