"""The answer to one request: its head, and where its body ends (RFC 9112, section 6).

llhttp reads heads and chunks, by httptools. It is strict: it refuses two lengths, a length beside chunks, a line that
ends in LF alone, a header on two lines, and bytes after an answer that ends the connection. So in a head that it has
read, each line is a header. A body of known length does not pass through it, except for what came with the head. The
caller reads that body to where it is wanted, and says how much that was.
"""

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
    _head = b""
    """What came up to the end of the head, and with it. llhttp could hand out each header, which takes longer."""
    _quiet_bytes = 0
    """How much came since the last byte of a body."""
    _fault = ""

    def __init__(self, method: str) -> None:
        """Read the answer to a request of this method."""
        self.headers: dict[str, str] = {}
        """The names are in lower case. The values of a repeated header are joined by commas."""
        self._is_head = method == "HEAD"
        self._body: list[bytes] = []
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
            if not self.has_head:
                self._head += received
            try:
                self._parser.feed_data(received)
            except HttpParserUpgrade as error:
                self._refuse("it switched to another protocol", error)
            except HttpParserError as error:
                if not self.is_over:
                    self._refuse(str(error), error)
                self.has_more = True
            if self._body:
                self._quiet_bytes = 0
            if self._fault or (self._quiet_bytes > LONGEST_HEAD_BYTES and not self.is_over):
                self._refuse(self._fault or f"more than {LONGEST_HEAD_BYTES} bytes of headers")

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
            self._take_head()
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
        self.headers = headers = _headers_of(self._take_head())
        coding, length = headers.get("transfer-encoding"), headers.get("content-length")
        self.has_head, self._head = True, b""  # what came behind it is handed to `on_body`
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

    def _take_head(self) -> bytes:
        """Return the head that has just ended, and keep what came behind it. Empty lines before it do not count."""
        head, _, self._head = self._head.lstrip(b"\r\n").partition(b"\r\n\r\n")
        return head

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


def _headers_of(head: bytes) -> dict[str, str]:
    """Read the headers of a head that llhttp has read: behind the status line, each line is one of them."""
    headers: dict[str, str] = {}
    _, *lines = head.decode("latin-1").split("\r\n")
    for line in lines:
        name, _, value = line.partition(":")
        name, value = name.lower(), value.strip(" \t")
        headers[name] = f"{headers[name]}, {value}" if name in headers else value  # versitygw repeats two of them
    return headers
