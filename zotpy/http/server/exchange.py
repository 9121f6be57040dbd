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
from quart import Response
from quart.wrappers.response import DataBody, ResponseBody

from zotpy.core.errors import RegistryError
from zotpy.http.server.answer_heads import HeadInvalid
from zotpy.http.server.bodies import BoundedRequest
from zotpy.http.server.cuts import Cut
from zotpy.http.server.heads import Head
from zotpy.http.server.sending import READS, TOGETHER_BYTES, Answered, Application
from zotpy.store.interface import StoreError

if TYPE_CHECKING:
    from zotpy.http.server.connections import BoundedConnection

_BODILESS = frozenset({204, 304})

log = structlog.get_logger()


class Exchange:
    """One request and its answer."""

    def __init__(self, connection: "BoundedConnection", app: Application, head: Head) -> None:
        """Take a request that has no body."""
        self._connection = connection
        self._app = app
        path, _, query = head.target.partition("?")
        self.request = BoundedRequest(
            head.method, unquote(path) if "%" in path else path, query, head.fields, connection=connection
        )
        peer, self._scheme = connection.peer
        self.request.reached = app.proxies.trace(peer, self._scheme, head.fields)
        self.answered = Answered(head.method, "", self.request.path, self.request.reached, trio.current_time())
        self._scope = trio.CancelScope()
        self._has_begun = False
        """Something was sent."""
        self._is_answered = False
        self.is_last = False
        """The connection ends with the answer."""

    def client_left(self) -> None:
        """Note that the client has closed its side: a read is then useless, and a change goes on to its end."""
        if not self._is_answered:
            self.answered.cut = Cut.GONE
            if self.request.method in READS:
                self._scope.cancel()

    async def run(self) -> None:
        """Answer, and report the request."""
        request, answered, app = self.request, self.answered, self._app
        request.body.end()
        app.prepare_body(request.body, self._connection)
        app.under_way += 1
        try:
            with self._scope:
                await self._answer()
        except Exception:
            log.exception("internal_error")
            self.is_last = True
        finally:
            app.under_way -= 1
            if request.held is not None:
                request.held.close()
            if self._connection.is_cut:
                answered.cut = Cut.READS_NO_MORE
            answered.route, answered.user, answered.login = request.route, request.user, request.login
            app.on_answered(answered, trio.current_time())
        self.is_last = self.is_last or self._scope.cancelled_caught

    async def _answer(self) -> None:
        response = await self._app.handle_request(self.request)
        try:
            await self._send(response)
        except (StoreError, RegistryError, HeadInvalid) as error:
            if self._has_begun:
                self.answered.cut = Cut.STORE_FAILED
                log.error("answer_cut", path=self.answered.path, reason=str(error))  # noqa: TRY400 - no fault of the program
                self.is_last = True
                return
            await self._send(self._app.failed(error))

    async def _send(self, response: Response) -> None:
        self.answered.status = response.status_code
        body, wire = response.response, self._connection.wire
        if self._app.draining:
            # Without this the client sends its next request while we close, and cannot know whether that was received.
            response.headers["Connection"] = "close"
        self.is_last = self._connection.is_last_request or response.headers.get("Connection") == "close"
        head = self._connection.heads.write(response, is_last=self.is_last)
        wire.pace.begin(holds=not isinstance(body, DataBody) or self.request.held is not None)
        if isinstance(body, DataBody):
            is_sent = self.request.method != "HEAD" and response.status_code not in _BODILESS
            await self._send_whole(head, body.data if is_sent else b"")
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

    async def _send_pieces(self, head: bytes, body: ResponseBody, length: int) -> None:
        """Send a body of this length as it comes. What fails before its first piece may still become an error."""
        left = length
        async with body as pieces:
            async for piece in pieces:
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

    async def _deliver(self, data: bytes) -> None:
        """Send bytes. If the client takes none any more, that ends the exchange."""
        self._has_begun = True
        if not await self._connection.send(data):
            self.is_last = True
            self.answered.cut = self.answered.cut or Cut.GONE
            self._scope.cancel()
            await trio.lowlevel.checkpoint()

    def _note_answered(self) -> None:
        """Note that the last of the answer is about to be sent."""
        self._is_answered = True
        if self._connection.has_ended:
            self.answered.cut = Cut.GONE
