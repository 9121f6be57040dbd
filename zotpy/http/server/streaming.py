"""One request, between the ASGI server and its handler: what receives, what is sent, and when it is over.

If a client leaves in the middle of a body, that does not cancel the handler. The body raises `ClientStalled`, so that
the handler can keep what it received for a resumed upload. Once the body is read, a change runs to its end, whether or
not the client still waits. Only a read (GET, HEAD) is cancelled.
"""

from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

import structlog
import trio
from quart_trio.asgi import TrioASGIHTTPConnection

from zotpy.concurrency import is_foreseen, plain_errors
from zotpy.http.server.bodies import BoundedBody
from zotpy.http.server.bounded_request import BoundedRequest
from zotpy.http.server.cuts import Cut
from zotpy.http.server.envelope import envelope
from zotpy.http.server.fields import Fields
from zotpy.http.server.response import Response
from zotpy.http.server.sending import READS, Answered, HeldHead, counting, is_last, lingering

if TYPE_CHECKING:
    from hypercorn.typing import ASGIReceiveCallable

log = structlog.get_logger()


class BoundedHTTPConnection(TrioASGIHTTPConnection):
    """Runs a handler: that of a read beside a task that watches its client, that of a change alone."""

    _is_answered = False
    _is_left = False
    _is_told = False
    """All of the answer was sent before the end of the request's body: a client that leaves then has what it needs."""

    async def __call__(self, receive: "ASGIReceiveCallable", send: Any) -> None:
        """Serve one request. If it is a change with a body, the handler receives the body."""
        request = self._request()
        if request.method in READS:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self.handle_messages, nursery, request, receive)
                await self.handle_request(nursery, request, send)
                nursery.cancel_scope.cancel()
            return
        request.body.come_from(receive, self._ask_for_body)
        if not request.has_body:
            await request.body.drop()  # only its end, which hypercorn sends with the head
        await self.handle_request(None, request, send)

    def _request(self) -> BoundedRequest:
        """Return the request. Methods are case-sensitive; Quart would write them in capitals."""
        scope = self.scope
        headers, query = Fields.decode(scope["headers"]), scope["query_string"].decode("ascii")
        request = BoundedRequest(
            scope["method"],
            scope["path"],
            query,
            headers,
            http_version=scope["http_version"],
            connection=self._connection(),
        )
        peer = scope.get("client")  # a local socket has none
        request.reached = self.app.proxies.trace(peer[0] if peer else "", scope["scheme"], headers)  # type: ignore[attr-defined]
        return request

    async def handle_messages(  # type: ignore[override]
        self, nursery: trio.Nursery, request: BoundedRequest, receive: "ASGIReceiveCallable"
    ) -> None:
        """Wait until the client has left: a read is then useless."""
        body = request.body
        message_type = ""
        while message_type != "http.disconnect" and not body.lost:
            message = await receive()
            body.take(message)
            message_type = message["type"]
        # After the answer it only means that the request is over, and hypercorn is about to watch an idle connection:
        # cancelled there, it would neither time it out nor close it at the end.
        self._is_left = not (self._is_answered or body.lost)
        if not self._is_answered:
            nursery.cancel_scope.cancel()

    async def handle_request(  # type: ignore[override]
        self, nursery: trio.Nursery | None, request: BoundedRequest, send: Any
    ) -> None:
        """Answer, and report the request."""
        del nursery
        answered = Answered(request.method, "", request.path, request.reached, started=trio.current_time())
        self.app.prepare_body(request.body, self._connection())  # type: ignore[attr-defined]
        self.app.under_way += 1  # type: ignore[attr-defined]
        try:
            await self._answer(request, send, answered)
        except Exception:
            if answered.cut is not Cut.STORE_FAILED:  # that was logged when the answer was cut
                log.exception("internal_error")
            raise  # hypercorn ends the connection, and has no log
        finally:
            self.app.under_way -= 1  # type: ignore[attr-defined]
            if request.held is not None:
                request.held.close()
            answered.cut = self._why_cut(request.body) or answered.cut
            answered.received_bytes = request.body.received_bytes
            answered.route = request.route
            answered.user, answered.login = request.user, request.login
            self.app.on_answered(answered, trio.current_time())  # type: ignore[attr-defined]

    async def _answer(self, request: BoundedRequest, send: Any, answered: Answered) -> None:
        is_spoken = request.http_version.startswith("1.")  # why not HTTP/2, `zotpy/http/server/connections.py` says
        handle: Any = self.app.handle_request  # ours, not Quart's
        response: Response = await handle(request) if is_spoken else _other_version()
        answered.status = response.status_code
        body = request.body
        counted = counting(self._noting_the_end(send), answered)
        if request.has_body and not body.finished:
            if not self._is_waited_at():
                counted = lingering(counted, body, self._note_told)
            # What the client still sends would be read as its next request: end the connection after the answer.
            response.headers["Connection"] = "close"
        elif self.app.draining:  # type: ignore[attr-defined]
            # Without this the client sends its next request while we close, and cannot know whether that was received.
            response.headers["Connection"] = "close"
        if (connection := self._connection()) is not None:
            is_streamed = not isinstance(response.body, bytes)
            connection.wire.pace.begin(holds=is_streamed or request.held is not None)
        held = HeldHead(counted)
        if body.finished or not request.has_body:
            await self._send_held(held, response, answered)
            return
        with plain_errors():
            async with trio.open_nursery() as nursery:
                # hypercorn reports the end of a request, even if the answer cannot be sent, by a message behind those
                # of its body, and waits for room there. So these messages must be taken for as long as an answer is
                # sent.
                nursery.start_soon(body.drop)
                await self._send_held(held, response, answered)
                nursery.cancel_scope.cancel()

    async def _send_held(self, held: HeldHead, response: Response, answered: Answered) -> None:
        try:
            await self._send(held, response)
        except Exception as error:
            if not held.sent:
                await self._send(held, self._failed(error, response, answered))
                return
            if is_foreseen(error):
                answered.cut_by(error)
            raise

    async def _send(self, send: Any, response: Response) -> None:
        """Send a body that is here as a whole in one message, and any other as it comes."""
        headers = [(name.lower().encode(), value.encode()) for name, value in response.headers]
        await send({"type": "http.response.start", "status": response.status_code, "headers": headers})
        body, connection = response.body, self._connection()
        if isinstance(body, bytes):
            await send({"type": "http.response.body", "body": body, "more_body": False})
            return
        with nullcontext() if connection is None else connection.wire.answering_long():
            async with body as pieces:
                async for piece in pieces:
                    await send({"type": "http.response.body", "body": piece, "more_body": True})
            await send({"type": "http.response.body", "body": b"", "more_body": False})

    def _why_cut(self, body: BoundedBody) -> Cut | None:
        connection = self._connection()
        if connection is not None and connection.is_cut:
            return Cut.READS_NO_MORE
        return None if self._is_told else body.cut or (Cut.GONE if self._is_left else None)

    def _connection(self) -> Any:
        """Return the connection, if the server is ours."""
        return self.scope.get("state", {}).get("connection")

    async def _ask_for_body(self) -> None:
        """Send `100 Continue` to a client that waits for it, unless its request is about to be refused anyway."""
        if self._is_waited_at():
            await self.app.admit_body()  # type: ignore[attr-defined]
            await self._connection().ask_for_body()

    def _is_waited_at(self) -> bool:
        """Say whether the client still waits for `100 Continue`: after a refusal it then sends no body."""
        connection = self._connection()
        return connection is not None and connection.is_waited_at

    def _noting_the_end(self, send: Any) -> Any:
        async def noting(message: Any) -> None:
            if is_last(message):
                connection = self._connection()
                if connection is not None and connection.has_ended:  # no task watched the client of a change
                    self._is_left = True
                self._is_answered = True
            await send(message)

        return noting

    def _note_told(self) -> None:
        self._is_told = True

    def _failed(self, error: Exception, response: Response, answered: Answered) -> Response:
        """Return the answer that replaces one whose body could not begin."""
        failed: Response = self.app.failed(error)  # type: ignore[attr-defined]
        answered.status = failed.status_code
        if "Connection" in response.headers:
            failed.headers["Connection"] = response.headers["Connection"]
        return failed


def _other_version() -> Response:
    refused = envelope(505, ("UNSUPPORTED", "this registry speaks HTTP/1.1", None))
    refused.headers["Connection"] = "close"
    return refused
