"""One answer on its way to the client: what is noted of it, and when its head is sent."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import structlog
import trio

from zotpy.http.server.bodies import BoundedBody
from zotpy.http.server.bounded_request import BoundedRequest
from zotpy.http.server.cuts import Cut
from zotpy.http.server.proxies import Reached, TrustedProxies
from zotpy.http.server.response import Response

READS = frozenset({"GET", "HEAD", "OPTIONS"})
"""The methods of requests that change nothing: they are of no use once their client has left."""
TOGETHER_BYTES = 64 * 1024
"""A longer piece is not copied behind the head."""
LINGER_S = 30.0
"""How long an unread body is received and dropped after the answer, like nginx's lingering_close."""

log = structlog.get_logger()


@dataclass(slots=True)
class Answered:
    """One request, as it went."""

    method: str
    route: str
    """The rule that matched, such as `/v2/<path:name>/blobs/<digest>`."""
    path: str
    reached: Reached
    """Where its client is, and how it was reached."""
    started: float
    """On trio's clock, in seconds."""
    status: int = 0
    """0: the client left before the answer."""
    received_bytes: int = 0
    sent_bytes: int = 0
    cut: Cut | None = None
    user: str = ""
    """Who made it; empty if they have not said."""
    login: str = ""
    """How the caller is known; empty if nobody asked, or if the login failed."""

    def cut_by(self, error: Exception) -> None:
        """Note and log that the answer is cut because of a failure that is no fault of the program."""
        self.cut = Cut.STORE_FAILED
        log.error("answer_cut", path=self.path, reason=str(error) or type(error).__name__)


@runtime_checkable
class Application(Protocol):
    """What answers requests."""

    proxies: TrustedProxies
    under_way: int
    draining: bool

    def prepare_body(self, body: BoundedBody, connection: Any) -> None:
        """Set how long the client of a body may keep us waiting."""

    async def handle_request(self, request: BoundedRequest) -> Response:
        """Answer. It raises only cancellation."""
        ...

    def failed(self, error: BaseException) -> Response:
        """Return the answer to a request that failed after its handler was done."""
        ...

    def on_answered(self, answered: Answered, ended: float) -> None:
        """Report that a request ended."""


def counting(send: Any, answered: Answered) -> Any:
    """Return what sends messages of an answer, and counts the bytes of its body."""

    async def counted(message: Any) -> None:
        if answered.method != "HEAD":
            answered.sent_bytes += len(message.get("body", b""))
        await send(message)

    return counted


class HeldHead:
    """Sends the head of an answer with the first of its body: one that cannot begin may still become an error."""

    def __init__(self, send: Any) -> None:
        """Send nothing yet."""
        self._send = send
        self._head: Any = None
        self.sent = False

    async def __call__(self, message: Any) -> None:
        """Send a message of the answer, or hold it if it is the head."""
        if message["type"] == "http.response.start":
            self._head = message
            return
        if not self.sent:
            self.sent = True
            await self._send(self._head)
        await self._send(message)


def is_last(message: Any) -> bool:
    """Whether the answer ends with this message."""
    return message["type"] == "http.response.body" and not message.get("more_body", False)


async def linger(body: BoundedBody) -> None:
    """Take what the client still sends after the answer, for half a minute at most; see `lingering`."""
    with trio.move_on_after(LINGER_S):
        await body.drop()


def lingering(send: Any, body: BoundedBody, on_told: Callable[[], None]) -> Any:
    """Hold back the end of the answer until the client has sent what it is sending, or for half a minute.

    Closing a socket with unread bytes resets the connection. The reset overtakes an answer that the client, or the
    proxy before it, has not read yet. So a client that sends a large body would never learn why it was refused.
    """

    async def held_open(message: Any) -> None:
        if is_last(message):
            if message.get("body"):
                await send({**message, "more_body": True})
            if body.cut is None:
                on_told()
            with trio.move_on_after(LINGER_S):
                await body.settled.wait()
            message = {**message, "body": b""}
        await send(message)

    return held_open
