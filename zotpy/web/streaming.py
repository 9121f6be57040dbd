"""Bodies with backpressure, in and out: the seam between the ASGI server and the registry.

Quart's own request body reads ahead without bound: a handler that does not read makes the process grow by the whole
body. Here the body is a rendezvous: the task that receives from the server hands over one piece, and receives
the next only after the handler took it. The server in turn stops reading the socket. Nothing is buffered twice.

A client that goes away in the middle of a body does not cancel the handler: the body raises `ClientStalled`, so that
what was received can be kept for a resumed upload. Once the body is read, a change goes through to its end, whether or
not the client still waits; only a read (GET, HEAD) is cancelled.
"""

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import trio
from quart.wrappers.request import Body
from quart.wrappers.response import ResponseBody
from quart_trio.asgi import TrioASGIHTTPConnection
from quart_trio.wrappers import TrioRequest

from zotpy.core.errors import ClientStalled

if TYPE_CHECKING:
    from hypercorn.typing import ASGIReceiveCallable
    from quart.wrappers import Request

_READS = frozenset({"GET", "HEAD", "OPTIONS"})
LINGER_S = 30.0
"""How long a body that nobody reads is received and dropped after the answer, as nginx's lingering_close does."""


class BoundedBody(Body):
    """A request body that is received only as fast as it is read."""

    stall_timeout_s = 60.0

    def __init__(self, expected_content_length: int | None, max_content_length: int | None) -> None:
        """Make a body; limits are the handlers' affair, so `max_content_length` is not looked at."""
        del expected_content_length, max_content_length
        self._send, self._receive = trio.open_memory_channel[bytes](0)
        self._gone = False
        self._settled = trio.Event()
        self.finished = False
        """All of it was received from the client."""
        self.received_bytes = 0

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        """Return the next piece; raises `ClientStalled` where there is none in time, or the client went away."""
        try:
            with trio.fail_after(self.stall_timeout_s):
                return await self._receive.receive()
        except trio.EndOfChannel:
            if self._gone:
                msg = "the client closed the connection before the end of the body"
                raise ClientStalled(msg) from None
            raise StopAsyncIteration from None
        except trio.TooSlowError:
            msg = f"the client sent nothing for {self.stall_timeout_s:g} seconds: send again what is missing"
            raise ClientStalled(msg) from None

    async def hand_over(self, data: bytes) -> None:
        """Give the handler a piece and wait until it took it; dropped where nobody will."""
        self.received_bytes += len(data)
        try:
            await self._send.send(data)
        except trio.BrokenResourceError:
            return

    def finish(self) -> None:
        """Say that the body is complete."""
        self.finished = True
        self._settled.set()
        self._send.close()

    def lose(self) -> None:
        """Say that the client went away."""
        self._gone = not self.finished
        self._settled.set()
        self._send.close()

    async def drop(self) -> None:
        """Take no more, and wait until the client has sent the rest, or went away, or took too long."""
        self._receive.close()
        with trio.move_on_after(LINGER_S):
            await self._settled.wait()


class BoundedRequest(TrioRequest):
    """A request with such a body."""

    body_class = BoundedBody  # type: ignore[assignment]  # the seam for a body of another kind


class BoundedHTTPConnection(TrioASGIHTTPConnection):
    """Runs a handler beside the task that receives its body."""

    _is_answered = False

    async def handle_messages(  # type: ignore[override]
        self, nursery: trio.Nursery, request: "Request", receive: "ASGIReceiveCallable"
    ) -> None:
        """Pass on what the server received, one piece at a time, until the client is gone."""
        body = request.body
        assert isinstance(body, BoundedBody)  # noqa: S101 - request_class sees to it
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                body.lose()
                # After the answer it only means that the request is over, and hypercorn is about to watch an idle
                # connection: cancelled there, it would neither time it out nor close it at the end.
                if request.method in _READS and not self._is_answered:
                    nursery.cancel_scope.cancel()
                return
            if message["type"] == "http.request":
                if data := message.get("body", b""):
                    await body.hand_over(data)
                if not message.get("more_body", False):
                    body.finish()

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
        body = request.body
        assert isinstance(body, BoundedBody)  # noqa: S101 - request_class sees to it
        counted = _counting(self._noting_the_end(send), answered)
        if _has_body(request) and not body.finished:
            counted = _lingering(counted, body)
            # What the client still sends would be read as its next request: end the connection after the answer.
            response.headers["Connection"] = "close"
        elif self.app.draining and request.http_version.startswith("1"):  # type: ignore[attr-defined]
            # A client that is not told sends its next request while we close: it cannot know whether that was heard.
            response.headers["Connection"] = "close"
        await self._send_response(counted, response)
        nursery.cancel_scope.cancel()

    def _noting_the_end(self, send: Any) -> Any:
        async def noting(message: Any) -> None:
            if _is_last(message):
                self._is_answered = True
            await send(message)

        return noting


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
