"""Range and Content-Range: of reads (RFC 9110, section 14) and of upload chunks (OCI distribution spec, end-5)."""

import re
from dataclasses import dataclass

from zotpy.core.errors import RangeInvalid, SizeInvalid

_CHUNK = re.compile(r"(?:bytes[ =])?(\d{1,19})-(\d{1,19})(?:/(?:\d{1,19}|\*))?", re.ASCII)
_READ = re.compile(r"(\d{0,19})-(\d{0,19})", re.ASCII)


@dataclass(frozen=True, slots=True)
class Span:
    """Bytes `start` to `end`, end not included; 0 <= start <= end."""

    start: int
    end: int

    @property
    def length(self) -> int:
        """Number of bytes."""
        return self.end - self.start


def parse_read_range(header: str | None, size_bytes: int) -> Span | None:
    """Return the bytes that a Range header asks for, or `None` for all of them.

    Another unit than bytes, and several ranges in one header, are answered whole, as RFC 9110 allows. A range that is
    malformed or that begins past the end raises `RangeInvalid` (416).
    """
    if header is None:
        return None
    unit, _, ranges = header.partition("=")
    if unit.strip().lower() != "bytes" or "," in ranges:
        return None
    match = _READ.fullmatch(ranges.strip())
    if match is None or match.group() == "-":
        msg = f"the range {header[:100]!r} is malformed: write bytes=<first>-<last>"
        raise RangeInvalid(msg, size_bytes=size_bytes)
    first, last = match.groups()
    if first == "":
        start, end = max(0, size_bytes - int(last)), size_bytes
    else:
        start, end = int(first), min(size_bytes, int(last) + 1) if last else size_bytes
    if start >= end:
        msg = f"the range {header[:100]!r} lies outside the content of {size_bytes} bytes"
        raise RangeInvalid(msg, size_bytes=size_bytes)
    return Span(start, end)


def parse_chunk_range(header: str | None) -> Span | None:
    """Return the bytes that a chunk's Content-Range (`<first>-<last>`) says it carries, or `None` without one.

    The forms `bytes <first>-<last>/<size>` of other protocols are understood too. Raises `RangeInvalid`.
    """
    if header is None:
        return None
    match = _CHUNK.fullmatch(header.strip())
    if match is None or int(match[2]) < int(match[1]):
        msg = f"the Content-Range {header[:100]!r} is malformed: write <first byte>-<last byte>"
        raise RangeInvalid(msg)
    return Span(int(match[1]), int(match[2]) + 1)


def parse_content_length(header: str | None) -> int | None:
    """Return a Content-Length in bytes, or `None` without one. Raises `SizeInvalid`."""
    if header is None:
        return None
    if not re.fullmatch(r"\d{1,19}", header, re.ASCII):
        msg = f"the Content-Length {header[:40]!r} is not a number of bytes"
        raise SizeInvalid(msg)
    return int(header)


def upload_range(offset: int) -> str:
    """Write the Range header that says how many bytes of an upload are safe (end-13); `0-0` also for none."""
    return f"0-{max(0, offset - 1)}"
