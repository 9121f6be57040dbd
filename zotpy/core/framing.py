r"""How a value is written in one object: a line of JSON, then bytes kept exactly as they came.

The framing needs no object metadata (which stores treat in many ways) and one GET reads all of it::

    {"size":3,"v":1}\nabc
"""

import json
from typing import Any

from zotpy.core.pieces import SMALL_BYTES, Pieces

_ENCODER = json.JSONEncoder(separators=(",", ":"), sort_keys=True)


class FramingError(Exception):
    """The object does not hold a value that this version can read."""


def frame(header: dict[str, Any], body: bytes | bytearray = b"") -> bytes:
    """Write a value."""
    return b"\n".join([_ENCODER.encode(header).encode(), body])


def framed(header: dict[str, Any], body: bytes | Pieces) -> bytes | Pieces:
    """Write a value that may have many bytes: they are not copied, however often the value is written at once."""
    if len(body) < SMALL_BYTES:
        return frame(header, bytes(body))
    pieces = Pieces(frame(header))
    for block in body.blocks() if isinstance(body, Pieces) else [body]:
        pieces.append(block)
    return pieces


def unframe(value: bytes) -> tuple[dict[str, Any], bytes]:
    """Read a value. Raises `FramingError`."""
    line, newline, body = value.partition(b"\n")
    try:
        header = json.loads(line) if newline else None
    except (ValueError, RecursionError) as error:
        msg = "an object of the bucket has a damaged header"
        raise FramingError(msg) from error
    if not isinstance(header, dict):
        msg = "an object of the bucket has no header"
        raise FramingError(msg)
    return header, body
