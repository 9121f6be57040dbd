"""Bodies with backpressure, in and out.

Quart's own request body reads ahead without bound: if a handler does not read, the process grows by the whole body.
Here the reader of the body receives from the server, one piece at a time, so nothing is received before it is wanted.
The server in turn stops reading the socket. Nothing is buffered twice.
"""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from types import TracebackType
from typing import TYPE_CHECKING, Any, Protocol, Self
from urllib.parse import parse_qsl

import trio
from quart.wrappers.response import DataBody, ResponseBody
from werkzeug.datastructures import MIMEAccept
from werkzeug.http import parse_accept_header

from zotpy.core.errors import ClientStalled
from zotpy.http.server.cuts import Cut
from zotpy.http.server.fields import Fields, Parameters
from zotpy.http.server.proxies import Reached

if TYPE_CHECKING:
    from hypercorn.typing import ASGIReceiveCallable, ASGIReceiveEvent

    from zotpy.memory.accounts import Account

PROGRESS_BYTES = 64 * 1024
"""How much a client must send of a body each time that it may keep us waiting, unless the body ends."""
LINGER_S = 30.0
"""How long an unread body is received and dropped after the answer, like nginx's lingering_close."""


class BoundedBody:
    """A request body that is received only as fast as it is read."""

    idle_timeout_s = 900.0
    """How long its client may take to send `PROGRESS_BYTES`, or the end."""
    stall_timeout_s = 60.0
    """The same while it holds memory that others wait for; also how often to check whether it does."""
    contested_bytes: Callable[[], int] = staticmethod(lambda: 0)
    """Says how much the client must send in `stall_timeout_s` if the body holds anything; 0: no other waits for
    that."""
    on_piece: Callable[[], None] = staticmethod(lambda: None)
    """Called when something came."""
    is_left: Callable[[], bool] = staticmethod(lambda: False)
    """Says whether the client has closed the connection, as far as that is known."""

    def __init__(self) -> None:
        """Make a body of which nothing has come yet."""
        self._receive: ASGIReceiveCallable | None = None
        self._ask: Callable[[], Awaitable[None]] | None = None
        self._at_hand: Callable[[], ASGIReceiveEvent | None] | None = None
        self.settled = trio.Event()
        """All of it was received, or the client left."""
        self.finished = False
        """All of it was received from the client."""
        self.lost = False
        """The client left before the end."""
        self.left = False
        """The client left, before the end or after it."""
        self.cut: Cut | None = None
        """Why its reader did not get to the end."""
        self.received_bytes = 0
        self.account: Account | None = None
        """What it holds; `None`: unknown, so it may be much."""
        self._waited_s = 0.0
        self._brought_bytes = 0

    def come_from(
        self,
        receive: "ASGIReceiveCallable",
        ask: Callable[[], Awaitable[None]] | None = None,
        at_hand: "Callable[[], ASGIReceiveEvent | None]" = lambda: None,
    ) -> None:
        """Say where the pieces come from. Without that, a read waits until another task has received them.

        `at_hand` returns what `receive` would return at once; `None`: it would have to wait, or the body is over.

        `ask` tells a client that waits for it (`Expect: 100-continue`) to send the body. It is called when a handler
        reads the first piece. So if a request is refused before that, its client never sends the body.
        """
        self._receive, self._ask, self._at_hand = receive, ask, at_hand

    def let_go(self) -> None:
        """Hold nothing of the server any more: the request is over."""
        self._receive = self._ask = self._at_hand = None
        self.settled.set()

    def end(self) -> None:
        """Note that all of it was received."""
        self.finished = True
        self.settled.set()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        """Return the next piece. Raises `ClientStalled` if it does not come in time, or if the client left.

        Only time spent here counts: the client is not to blame for waits for memory or for the store. A trickle is no
        progress: otherwise a client could hold a part of the memory for ever with a byte a minute.

        A client may have opened many uploads and send one after another. Those that rest are cut only when others need
        their memory, or when a balancer would cut them.
        """
        if self._ask is not None:
            ask, self._ask = self._ask, None
            await ask()
        if not (piece := self._piece_at_hand()):
            asked_at = trio.current_time()
            if not self.settled.is_set():
                piece = await self._piece_in_time(asked_at)
            if not piece:
                if self.lost:
                    self.cut = Cut.GONE
                    msg = "the client closed the connection before the end of the body"
                    raise ClientStalled(msg)
                raise StopAsyncIteration
            self._waited_s += trio.current_time() - asked_at
        self._brought_bytes += len(piece)
        if self._brought_bytes >= max(PROGRESS_BYTES, self._asked_bytes()):
            self._waited_s, self._brought_bytes = 0.0, 0
        self.on_piece()
        return piece

    def _asked_bytes(self) -> int:
        """Return how much the client must send because others wait for what the body holds; 0: none waits."""
        if self.account is not None and not self.account.held_bytes:
            return 0
        return self.contested_bytes()

    def _piece_at_hand(self) -> bytes:
        """Return the next piece if the server has it already, as that of a small body: it needs no time limit."""
        while self._at_hand is not None and (message := self._at_hand()) is not None:
            if piece := self.take(message):
                return piece
        return b""

    async def _piece_in_time(self, asked_at: float) -> bytes:
        """Receive the next piece, none at the end. Raises `ClientStalled` if it does not come in time.

        Others may begin to wait for what the body holds while it rests. So that is checked again and again.
        """
        while True:
            is_asked = self._asked_bytes() > 0
            limit_s = self.stall_timeout_s if is_asked else self.idle_timeout_s
            left_s = limit_s - self._waited_s - (trio.current_time() - asked_at)
            with trio.move_on_after(min(max(0.0, left_s), self.stall_timeout_s)):
                return await self._next_piece()
            if left_s <= self.stall_timeout_s and is_asked == (self._asked_bytes() > 0):
                break
        self.cut = Cut.SENDS_NO_MORE
        why = ", and other requests wait for the memory that this one holds" if is_asked else ""
        msg = f"received {self._brought_bytes} bytes in {limit_s:g} seconds{why}: send the missing bytes"
        raise ClientStalled(msg)

    async def _next_piece(self) -> bytes:
        """Receive until bytes come, or none will follow."""
        if self._receive is None:
            await self.settled.wait()
        while not self.settled.is_set():
            if piece := self.take(await self._receive()):  # type: ignore[misc]  # not None, as was seen above
                return piece
        return b""

    def take(self, message: "ASGIReceiveEvent") -> bytes:
        """Note what the server received, and return the bytes in it."""
        if message["type"] == "http.disconnect":
            self.left = True
            self.lost = not self.finished
            self.settled.set()
        if message["type"] != "http.request":
            return b""
        if not message.get("more_body", False):
            self.end()
        piece: bytes = message.get("body", b"")
        self.received_bytes += len(piece)
        return piece

    async def until_left(self) -> None:
        """Wait, after the end of the body, until the client closes the connection. Raises `ClientStalled` then."""
        if self._receive is None:
            await trio.sleep_forever()
        while self.take(await self._receive()) or not self.left:
            pass
        self.cut = Cut.GONE
        msg = "the client closed the connection before it was answered"
        raise ClientStalled(msg)

    async def drop(self) -> None:
        """Take what the client still sends until it has sent all or left, however long that takes."""
        while await self._next_piece():
            pass


class Held(Protocol):
    """Memory that a request holds."""

    def close(self) -> None:
        """Give it back."""
        ...


class BoundedRequest:
    """A request with such a body, as handlers see it. It answers as Quart's does, and reads only what is asked for."""

    __slots__ = (
        "_args",
        "body",
        "connection",
        "headers",
        "held",
        "http_version",
        "key",
        "login",
        "method",
        "path",
        "query",
        "raw_path",
        "reached",
        "route",
        "takes_files",
        "user",
    )

    def __init__(
        self,
        method: str,
        raw_path: str,
        query: str,
        headers: Fields,
        *,
        http_version: str = "1.1",
        connection: Any = None,
    ) -> None:
        """`raw_path` is the path without its percent signs. `connection` is ours, if the server is."""
        self.method = method
        self.raw_path = raw_path
        self.path = "/" + raw_path.lstrip("/")
        """The same with one slash at its beginning."""
        self.query = query
        self.headers = headers
        self.http_version = http_version
        self.connection = connection
        self.body = BoundedBody()
        self.reached = Reached()
        """How its client has reached us."""
        self.route = "none"
        """The rule that its path matches, such as `/v2/<path:name>/blobs/<digest>`."""
        self.user = ""
        """Who makes it; empty if they have not said."""
        self.key = ""
        """The id of the API key by which the caller has logged in, which is no secret; empty: by something else."""
        self.login = ""
        """How the caller is known, such as `htpasswd` or `anonymous`; empty if nobody asks, or if the login failed."""
        self.takes_files = False
        """Pieces of its answer may be in files (`zotpy.core.file_pieces`)."""
        self.held: Held | None = None
        """The memory that its body and its answer take. It is given back once the answer was sent, or cannot be
        sent."""
        self._args: Parameters | None = None

    @property
    def args(self) -> Parameters:
        """The parameters in its query, read as Quart reads them."""
        if self._args is None:
            parsed = parse_qsl(self.query, keep_blank_values=True, errors="werkzeug.url_quote") if self.query else ()
            self._args = Parameters(parsed)
        return self._args

    @property
    def accept_mimetypes(self) -> MIMEAccept:
        """The media types that its client prefers."""
        return parse_accept_header(self.headers.get("Accept"), MIMEAccept)

    @property
    def peer_certificate(self) -> bytes | None:
        """The certificate, DER, that the other end of the connection has shown, and that was verified."""
        certificate: bytes | None = None if self.connection is None else self.connection.wire.peer_certificate
        return certificate

    @property
    def tls_version(self) -> str:
        """The version of TLS of the connection, such as `1.3`; empty without TLS."""
        version: str = "" if self.connection is None else self.connection.wire.tls_version
        return version

    @property
    def has_body(self) -> bool:
        """Whether a body follows the head."""
        return self.headers.get("Content-Length", "0") != "0" or "Transfer-Encoding" in self.headers


def body_of(request: BoundedRequest) -> BoundedBody:
    """Return the body, to be read once."""
    return request.body


def in_memory(data: bytes) -> ResponseBody:
    """Return a response body that is here already."""
    return DataBody(data)


class StreamedBody(ResponseBody):
    """A response body out of a reader that must be entered and left in the task that sends."""

    def __init__(self, reader: AbstractAsyncContextManager[AsyncIterator[bytes]]) -> None:
        """Stream from `reader`, which is entered only when the response is sent."""
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
