"""Connections of clients: read in large pieces, and cut if a client does not take what it asked for.

hypercorn sends with neither a time limit nor a way to cancel. So a client that stops reading in the middle of a pull
would hold its memory and a connection to the store for ever. Here a client must take what is sent, at a rate that even
a phone in a tunnel has. The cut is a reset, so that the client cannot take what it got for the whole. At a reset the
system also drops what it still held for the client.

HTTP/2 is not offered. hypercorn ends a response that failed in its middle without a word, and the client waits. And one
connection for many bodies would make each wait for all, so that none could slow down alone.
"""

import math
from contextlib import suppress
from functools import cached_property
from typing import Any

import structlog
import trio
from hypercorn.config import Config
from hypercorn.events import Closed, Event, RawData, Updated
from hypercorn.trio.tcp_server import TCPServer
from hypercorn.typing import AppWrapper

from zotpy.core.file_pieces import FilePiece
from zotpy.http import http1
from zotpy.http.server.admission import Admission, Entry
from zotpy.http.server.exchanges import Exchanges
from zotpy.http.server.hypercorn_config import ServerConfig
from zotpy.http.server.protocol import JoiningProtocol, join, left_of_body
from zotpy.http.server.vigil import Vigil
from zotpy.http.server.wire import Wire
from zotpy.http.server.without_tls import END_S
from zotpy.http.sockets import MOST_BITE_BYTES, Read, write_in_bites

_LATE_HEAD = "the head of the request was not complete in time: send it as a whole"

log = structlog.get_logger()


class BoundedConnection(TCPServer):
    """A connection that ends where its client reads no more, has closed its side, or asks nothing for too long.

    The task that reads it answers ordinary requests itself, see `zotpy.http.server.exchanges`.
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
        self.exchanges = Exchanges(self)
        self.vigil = Vigil(self.exchanges.receive_behind)
        self.heads = self.config.answer_heads
        self.peer = ("", "http")
        """The address of the peer, empty if it has none, and the scheme."""
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
                if not hasattr(self, "protocol"):
                    self.wire.note_failed_handshake()
        finally:
            self.admission.leave(self)

    def give_way(self) -> None:
        """Close, because others need what it holds. No request is under way."""
        if hasattr(self, "protocol"):
            self.vigil.end()
        else:  # in the handshake
            self._running.cancel()

    async def protocol_send(self, event: Event) -> None:
        """Send bytes, or cut the connection."""
        if isinstance(event, Updated):
            self.note_idle(is_idle=event.idle)
            return
        if not isinstance(event, RawData):
            await self.end()
            return
        if not await self.send(event.data):
            await self.protocol.handle(Closed())

    async def send(self, data: bytes | memoryview | FilePiece) -> bool:
        """Send bytes; of a file those that there is room for. `False`: the client takes none any more."""
        if isinstance(data, bytes) and not self.send_lock.locked():
            try:
                sent_bytes = self.wire.send_at_once(data)
            except OSError:
                return False
            if sent_bytes == len(data):  # most answers: the rest is for those that are longer than the socket has room
                return True
            data = memoryview(data)[sent_bytes:]
        return await self._send_on(data)

    async def _send_on(self, data: bytes | memoryview | FilePiece) -> bool:
        try:
            self.send_lock.acquire_nowait()  # `acquire` would give all other tasks a turn
        except trio.WouldBlock:
            await self.send_lock.acquire()
        try:
            await (self.wire.send_file(data) if isinstance(data, FilePiece) else self.wire.send(memoryview(data)))
        except trio.TooSlowError:
            log.warning("client_cut", reason="it reads no more", seconds=self.config.send_stall_s)
            self.is_cut = True
            self.wire.reset()
            return False
        except (trio.BrokenResourceError, trio.ClosedResourceError, OSError):
            return False
        finally:
            self.send_lock.release()
        return True

    async def end(self) -> None:
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

    @cached_property
    def http1(self) -> JoiningProtocol:
        """The protocol, once the connection exists: it stays the same."""
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

    def note_idle(self, *, is_idle: bool, watches: bool = False) -> None:
        """Note that no request is under way, or that one has begun; `watches` as in `Vigil.begin`."""
        if is_idle:
            self.admission.note_idle(self)
            self.vigil.rest(self.config.keep_alive_timeout)
        else:
            self.admission.note_busy(self)
            self.vigil.begin(watches=watches)

    async def _idle_timeout(self) -> None:
        """Close the connection if it was idle for too long, or if it is idle and the server ends."""
        await self.vigil.until_over(self.context.terminated)
        if not self.has_ended:
            with trio.CancelScope(shield=True):
                if self._is_in_head():
                    await self.http1.refuse(408, _LATE_HEAD)
                    self.http1.connection.forget_received()
                    await self.end()
                else:
                    await self._initiate_server_close()

    async def _read_data(self) -> None:
        join(self.protocol)
        client = self.http1.client
        self.peer = (client[0] if client else "", "https" if self.http1.ssl else "http")
        self.note_idle(is_idle=True)
        write_in_bites(self.wire.socket)
        try:
            await self._read_on()
        finally:
            self.wire.patience.end()
        self.has_ended = True
        await self.protocol.handle(Closed())
        self.vigil.end()  # no task waits for the connection to be idle for long, once its client has left

    async def _read_on(self) -> None:
        """Read to the end of what the client sends, or of what we want of it."""
        with self._reading:
            while True:
                left = left_of_body(self.protocol)
                try:
                    data = await self.wire.receive(left, self._most_to_read(left))
                except (trio.ClosedResourceError, trio.BrokenResourceError, OSError):
                    return
                if not await self._take(data):
                    return

    async def _take(self, data: bytes | bytearray) -> bool:
        """Take what was received, and return whether to read on."""
        if data and not math.isinf(self._read_until):
            return True  # we have closed our side, and wait for the client to close its own
        try:
            if data and self.http1.connection.is_idle and not (data := await self.exchanges.answer(bytes(data))):
                return not self.has_ended
            await self.protocol.handle(RawData(bytes(data)))
        except Exception:
            log.exception("internal_error")  # a fault of ours ends this connection, not the whole replica
            return False
        self.wire.patience.note(len(data), in_body=left_of_body(self.protocol) != 0)
        if self._is_in_head() and self.admission.note_head(self, self.http1.connection.unfinished_bytes):
            self.vigil.limit(self.config.head_timeout_s)
        return len(data) > 0

    async def receive_of_body(self, left_bytes: int | None, reach_bytes: int, read_now: Read) -> bytes | bytearray:
        """Receive up to `reach_bytes` of a body of which so much is left (`None`: unknown), nothing at its end."""
        data: bytes | bytearray = b""
        with suppress(trio.ClosedResourceError, trio.BrokenResourceError, OSError):
            data = await self.wire.receive(left_bytes, self._most_to_read(left_bytes, reach_bytes), read_now)
        self._note_of_body(data)
        return data

    async def receive_of_body_soon(
        self, left_bytes: int | None, reach_bytes: int, read_now: Read
    ) -> bytes | bytearray | None:
        """Receive the same after a short wait. `None`: `receive_of_body` must wait."""
        try:
            data = await self.wire.receive_soon(left_bytes, self._most_to_read(left_bytes, reach_bytes), read_now)
        except (trio.ClosedResourceError, trio.BrokenResourceError, OSError):
            data = b""
        if data is not None:
            self._note_of_body(data)
        return data

    def receive_of_body_now(self, left_bytes: int | None, reach_bytes: int, read_now: Read) -> bytes | bytearray:
        """Receive more of a body without a wait, if the socket holds a bite of it; nothing otherwise."""
        if left_bytes == 0:
            return b""
        try:
            data = self.wire.receive_now(left_bytes, self._most_to_read(left_bytes, reach_bytes), read_now)
        except (trio.ClosedResourceError, OSError):
            return b""  # `receive_of_body` notes the end
        if data:
            self._note_of_body(data)
        return data

    def _note_of_body(self, data: bytes | bytearray) -> None:
        """Take note of bytes of a body, or of the end if there are none."""
        self.wire.patience.note(len(data), in_body=True)
        self.has_ended = not data

    def stop(self) -> None:
        """End the request that the reading task is answering, and read no more: the client has left.

        So a request needs no cancel scope of its own, which would cost as much as a call to the system.
        """
        self._reading.cancel()

    def watch(self, *, is_due: bool) -> None:
        """Watch the client, if that is due, once its request has taken long: all of its body is here."""
        self.vigil.begin(watches=is_due)

    @property
    def is_last_request(self) -> bool:
        """Say whether a connection has had as many requests as it may."""
        return self.http1.keep_alive_requests >= self.config.keep_alive_max_requests

    def _most_to_read(self, left_bytes: int | None, reach_bytes: int = MOST_BITE_BYTES) -> int:
        """Say how much to read at once, up to `reach_bytes`, if this much is left of a body.

        Bytes behind a request are held, outside the memory budget, until the request is answered. So little is read if
        such bytes may come: at a head, and at the end of a body.
        """
        if left_bytes == 0:
            return http1.MOST_AHEAD_BYTES
        most_bytes = min(self.config.read_bytes(), reach_bytes)
        return most_bytes if left_bytes is None else min(most_bytes, left_bytes)
