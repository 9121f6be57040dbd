"""What may go wrong with one call, said as data.

A place in a call is a side and a number of bytes: of the `request`, or of the `answer`, so many bytes of the body were
passed on. `None` bytes: not even the head. So `Drop("request")` is a call that never arrives, and `Drop("answer")`
one that the service has done, and nobody learns of it. Bytes of a body are counted as they are sent, chunk by chunk
where it is chunked. A body that is shorter is not touched.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal
from xml.sax.saxutils import escape

import trio

Side = Literal["request", "answer"]


@dataclass(frozen=True, slots=True)
class Reply:
    """An error of the proxy's own, in S3's words; with status 200 it is the error inside a success."""

    status: int = 503
    code: str = "SlowDown"
    headers: Mapping[str, str] = field(default_factory=dict)
    forward: bool = False
    """The service gets the request all the same; its answer is dropped."""
    read_body: bool = True
    """The body is taken in before the answer; else the answer comes first, and is the connection's last."""

    def encode(self, method: str) -> bytes:
        """Write the whole answer."""
        body = f'<?xml version="1.0" encoding="UTF-8"?><Error><Code>{escape(self.code)}</Code></Error>'.encode()
        fields = {"Content-Type": "application/xml", "Content-Length": str(len(body)), **self.headers}
        if not self.read_body:
            fields["Connection"] = "close"
        lines = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
        head = f"HTTP/1.1 {self.status} Fault\r\n{lines}\r\n".encode()
        return head if method == "HEAD" else head + body


@dataclass(frozen=True, slots=True)
class Drop:
    """Both connections end at this place."""

    side: Side
    after_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class Stall:
    """Nothing more passes at this place until `until` is set; without it, never."""

    side: Side
    after_bytes: int | None = None
    until: trio.Event | None = field(default=None, repr=False)
    reached: trio.Event = field(default_factory=trio.Event, repr=False)
    """Set when the call has come to the place."""


@dataclass(frozen=True, slots=True)
class Flip:
    """One byte of a body arrives as another."""

    side: Side
    at_byte: int

    def applied(self, data: bytes, first: int) -> bytes:
        """Return the piece of the body that begins at byte `first`, changed if the byte is in it."""
        at = self.at_byte - first
        if not 0 <= at < len(data):
            return data
        return data[:at] + bytes([data[at] ^ 0xFF]) + data[at + 1 :]


Fault = Reply | Drop | Stall | Flip
