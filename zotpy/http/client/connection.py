"""One connection to the service, for one request at a time: its head as bytes, and its answer by a C parser.

Nothing else is between the client and the socket. With httpx's objects and h11 a small call took twice the CPU time.
"""

from typing import TYPE_CHECKING

from zotpy.core.pieces import Buffer, Pieces
from zotpy.http.client.answer_parser import AnswerParser
from zotpy.http.client.link import LEAST_BYTES, Link
from zotpy.http.client.outgoing import Outgoing
from zotpy.http.client.request_head import request_head
from zotpy.http.client.service import Service
from zotpy.http.client.time_limits import no_answer_due
from zotpy.http.client.transport_errors import LocalProtocolError, WriteError
from zotpy.http.slabs import Room

if TYPE_CHECKING:
    from zotpy.http.client.time_limits import AttemptTime

READ_HEAD_BYTES = 64 * 1024
READ_BYTES = 1024 * 1024
LONG_READ_BYTES = LEAST_BYTES
"""A read of a long body that goes into no slab ends at a multiple of this. A part of an upload, which is a whole number
of MiB, then seldom ends within a piece, which would have to be cut and copied."""


class ClientConnection:
    """A connection that connects at its first use."""

    def __init__(self, service: Service) -> None:
        """Connect to this service."""
        self._service = service
        self._idle_until: float | None = None
        self._link: Link | None = None
        self._answer: AnswerParser | None = None
        self._time: AttemptTime | None = None
        """What limits the request under way; `None`: each of its waits has a limit of its own."""
        self._room = Room(service.slabs)
        self.is_unheard = False
        """The connection has served another request before, and no byte came in answer to this one."""

    def has_expired(self, now: float) -> bool:
        """Whether an idle connection is unused for too long at `now`, on trio's clock, or was ended by the service."""
        if self._link is None or self._idle_until is None:
            return False
        return now > self._idle_until or self._link.has_news()

    async def send(self, request: Outgoing) -> AnswerParser:
        """Send a request, and receive the head of its answer. Raises `TransportError`."""
        self._idle_until = None
        self._time = time = request.time
        self.is_unheard = self._link is not None
        if self._link is None:
            with no_answer_due(time):
                self._link = Link(self._service, *await self._service.connect())
        link = self._link
        buffers = self._encoded(request)
        try:  # noqa: SIM105 - `suppress` is three calls more for each request
            await link.send(buffers, len(buffers[0]) + len(request.body), time)
        except WriteError:  # the service may have answered, and closed, before it read all
            pass
        self._answer = answer = AnswerParser(request.method)
        while not answer.has_head:
            received = await link.read(READ_HEAD_BYTES, time=time)
            self.is_unheard = self.is_unheard and not received
            answer.feed(received)
        return answer

    async def receive(self) -> bytes | memoryview:
        """Receive the next bytes of the answer's body, none at its end. Raises `TransportError`."""
        answer, link = self._answer, self._link
        assert answer is not None  # noqa: S101 - for the type checker
        assert link is not None  # noqa: S101
        while True:
            if piece := answer.take():
                return piece
            if answer.is_over:
                return b""
            if answer.left_bytes:
                return await self._receive_known(link, answer)
            answer.feed(await link.read(READ_BYTES, time=self._time))

    async def _receive_known(self, link: Link, answer: AnswerParser) -> bytes | memoryview:
        """Receive the next bytes of a body of known length; those of a long one where they stay until they are sent."""
        left_bytes = answer.left_bytes
        at = answer.length - left_bytes
        received: bytes | memoryview
        if link.secured is not None:
            received = await link.read(min(left_bytes, READ_BYTES), left_bytes, self._time)
        elif (room := self._room.offer(left_bytes, at)) is None:
            most_bytes = min(left_bytes, LONG_READ_BYTES - at % LONG_READ_BYTES)
            received = await link.read(most_bytes, left_bytes, self._time)
        else:
            received = self._room.fill(await link.read_into(room, left_bytes, self._time))
        if not received:
            answer.feed(b"")
        answer.pass_over(len(received))
        if answer.is_over:
            self._room.leave()
        return received

    def finish(self, now: float) -> bool:
        """Become idle at `now`, on trio's clock, if the answer was received completely, and say so.

        Any other connection must be closed.

        Bytes after the end of an answer, such as a body after the head of an answer to HEAD, would be read as the next
        answer.
        """
        answer, link = self._answer, self._link
        if answer is None or link is None:
            return False
        is_done = answer.is_over and answer.stays_open and not answer.has_more
        if is_done and (link.secured is None or link.secured.is_empty):
            try:
                answer.close()
                link.let_any_byte_wake()  # a byte that comes now makes the connection unusable: `has_expired`
            except (OSError, MemoryError):  # the system refuses it
                return False
            self._answer = self._time = None
            self._idle_until = now + self._service.keepalive_s
            return True
        return False

    async def aclose(self) -> None:
        """Close at once: it waits for nothing."""
        self._idle_until = None
        if self._answer is not None:
            self._answer.close()
        if self._link is not None:
            await self._link.aclose()

    def _encoded(self, request: Outgoing) -> list[Buffer]:
        """Return the request as the buffers to send."""
        proxy = self._service.proxy
        target, headers = request.target, request.headers
        if proxy is not None and self._service.tls is None:
            target = f"http://{headers['host']}{target}"
            headers = {**headers, **proxy.headers}
        try:
            head = request_head(request.method, target, headers)
        except ValueError as error:
            raise LocalProtocolError(str(error)) from error
        body = request.body
        return [head, *(body.blocks() if isinstance(body, Pieces) else (body,))] if body else [head]
