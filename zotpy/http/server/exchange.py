"""An ordinary request and its answer, in the task that reads its connection.

hypercorn and Quart start two tasks for each request, and pass messages between them through a channel. That takes some
turns of trio's loop, which cost more than all that a small request needs. So a request whose head
`zotpy.http.server.heads` reads goes from here to the application. All others go through hypercorn, Quart-Trio and
`zotpy.http.server.streaming`, to the same application.

While a request is answered here, its connection reads nothing. If that takes long, `zotpy.http.server.vigil` does.
"""

from typing import TYPE_CHECKING
from urllib.parse import unquote

import structlog
import trio

from zotpy.concurrency import is_foreseen
from zotpy.core.file_pieces import FilePiece
from zotpy.http.server.answer_bodies import StreamedBody
from zotpy.http.server.bad_requests import refusal
from zotpy.http.server.bounded_request import BoundedRequest
from zotpy.http.server.cuts import Cut
from zotpy.http.server.heads import Head
from zotpy.http.server.incoming import Incoming
from zotpy.http.server.response import Response
from zotpy.http.server.sending import READS, TOGETHER_BYTES, Answered, Application, linger

if TYPE_CHECKING:
    from zotpy.http.server.connections import BoundedConnection

_BODILESS = frozenset({204, 304})

log = structlog.get_logger()


class Exchange:
    """One request and its answer."""

    def __init__(self, connection: "BoundedConnection", app: Application, head: Head, behind: bytes) -> None:
        """Take a request, and what was received behind its head."""
        self._connection = connection
        self._app = app
        self._incoming = Incoming(connection, head.length, behind, self._note_received) if head.length != 0 else None
        self._behind = behind
        path, _, query = head.target.partition("?")
        self.request = BoundedRequest(
            head.method, unquote(path) if "%" in path else path, query, head.fields, connection=connection
        )
        self.request.takes_files = connection.wire.takes_files
        peer, self._scheme = connection.peer
        self.request.reached = app.proxies.trace(peer, self._scheme, head.fields)
        started = connection.vigil.now()
        self.answered = Answered(head.method, "", self.request.path, self.request.reached, started)
        self._is_read = head.method in READS
        """The request is useless once its client has left."""
        self._has_begun = False
        """Something was sent."""
        self._is_answered = False
        self._is_told = False
        """All of the answer was sent before the end of the body: a client that leaves then has what it needs."""
        self.is_last = False
        """The connection ends with the answer."""

    @property
    def behind(self) -> bytes:
        """What was received behind the request."""
        return self._behind if self._incoming is None else self._incoming.behind

    def _note_received(self) -> None:
        """Note that all of the body is here. From now on another task may read."""
        self._connection.watch(is_due=not self.behind)

    def client_left(self) -> None:
        """Note that the client has closed its side: a read is then useless, and a change goes on to its end."""
        if self._incoming is not None:
            self._incoming.left.set()
        if not self._is_answered:
            self.answered.cut = Cut.GONE
            if self._is_read:
                self._connection.stop()

    async def run(self) -> None:
        """Answer, and report the request."""
        request, answered, app = self.request, self.answered, self._app
        if self._incoming is None:
            request.body.end()
        else:
            request.body.come_from(self._incoming.receive, at_hand=self._incoming.here, soon=self._incoming.soon)
        app.prepare_body(request.body, self._connection)
        app.under_way += 1
        try:
            await self._answer()
        except Exception:
            log.exception("internal_error")
            self.is_last = True
        finally:
            app.under_way -= 1
            if request.held is not None:
                request.held.close()
            answered.cut, answered.received_bytes = self._why_cut(), request.body.received_bytes
            answered.route, answered.user, answered.login = request.route, request.user, request.login
            app.on_answered(answered, self._connection.vigil.now())
            self._let_go()

    def _let_go(self) -> None:
        """Lead back to nothing: in a cycle, what the request has held would stay until the collector runs."""
        if self._incoming is not None:
            self._behind, self._incoming = self._incoming.behind, None
        self.request.body.let_go()

    def _why_cut(self) -> Cut | None:
        if self._connection.is_cut:
            return Cut.READS_NO_MORE
        return None if self._is_told else self.answered.cut or self.request.body.cut

    def _refused(self) -> Response | None:
        """Return the refusal of a body that is none."""
        fault = None if self._incoming is None else self._incoming.fault
        return None if fault is None else refusal(fault)

    async def _answer(self) -> None:
        if (response := self._refused()) is None:
            response = await self._app.handle_request(self.request)
            response = self._refused() or response
        try:
            await self._send(response)
        except Exception as error:
            if not self._has_begun:
                await self._send(self._app.failed(error))
                return
            if not is_foreseen(error):
                raise
            self.answered.cut_by(error)
            self.is_last = True

    async def _send(self, response: Response) -> None:
        self.answered.status = response.status_code
        body, wire = response.body, self._connection.wire
        is_early = not self.request.body.finished
        ends = is_early or self._app.draining or (self._incoming is not None and self._incoming.has_surplus)
        if ends:
            # What the client still sends of a body would be read as its next request. And in a drain it would send its
            # next one while we close, and could not know whether that was received.
            response.headers["Connection"] = "close"
        self.is_last = ends or self._connection.is_last_request
        head = self._connection.heads.write(response, is_last=self.is_last)
        wire.pace.begin(holds=not isinstance(body, bytes) or self.request.held is not None)
        if isinstance(body, bytes):
            is_sent = self.request.method != "HEAD" and response.status_code not in _BODILESS
            await self._send_whole(head, body if is_sent else b"")
            if is_early and self.answered.cut is None:
                self._is_told = self.request.body.cut is None
                await linger(self.request.body)
            return
        with wire.answering_long():
            await self._send_pieces(head, body, int(response.headers["Content-Length"]))

    async def _send_whole(self, head: bytes, data: bytes) -> None:
        self._note_answered()
        self.answered.sent_bytes += len(data)
        if len(data) <= TOGETHER_BYTES:
            await self._deliver(head + data)
        else:
            await self._deliver(head)
            await self._deliver(data)

    async def _send_pieces(self, head: bytes, body: StreamedBody, length: int) -> None:
        """Send a body of this length as it comes. What fails before its first piece may still become an error."""
        left = length
        async with body as pieces:
            async for piece in pieces:
                self._connection.wire.pace.holds = not isinstance(piece, FilePiece)
                if isinstance(piece, FilePiece):
                    left -= await self._send_from_file(head, piece)
                    head = b""
                    if left <= 0:
                        self._note_answered()
                    continue
                left -= len(piece)
                if left <= 0:
                    self._note_answered()
                self.answered.sent_bytes += len(piece)
                if head and len(piece) <= TOGETHER_BYTES:
                    await self._deliver(head + piece)
                else:
                    if head:
                        await self._deliver(head)
                    await self._deliver(piece)
                head = b""
        if left:
            msg = f"the body of an answer has {length - left} bytes instead of {length}"
            raise RuntimeError(msg)
        if head:
            await self._send_whole(head, b"")

    async def _send_from_file(self, head: bytes, piece: FilePiece) -> int:
        """Send what there is room for, and return how much that was. While it waits, nothing is held for the client."""
        if head:
            await self._deliver(head)
        await self._deliver(piece)
        self.answered.sent_bytes += piece.taken_bytes
        return piece.taken_bytes

    async def _deliver(self, data: bytes | FilePiece) -> None:
        """Send bytes. If the client takes none any more, that ends the exchange: at once if more was to be sent."""
        self._has_begun = True
        if not await self._connection.send(data):
            self.is_last = True
            self.answered.cut = self.answered.cut or Cut.GONE
            if self._is_read:
                self._connection.stop()
                await trio.lowlevel.checkpoint()

    def _note_answered(self) -> None:
        """Note that the last of the answer is about to be sent."""
        self._is_answered = True
        if self._connection.has_ended:
            self.answered.cut = Cut.GONE
