"""Bodies with backpressure, in and out: the seam between the ASGI server and the registry.

Quart's own request body reads ahead without bound: a handler that does not read makes the process grow by the whole
body. Here whoever reads the body receives from the server, one piece at a time, so that nothing is received before it
is wanted; the server in turn stops reading the socket. Nothing is buffered twice.

A client that goes away in the middle of a body does not cancel the handler: the body raises `ClientStalled`, so that
what was received can be kept for a resumed upload. Once the body is read, a change goes through to its end, whether or
not the client still waits; only a read (GET, HEAD) is cancelled.
"""

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import structlog
import trio
from quart import Response
from quart.wrappers.request import Body
from quart.wrappers.response import ResponseBody
from quart_trio.asgi import TrioASGIHTTPConnection
from quart_trio.wrappers import TrioRequest

from zotpy.core.errors import ClientStalled
from zotpy.store.interface import StoreError

if TYPE_CHECKING:
    from hypercorn.typing import ASGIReceiveCallable, ASGIReceiveEvent
    from quart.typing import ResponseTypes
    from quart.wrappers import Request

_READS = frozenset({"GET", "HEAD", "OPTIONS"})
PROGRESS_BYTES = 64 * 1024
"""So much a body must bring each time that its client may keep us waiting, unless it ends."""
LINGER_S = 30.0
"""How long a body that nobody reads is received and dropped after the answer, as nginx's lingering_close does."""


log = structlog.get_logger()


class BoundedBody(Body):
    """A request body that is received only as fast as it is read, by whoever reads it."""

    stall_timeout_s = 60.0

    def __init__(self, expected_content_length: int | None, max_content_length: int | None) -> None:
        """Make a body; limits are the handlers' affair, so `max_content_length` is not looked at."""
        del expected_content_length, max_content_length
        self._receive: ASGIReceiveCallable | None = None
        self.settled = trio.Event()
        """All of it was received, or the client went away."""
        self.finished = False
        """All of it was received from the client."""
        self.lost = False
        """The client went away before the end."""
        self.received_bytes = 0
        self._waited_s = 0.0
        self._brought_bytes = 0

    def come_from(self, receive: "ASGIReceiveCallable") -> None:
        """Say where the pieces come from; without that, reading waits until somebody else has received them."""
        self._receive = receive

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        """Return the next piece; raises `ClientStalled` where it does not come in time, or the client went away.

        Only the time spent here counts: the client is not to blame for waits for memory or for the store. And a
        trickle is no progress, or anybody could hold a part of the memory for ever with a byte a minute.
        """
        asked_at = trio.current_time()
        try:
            with trio.fail_after(max(0.0, self.stall_timeout_s - self._waited_s)):
                piece = await self._next_piece()
        except trio.TooSlowError:
            msg = (
                f"the client sent {self._brought_bytes} bytes while it was waited for {self.stall_timeout_s:g} seconds:"
                " send again what is missing"
            )
            raise ClientStalled(msg) from None
        if not piece:
            if self.lost:
                msg = "the client closed the connection before the end of the body"
                raise ClientStalled(msg)
            raise StopAsyncIteration
        self._waited_s += trio.current_time() - asked_at
        self._brought_bytes += len(piece)
        if self._brought_bytes >= PROGRESS_BYTES:
            self._waited_s, self._brought_bytes = 0.0, 0
        return piece

    async def _next_piece(self) -> bytes:
        """Receive until there are bytes, or none will follow."""
        if self._receive is None:
            await self.settled.wait()
        while not self.settled.is_set():
            if piece := self.take(await self._receive()):  # type: ignore[misc]  # not None, as was seen above
                return piece
        return b""

    def take(self, message: "ASGIReceiveEvent") -> bytes:
        """Note what the server received, and return the bytes in it."""
        if message["type"] == "http.disconnect":
            self.lost = not self.finished
            self.settled.set()
        if message["type"] != "http.request":
            return b""
        if not message.get("more_body", False):
            self.finished = True
            self.settled.set()
        piece: bytes = message.get("body", b"")
        self.received_bytes += len(piece)
        return piece

    async def drop(self) -> None:
        """Take what the client still sends, until it has sent all, or went away, or took too long."""
        with trio.move_on_after(LINGER_S):
            while await self._next_piece():
                pass


class BoundedRequest(TrioRequest):
    """A request with such a body."""

    body_class = BoundedBody  # type: ignore[assignment]  # the seam for a body of another kind


def body_of(request: "Request") -> BoundedBody:
    """Return the body, to be read once."""
    assert isinstance(request.body, BoundedBody)  # noqa: S101 - request_class sees to it
    return request.body


class BoundedHTTPConnection(TrioASGIHTTPConnection):
    """Runs a handler beside the task that watches its client."""

    _is_answered = False

    async def __call__(self, receive: "ASGIReceiveCallable", send: Any) -> None:
        """Serve one request; its body, where a change has one, is the handler's to receive.

        HTTP/2, which nobody offered, is refused: `zotpy/web/connections.py` says why.
        """
        if not self.scope["http_version"].startswith("1."):
            await send({"type": "http.response.start", "status": 505, "headers": []})
            await send({"type": "http.response.body", "body": b"", "more_body": False})
            return
        request = self._create_request_from_scope(send)
        if _has_body(request) and request.method not in _READS:
            body_of(request).come_from(receive)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self.handle_messages, nursery, request, receive)
            nursery.start_soon(self.handle_request, nursery, request, send)

    async def handle_messages(  # type: ignore[override]
        self, nursery: trio.Nursery, request: "Request", receive: "ASGIReceiveCallable"
    ) -> None:
        """Leave the body to whoever reads it, and wait until the client is gone: a read is then of no use."""
        body, is_read = body_of(request), request.method in _READS
        if _has_body(request) and not is_read:
            await body.settled.wait()
        message_type = ""
        while message_type != "http.disconnect" and not body.lost:
            message = await receive()
            body.take(message)
            message_type = message["type"]
        # After the answer it only means that the request is over, and hypercorn is about to watch an idle connection:
        # cancelled there, it would neither time it out nor close it at the end.
        if is_read and not self._is_answered:
            nursery.cancel_scope.cancel()

    async def handle_request(  # type: ignore[override]
        self, nursery: trio.Nursery, request: "Request", send: Any
    ) -> None:
        """Answer, stop receiving, and tell of it."""
        answered = Answered(request.method, "", request.path, started=trio.current_time())
        request.body.stall_timeout_s = self.app.body_stall_s  # type: ignore[attr-defined]
        self.app.under_way += 1  # type: ignore[attr-defined]
        try:
            await self._answer(nursery, request, send, answered)
        finally:
            self.app.under_way -= 1  # type: ignore[attr-defined]
            answered.received_bytes = getattr(request.body, "received_bytes", 0)
            answered.route = request.url_rule.rule if request.url_rule is not None else "none"
            self.app.on_answered(answered, trio.current_time())  # type: ignore[attr-defined]

    async def _answer(self, nursery: trio.Nursery, request: "Request", send: Any, answered: "Answered") -> None:
        response = await self.app.handle_request(request)
        answered.status = response.status_code
        body = body_of(request)
        counted = _counting(self._noting_the_end(send), answered)
        if _has_body(request) and not body.finished:
            counted = _lingering(counted, body)
            # What the client still sends would be read as its next request: end the connection after the answer.
            response.headers["Connection"] = "close"
        elif self.app.draining and request.http_version.startswith("1"):  # type: ignore[attr-defined]
            # A client that is not told sends its next request while we close: it cannot know whether that was heard.
            response.headers["Connection"] = "close"
        held = _HeldHead(counted)
        try:
            await self._send_response(held, response)
        except StoreError as error:
            if held.sent:
                log.error("answer_cut", path=request.path, reason=str(error))  # noqa: TRY400 - no fault of the program
                raise
            await self._send_response(held, self._failed(error, response, answered))
        nursery.cancel_scope.cancel()

    def _noting_the_end(self, send: Any) -> Any:
        async def noting(message: Any) -> None:
            if _is_last(message):
                self._is_answered = True
            await send(message)

        return noting

    def _failed(self, error: StoreError, response: "ResponseTypes", answered: "Answered") -> Response:
        """Return the answer in place of one whose body could not begin."""
        failed: Response = self.app.failed(error)  # type: ignore[attr-defined]
        answered.status = failed.status_code
        if "Connection" in response.headers:
            failed.headers["Connection"] = response.headers["Connection"]
        return failed


@dataclass(slots=True)
class Answered:
    """One request, as it went."""

    method: str
    route: str
    """The rule that matched, such as `/v2/<path:name>/blobs/<digest>`."""
    path: str
    started: float
    """On trio's clock, in seconds."""
    status: int = 0
    """0: the client was gone before there was an answer."""
    received_bytes: int = 0
    sent_bytes: int = 0


def _counting(send: Any, answered: Answered) -> Any:
    async def counted(message: Any) -> None:
        if answered.method != "HEAD":
            answered.sent_bytes += len(message.get("body", b""))
        await send(message)

    return counted


class _HeldHead:
    """Sends the head of an answer with the first of its body: one that cannot begin may still become an error."""

    def __init__(self, send: Any) -> None:
        self._send = send
        self._head: Any = None
        self.sent = False

    async def __call__(self, message: Any) -> None:
        if message["type"] == "http.response.start":
            self._head = message
            return
        if not self.sent:
            self.sent = True
            await self._send(self._head)
        await self._send(message)


def _lingering(send: Any, body: BoundedBody) -> Any:
    """Hold the end of the answer back until the client has sent what it is sending, or for half a minute.

    To close a socket with unread bytes resets the connection, and the reset overtakes an answer that the client, or
    the proxy before it, has not read yet: a client in the middle of a large body would never learn why it was refused.
    """

    async def held_open(message: Any) -> None:
        if _is_last(message):
            if message.get("body"):
                await send({**message, "more_body": True})
            await body.drop()
            message = {**message, "body": b""}
        await send(message)

    return held_open


def _is_last(message: Any) -> bool:
    return message["type"] == "http.response.body" and not message.get("more_body", False)


def _has_body(request: "Request") -> bool:
    return request.headers.get("Content-Length", "0") != "0" or "Transfer-Encoding" in request.headers


class StreamedBody(ResponseBody):
    """A response body out of a reader that must be entered and left in the task that sends."""

    def __init__(self, reader: AbstractAsyncContextManager[AsyncIterator[bytes]]) -> None:
        """Stream from `reader`, entered only when the response is sent."""
        self._reader = reader
        self._stack = AsyncExitStack()
        self._chunks: AsyncIterator[bytes]

    async def __aenter__(self) -> Self:
        self._chunks = await self._stack.enter_async_context(self._reader)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._stack.__aexit__(kind, error, traceback)

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self._chunks
