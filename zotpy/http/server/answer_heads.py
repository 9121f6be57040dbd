"""The heads of answers, written as h11 writes them."""

import re
import time
from collections.abc import Iterable

from hypercorn.config import Config

from zotpy.http.server.response import Response

_GOOD = re.compile(
    rb"HTTP/1\.1 [1-5][0-9]{2} \r\n(?:[-!#$%&'*+.^_`|~0-9a-z]++: [\t\x20-\x7e\x80-\xff]*+\r\n)*+",
)


class HeadInvalid(Exception):
    """A header cannot be sent."""


class AnswerHeads:
    """Writes the heads of a server's answers."""

    def __init__(self, config: Config) -> None:
        """`config` says which headers each answer has."""
        self._config = config
        self._second = 0
        self._ours = b""

    def write(self, response: Response, *, is_last: bool) -> bytes:
        """Write a head. `is_last`: its connection ends with the answer. Raises `HeadInvalid`."""
        named = [f"{name.lower()}: {value.strip()}\r\n" for name, value in response.headers]
        if is_last and response.headers.get("Connection") is None:
            named.append("connection: close\r\n")
        head = f"HTTP/1.1 {response.status_code} \r\n{''.join(named)}".encode()
        if _GOOD.fullmatch(head) is None:
            msg = f"no head of an answer: {head!r}"
            raise HeadInvalid(msg)
        return head + self._of_server()

    def _of_server(self) -> bytes:
        """Return the headers of every answer, such as Date, and the end of the head."""
        if (now := int(time.time())) != self._second:
            self._second = now
            self._ours = _lines(self._config.response_headers("h11")) + b"\r\n"
        return self._ours


def _lines(headers: Iterable[tuple[bytes, bytes]]) -> bytes:
    return b"".join(b"%s: %s\r\n" % pair for pair in headers)
