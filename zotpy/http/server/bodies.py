"""Bodies of requests, with backpressure.

Quart's own request body reads ahead without bound: if a handler does not read, the process grows by the whole body.
Here the reader of the body receives from the server, one piece at a time, so nothing is received before it is wanted.
The server in turn stops reading the socket. Nothing is buffered twice.
"""

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Self

import trio

from zotpy.core.errors import ClientStalled
from zotpy.http.server.cuts import Cut

if TYPE_CHECKING:
    from hypercorn.typing import ASGIReceiveCallable, ASGIReceiveEvent

    from zotpy.memory.accounts import Account

PROGRESS_BYTES = 64 * 1024
"""How much a client must send of a body each time that it may keep us waiting, unless the body ends."""

SOON_S = 1.0
"""What comes within this time needs no time limit."""


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
        self._soon: Callable[[], Awaitable[ASGIReceiveEvent | None]] | None = None
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
        soon: "Callable[[], Awaitable[ASGIReceiveEvent | None]] | None" = None,
    ) -> None:
        """Say where the pieces come from. Without that, a read waits until another task has received them.

        `at_hand` returns what `receive` would return at once; `None`: it would have to wait, or the body is over.
        `soon` waits for it, for less than `SOON_S`; `None`: it has not come by then.

        `ask` tells a client that waits for it (`Expect: 100-continue`) to send the body. It is called when a handler
        reads the first piece. So if a request is refused before that, its client never sends the body.
        """
        self._receive, self._ask, self._at_hand, self._soon = receive, ask, at_hand, soon

    def let_go(self) -> None:
        """Hold nothing of the server any more: the request is over."""
        self._receive = self._ask = self._at_hand = self._soon = None
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
        if not (piece := self._piece_at_hand()) and not self.settled.is_set():
            asked_at = trio.current_time()
            piece = await self._piece_in_time(asked_at)
            self._waited_s += trio.current_time() - asked_at
        if not piece:
            if self.lost:
                self.cut = Cut.GONE
                msg = "the client closed the connection before the end of the body"
                raise ClientStalled(msg)
            raise StopAsyncIteration
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
        now = asked_at
        while True:
            is_asked = self._asked_bytes() > 0
            limit_s = self.stall_timeout_s if is_asked else self.idle_timeout_s
            left_s = limit_s - self._waited_s - (now - asked_at)
            if self._soon is not None and left_s > SOON_S and not self.settled.is_set():
                message = await self._soon()  # without a time limit of ours, which costs some microseconds
                if message is not None and (piece := self.take(message)):
                    return piece
                left_s = limit_s - self._waited_s - (trio.current_time() - asked_at)
            with trio.move_on_after(min(max(0.0, left_s), self.stall_timeout_s)):
                return await self._next_piece()
            if left_s <= self.stall_timeout_s and is_asked == (self._asked_bytes() > 0):
                break
            now = trio.current_time()
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
