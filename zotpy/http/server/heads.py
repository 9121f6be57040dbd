"""The heads of ordinary requests, read by one regular expression. h11 reads all others.

h11 takes a head apart with an expression for each line, and normalizes and checks it in Python. That costs ten times as
much. What is read here is a part of what h11 accepts, and read alike: `tests/unit/http/test_heads.py` compares both. So
whatever is unusual, malformed, incomplete or too long is h11's matter, and a refusal is its refusal.
"""

import re
from dataclasses import dataclass

from zotpy.http.server.fields import Fields

_TOKEN = rb"[-!#$%&'*+.^_`|~0-9A-Za-z]"
_HEAD = re.compile(
    rb"([A-Z]{1,32}) (/[!\"$-~]*+) HTTP/1\.1\r\n((?:" + _TOKEN + rb"++:[\t\x20-\x7e\x80-\xff]*+\r\n)++)\r\n"
)
"""No part of it can give back what it took, so it takes a time in proportion to the head, whatever that holds."""
_UNUSUAL = ("transfer-encoding", "expect", "upgrade")
_NO_LENGTH = (None, "0")


@dataclass(frozen=True, slots=True)
class Head:
    """The head of a request of HTTP/1.1 without a body, on a connection that goes on after it."""

    method: str
    target: str
    """A path with its query. It begins with a slash and has no fragment."""
    fields: Fields
    end: int
    """How many bytes it takes."""


def read_head(received: bytes, most_bytes: int) -> Head | None:
    """Read the head at the beginning of what was received. `None`: it is none of these, or longer than `most_bytes`."""
    found = _HEAD.match(received)
    if found is None or found.end() > most_bytes:
        return None
    method, target, lines = found.groups()
    listed = []
    for line in lines.decode("latin-1").split("\r\n"):
        name, _, value = line.partition(":")
        listed.append((name.lower(), value.strip(" \t")))
    fields = Fields(listed[:-1])  # nothing follows the last line's end
    if len(fields.getlist("host")) != 1 or fields.get("connection", "keep-alive").lower() != "keep-alive":
        return None
    if any(name in fields for name in _UNUSUAL) or len(fields.getlist("content-length")) > 1:
        return None
    if fields.get("content-length") not in _NO_LENGTH or len(fields.getlist("connection")) > 1:
        return None
    return Head(method.decode("ascii"), target.decode("ascii"), fields, found.end())
