"""The answer to one request: its head, and where its body ends (RFC 9112, section 6).

llhttp reads heads and chunks, by httptools. It is strict: it refuses two lengths, a length beside chunks, a line that
ends in LF alone, and bytes after an answer that ends the connection. A body of known length does not pass through it,
except for what came with the head. The caller reads that body to where it is wanted, and says how much that was.
"""

from collections.abc import Sequence
from typing import NoReturn

from httptools import HttpParserError, HttpParserUpgrade, HttpResponseParser

from zotpy.http.client.transport_errors import RemoteProtocolError

LONGEST_HEAD_BYTES = 64 * 1024
MOST_INTERIM_ANSWERS = 16
"""How many answers such as 100 and 103 may come before the final one."""
_WITHOUT_BODY = frozenset({204, 304})
_VERSIONS = frozenset({"1.0", "1.1"})


class AnswerParser:
    """Reads one answer. `close` ends its use, so that no garbage collector has to find it."""

    status = 0
    has_head = False
    is_over = False
    """All of the answer was received."""
    length = 0
    """How long a body of known length is."""
    left_bytes = 0
    """How many bytes of a body of known length have still to come."""
    has_more = False
    """Bytes came that do not belong to the answer."""
    stays_open = False
    """The service keeps the connection for another request."""
    _is_chunked = False
    _interim = 0
    _quiet_bytes = 0
    """How much came since the last byte of a body."""
    _fault = ""

    def __init__(self, method: str) -> None:
        """Read the answer to a request of this method."""
        self.headers: dict[str, str] = {}
        """The names are in lower case. The values of a repeated header are joined by commas."""
        self._is_head = method == "HEAD"
        self._body: list[bytes] = []
        self._fields: list[tuple[bytes, bytes]] = []
        """The headers as they came, in their order; behind the head those of a trailer, which nobody reads."""
        keep = self._fields.append
        self.on_header = lambda name, value: keep((name, value))
        """Keeps a header. An answer has some ten of them, so they are read together at the end of the head."""
        self._parser: HttpResponseParser | None = HttpResponseParser(self)

    def close(self) -> None:
        """Let go of the parser, which holds this object."""
        self._parser = None

    def feed(self, received: bytes) -> None:
        """Read on; nothing is the end of the connection. Raises `RemoteProtocolError`."""
        if not received:
            self._end()
        elif self.has_head and not self._is_chunked:
            self._body.append(received)  # up to the end of the connection
        elif self._parser is not None:
            self._quiet_bytes += len(received)
            try:
                self._parser.feed_data(received)
            except HttpParserUpgrade as error:
                self._refuse("it switched to another protocol", error)
            except HttpParserError as error:
                if not self.is_over:
                    self._refuse(str(error), error)
                self.has_more = True
            if self._fault:
                self._refuse(self._fault)
            if self._body:
                self._quiet_bytes = 0
            if self._quiet_bytes > LONGEST_HEAD_BYTES and not self.is_over:
                self._refuse(f"more than {LONGEST_HEAD_BYTES} bytes of headers")

    def take(self) -> bytes:
        """Return what is here of the body."""
        if not self._body:
            return b""
        body = self._body[0] if len(self._body) == 1 else b"".join(self._body)
        self._body.clear()
        return body

    def pass_over(self, count: int) -> None:
        """Note that `count` of the `left_bytes` were received elsewhere."""
        self.left_bytes -= count
        self.is_over = not self.left_bytes

    def _end(self) -> None:
        """Take note that the connection has ended."""
        if not self.has_head:
            self._refuse("the connection ended before the answer")
        if self.left_bytes:
            self._refuse(f"the connection ended {self.left_bytes} bytes before the end of the answer")
        if self._is_chunked:
            self._refuse("the connection ended before the last chunk of the answer")
        self.is_over = True

    def _refuse(self, reason: str, cause: Exception | None = None) -> NoReturn:
        raise RemoteProtocolError(reason) from cause

    def on_message_begin(self) -> None:
        """Note that bytes behind the answer came. httptools calls this and what follows."""
        if self.has_head:
            self.has_more = True

    def on_headers_complete(self) -> None:
        """Find out how the body ends."""
        parser = self._parser
        if self.has_head or self._fault or parser is None:
            return
        self.status = status = parser.get_status_code()
        if 100 <= status < 200:  # noqa: PLR2004 - an interim answer
            self._fields.clear()
            self._interim += 1
            if self._interim > MOST_INTERIM_ANSWERS:
                self._fault = f"more than {MOST_INTERIM_ANSWERS} interim answers before the final one"
            return
        if status < 100 or parser.get_http_version() not in _VERSIONS:  # noqa: PLR2004
            self._fault = f"an answer of HTTP {parser.get_http_version()} with the status {status}"
            return
        self._frame(status, parser)

    def _frame(self, status: int, parser: HttpResponseParser) -> None:
        """Read from the headers how long the body is. llhttp has refused what contradicts itself."""
        self.headers = headers = _headers_of(self._fields)
        coding, length = headers.get("transfer-encoding"), headers.get("content-length")
        self.has_head = True
        if self._is_head or status in _WITHOUT_BODY:  # the length is that of a body that does not come (RFC 9110, 8.6)
            self.is_over = True
        elif coding is not None:
            if coding.lower() != "chunked":
                self._fault = f"a body in the unknown coding {coding[:100]!r}"
            self._is_chunked = True
        elif length is not None:
            self.length = self.left_bytes = int(length)
            self.is_over = not self.left_bytes
        if self._is_head:  # without a length, llhttp waits for a body up to the end of the connection
            self.stays_open = parser.get_http_version() == "1.1" and not self._is_last()
        else:
            self.stays_open = parser.should_keep_alive()

    def _is_last(self) -> bool:
        """Say whether the service ends the connection (RFC 9112, 9.6)."""
        return "close" in self.headers.get("connection", "").lower()

    def on_body(self, piece: bytes) -> None:
        """Keep bytes of the body that came with the head, or in chunks."""
        if self.is_over:
            self.has_more = True
            return
        self._body.append(piece)
        if not self._is_chunked and self.left_bytes:
            self.pass_over(len(piece))

    def on_message_complete(self) -> None:
        """Note the end of the answer."""
        self.is_over = self.has_head


def _headers_of(fields: Sequence[tuple[bytes, bytes]]) -> dict[str, str]:
    """Read names and values. No name and no value has a line's end: llhttp has refused it."""
    if not fields:
        return {}
    came, told = zip(*fields, strict=True)
    names = b"\n".join(came).decode("latin-1").lower().split("\n")
    values = list(map(str.rstrip, b"\n".join(told).decode("latin-1").split("\n")))
    headers = dict(zip(names, values, strict=True))
    if len(headers) != len(fields):  # versitygw repeats two of them in each answer
        last = dict(zip(names, range(len(names)), strict=True)).values()
        for place in sorted({*range(len(names))}.difference(last), reverse=True):
            headers[names[place]] = f"{values[place]}, {headers[names[place]]}"
    return headers
