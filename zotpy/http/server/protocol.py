"""HTTP/1 as hypercorn speaks it, with h11 for large bodies, and with the head of an answer sent together with its body.

hypercorn makes a system call, with a lock and a time limit around it, for each of head, body and end. An answer of a
registry is mostly a head alone, or a head and a document.

No other protocol is offered. Java's HTTP client, for example, asks for HTTP/2 with `Upgrade: h2c` by default. It is
answered with HTTP/1.1 as if it had not asked (RFC 9110, section 7.8).
"""

from typing import Any

import h11
from h11._readers import ContentLengthReader
from hypercorn.events import Closed, RawData
from hypercorn.protocol import ProtocolWrapper
from hypercorn.protocol.events import Body, Request
from hypercorn.protocol.h11 import STREAM_ID, H11Protocol
from hypercorn.protocol.http_stream import ASGIHTTPState, HTTPStream

from zotpy.http import http1
from zotpy.http.server.bad_requests import reason_of
from zotpy.http.server.envelope import error_body
from zotpy.http.server.sending import TOGETHER_BYTES
from zotpy.http.server.targets import TargetInvalid, read_target

_TOO_MANY = 429
_PROBES = frozenset({b"/livez", b"/readyz", b"/startupz"})
"""Answered however many clients are connected: a busy replica must not be killed for that."""


class PassingStream(HTTPStream):
    """One request and its answer; hypercorn's copies each piece of a body, to be sure that it is `bytes`."""

    async def app_send(self, message: Any) -> None:
        """Send what the application says; pieces of a body from where they are."""
        is_piece = message is not None and message["type"] == "http.response.body" and message.get("more_body", False)
        if is_piece and self.state is ASGIHTTPState.RESPONSE and self.scope["method"] != "HEAD":
            if message["body"]:
                await self.send(Body(stream_id=self.stream_id, data=message["body"]))
            return
        await super().app_send(message)


class JoiningProtocol(H11Protocol):
    """One connection."""

    connection: http1.Connection

    def __init__(self, *arguments: Any) -> None:
        """Take hypercorn's arguments."""
        super().__init__(*arguments)
        self.connection = http1.Connection(h11.SERVER, self.config.h11_max_incomplete_size)
        self._head = b""
        """The head of an answer of which nothing was sent yet."""

    async def _check_protocol(self, event: h11.Request) -> None:
        """Stay with HTTP/1: hypercorn would switch to HTTP/2 here."""

    async def _create_stream(self, request: h11.Request) -> None:
        """Pass a request on as it was written, with its method, whatever protocol it would like to switch to.

        hypercorn would leave h11 for WebSocket for good, and turn an unknown method into a known one.
        """
        try:
            target = read_target(request.target)
        except TargetInvalid as error:
            await self.refuse(400, str(error), is_head=request.method == b"HEAD")
            await self.send(Closed())
            return
        if fault := _fault_of_framing(request):
            await self.refuse(400, fault, is_head=request.method == b"HEAD")
            await self.send(Closed())
            return
        if self.connection_state["connection"].is_refused and target.path not in _PROBES:
            message = "this replica serves as many clients as it can: try again"
            await self.refuse(_TOO_MANY, message, is_head=request.method == b"HEAD")
            await self.send(Closed())
            return
        headers = [(name, value) for name, value in request.headers if name != b"upgrade"]
        if target.authority is not None:
            headers = [(name, value) for name, value in headers if name != b"host"]
            headers.append((b"host", target.authority))
        self.stream = PassingStream(
            self.app,
            self.config,
            self.context,
            self.task_group,
            self.ssl,
            self.client,
            self.server,
            self.stream_send,
            STREAM_ID,
        )
        await self.stream.handle(
            Request(
                stream_id=STREAM_ID,
                headers=headers,
                http_version=request.http_version.decode(),
                method=request.method.decode("ascii"),
                raw_path=target.path,
                state=self.connection_state,
            )
        )
        self.keep_alive_requests += 1
        await self.context.mark_request()

    async def ask_for_body(self) -> None:
        """Send `100 Continue` if the client waits for it."""
        if data := self.connection.ask_for_body():
            await self.send(RawData(data))

    async def _send_error_response(self, status_code: int) -> None:
        """Refuse what is not a request; `status_code` is h11's: 400, 431 or 501."""
        await self.refuse(status_code, reason_of(status_code))

    async def refuse(self, status_code: int, message: str, *, is_head: bool = False) -> None:
        """Answer before the application has a request. The connection ends with it."""
        code = "TOOMANYREQUESTS" if status_code == _TOO_MANY else "UNSUPPORTED"
        body = error_body((code, message, None))
        headers = [
            (b"content-type", b"application/json"),
            (b"content-length", str(len(body)).encode()),
            (b"connection", b"close"),
            *([(b"retry-after", b"5")] if status_code == _TOO_MANY else []),
            *self.config.response_headers("h11"),
        ]
        await self._send_h11_event(h11.Response(status_code=status_code, headers=headers))
        if not is_head:
            await self._send_h11_event(h11.Data(data=body))
        await self._send_h11_event(h11.EndOfMessage())

    async def _send_h11_event(self, event: Any) -> None:
        try:
            pieces: Any = self.connection.send_with_data_passthrough(event) or [b""]
            data = pieces[0] if len(pieces) == 1 else b"".join(pieces)
        except h11.LocalProtocolError:
            if self.connection.their_state != h11.ERROR:
                raise
            return
        if isinstance(event, h11.Response):
            self._head = data
            return
        head, self._head = self._head, b""
        if head and len(data) > TOGETHER_BYTES:
            await self.send(RawData(head))
        elif head:
            data = head + data
        if data:
            await self.send(RawData(data))


def _fault_of_framing(request: h11.Request) -> str:
    """Say why a body's end could be seen in two places, or nothing (RFC 9112, sections 6.1 and 6.3).

    A proxy in front that obeys the other header sees a request where we see a part of a body, or the other way round.
    """
    names = {name for name, _ in request.headers}
    if b"transfer-encoding" not in names:
        return ""
    if b"content-length" in names:
        return "the request has both Content-Length and Transfer-Encoding: send one of them"
    if request.http_version < b"1.1":
        return "HTTP/1.0 has no Transfer-Encoding: send a Content-Length"
    return ""


def join(wrapper: ProtocolWrapper) -> None:
    """Make a new connection speak HTTP/1 in this way, unless HTTP/2 was agreed on."""
    if isinstance(wrapper.protocol, H11Protocol):
        wrapper.protocol = JoiningProtocol(
            wrapper.app,
            wrapper.config,
            wrapper.context,
            wrapper.task_group,
            wrapper.state,
            wrapper.ssl,
            wrapper.client,
            wrapper.server,
            wrapper.send,
        )


def left_of_body(wrapper: ProtocolWrapper) -> int | None:
    """Return how many bytes of the received body are still to come, 0 without one; `None`: unknown."""
    protocol = wrapper.protocol
    if not isinstance(protocol, JoiningProtocol) or protocol.connection.their_state is not h11.SEND_BODY:
        return 0
    reader = protocol.connection._reader  # noqa: SLF001 - h11 does not tell
    return reader._remaining if isinstance(reader, ContentLengthReader) else None  # noqa: SLF001
