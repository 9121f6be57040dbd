"""Range and Content-Range: of reads (RFC 9110, section 14) and of upload chunks (OCI distribution spec, end-5)."""

import re
from dataclasses import dataclass

from zotpy.core.errors import RangeInvalid, SizeInvalid, TooManyRanges

_CHUNK = re.compile(r"(?:bytes[ =])?(\d{1,19})-(\d{1,19})(?:/(?:\d{1,19}|\*))?", re.ASCII)
_READ = re.compile(r"(\d{0,100})-(\d{0,100})", re.ASCII)


@dataclass(frozen=True, slots=True)
class Span:
    """Bytes `start` to `end`, without `end`; 0 <= start <= end."""

    start: int
    end: int

    @property
    def length(self) -> int:
        """Number of bytes."""
        return self.end - self.start


def parse_read_ranges(header: str | None, size_bytes: int, most: int) -> tuple[Span, ...] | None:
    """Return the bytes that a Range header asks for, or `None` for all of them.

    Spans are in order, none is empty, and none overlaps another. Ranges that overlap are joined. Ranges that only touch
    stay separate: containers/storage asks for the files of a zstd:chunked layer in this way, and expects as many parts
    as it asked for. Empty elements mean nothing (RFC 9110, section 5.6.1). Of several ranges, those outside the content
    are left out. If the unit is not bytes, the answer is the whole content.

    Raises `TooManyRanges` (400) for more ranges than `most`. Raises `RangeInvalid` (416) if a range is malformed or all
    lie outside.
    """
    if header is None:
        return None
    unit, _, ranges = header.partition("=")
    if unit.strip().lower() != "bytes":
        return None
    listed = [text for item in ranges.split(",") if (text := item.strip())]
    if len(listed) > most:
        msg = f"the request has {len(listed)} ranges, but at most {most} are answered at once: ask for fewer"
        raise TooManyRanges(msg)
    spans = sorted((_read_span(text, header, size_bytes) for text in listed or [""]), key=lambda span: span.start)
    joined: list[Span] = []
    for span in spans:
        if not span.length:
            continue
        if joined and span.start < joined[-1].end:
            joined[-1] = Span(joined[-1].start, max(joined[-1].end, span.end))
        else:
            joined.append(span)
    if not joined:
        msg = f"the range {header[:100]!r} lies outside the content of {size_bytes} bytes"
        raise RangeInvalid(msg, size_bytes=size_bytes)
    return tuple(joined)


def _read_span(text: str, header: str, size_bytes: int) -> Span:
    """Read one range of a header; it is empty if it lies outside. Raises `RangeInvalid`."""
    match = _READ.fullmatch(text)
    first, last = match.groups() if match is not None else ("", "")
    if not (first or last) or (first and last and int(last) < int(first)):
        msg = f"the range {header[:100]!r} is malformed: write bytes=<first>-<last>"
        raise RangeInvalid(msg, size_bytes=size_bytes)
    if first == "":
        return Span(max(0, size_bytes - int(last)), size_bytes)
    start = min(int(first), size_bytes)
    return Span(start, min(size_bytes, int(last) + 1) if last else size_bytes)


def parse_chunk_range(header: str | None) -> Span | None:
    """Return the bytes that a chunk's Content-Range (`<first>-<last>`) says it carries, or `None` without one.

    It also accepts the form of other protocols, `bytes <first>-<last>/<size>`. Raises `RangeInvalid`.
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
    """Write the Range header that says how many bytes of an upload are safe (end-13). No bytes are `0-0`, too."""
    return f"0-{max(0, offset - 1)}"
