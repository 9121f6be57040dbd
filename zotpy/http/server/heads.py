"""The heads of ordinary requests, read by one regular expression. h11 reads all others.

h11 takes a head apart with an expression for each line, and normalizes and checks it in Python. That costs ten times as
much. What is read here is a part of what h11 accepts, and read alike: `tests/unit/http/test_heads.py` compares both. So
whatever is unusual, malformed, incomplete or too long is h11's matter, and a refusal is its refusal.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from zotpy.core.quick import quickly_made
from zotpy.http.server.fields import Fields

_TOKEN = rb"[-!#$%&'*+.^_`|~0-9A-Za-z]"
_HEAD = re.compile(
    rb"([A-Z]{1,32}) (/[!\"$-~]*+) HTTP/1\.1\r\n((?:" + _TOKEN + rb"++:[\t\x20-\x7e\x80-\xff]*+\r\n)++)\r\n"
)
"""No part of it can give back what it took, so it takes a time in proportion to the head, whatever that holds."""
_LINE = re.compile(r"([^:]*):([^\r]*)\r\n")
"""A line of the fields, whose form `_HEAD` has seen: the name and the value, with the blanks around it."""
_UNUSUAL = frozenset({"expect", "upgrade"})
_LENGTH = re.compile(r"[0-9]{1,18}", re.ASCII)
_WITH_BODY = frozenset({"POST", "PUT", "PATCH", "DELETE"})


@quickly_made
@dataclass(frozen=True, slots=True)
class Head:
    """The head of a request of HTTP/1.1, on a connection that goes on after it. Only a change has a body."""

    method: str
    target: str
    """A path with its query. It begins with a slash and has no fragment."""
    fields: Fields
    length: int | None
    """That of the body, in bytes; 0 without one, `None` if it comes in chunks."""
    end: int
    """How many bytes the head takes."""


def read_head(received: bytes, most_bytes: int) -> Head | None:
    """Read the head at the beginning of what was received. `None`: it is none of these, or longer than `most_bytes`."""
    found = _HEAD.match(received)
    if found is None or found.end() > most_bytes:
        return None
    verb, target, lines = found.groups()
    method = verb.decode("ascii")
    fields = Fields.of_lines(_LINE.findall(lines.decode("latin-1")))
    named = fields.by_name
    if len(named.get("host", ())) != 1 or not _UNUSUAL.isdisjoint(named):
        return None
    if "connection" in named and [value.lower() for value in named["connection"]] != ["keep-alive"]:
        return None
    if not _has_one_end(named.get("content-length", ()), named.get("transfer-encoding", ())):
        return None
    length = None if "transfer-encoding" in fields else int(fields.get("content-length", "0"))
    if length != 0 and method not in _WITH_BODY:
        return None
    return Head(method, target.decode("ascii"), fields, length, found.end())


def _has_one_end(lengths: Sequence[str], codings: Sequence[str]) -> bool:
    """Say whether the end of the body is where everybody sees it: a length, or chunks, or neither."""
    if codings:
        return not lengths and [coding.lower() for coding in codings] == ["chunked"]
    return not lengths or (len(lengths) == 1 and _LENGTH.fullmatch(lengths[0]) is not None)
