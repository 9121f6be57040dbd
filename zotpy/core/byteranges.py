"""The form of an answer with several ranges: `multipart/byteranges` (RFC 9110, section 14.6).

Each part has a head of its own, which says where its bytes are; a line ends the last one::

    --<boundary>
    Content-Type: application/octet-stream
    Content-Range: bytes 0-4/100

    <5 bytes>
    --<boundary>--
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from zotpy.core.ranges import Span

JOIN_BYTES = 64 * 1024
"""Spans that are no further apart are read with one call: the bytes between them cost less than another call."""


def content_range(span: Span, size_bytes: int) -> str:
    """Write where the bytes of an answer, or of one part of it, are in the whole content."""
    return f"bytes {span.start}-{span.end - 1}/{size_bytes}"


@dataclass(frozen=True, slots=True)
class ByteRanges:
    """The body of an answer with several ranges."""

    spans: Sequence[Span]
    """In order. None is empty, and none overlaps another."""
    size_bytes: int
    """Length of the whole content."""
    media_type: str
    """Media type of the content."""
    boundary: str
    """A line that no part contains: random, with at least 20 letters or digits."""

    @property
    def content_type(self) -> str:
        """The media type of the answer."""
        return f"multipart/byteranges; boundary={self.boundary}"

    @property
    def length(self) -> int:
        """Number of bytes of the body."""
        return sum(len(self.head(span)) + span.length for span in self.spans) + len(self.end)

    def head(self, span: Span) -> bytes:
        """Write what stands before the bytes of a span."""
        lines = (
            f"\r\n--{self.boundary}",
            f"Content-Type: {self.media_type}",
            f"Content-Range: {content_range(span, self.size_bytes)}",
        )
        return "\r\n".join((*lines, "", "")).encode()

    @property
    def end(self) -> bytes:
        """What stands after all parts."""
        return f"\r\n--{self.boundary}--\r\n".encode()

    def reads(self) -> Iterator[Sequence[Span]]:
        """Group the spans by what is read with one call: the bytes from the first's start to the last's end."""
        group: list[Span] = []
        for span in self.spans:
            if group and span.start - group[-1].end > JOIN_BYTES:
                yield group
                group = []
            group.append(span)
        if group:
            yield group


class PartCutter:
    """Cuts the parts of one group of spans out of what is read for it, piece by piece."""

    def __init__(self, form: ByteRanges, spans: Sequence[Span]) -> None:
        """Begin at the start of the first span."""
        self._form = form
        self._spans = list(reversed(spans))
        self._position = spans[0].start

    def cut(self, piece: bytes) -> Iterator[bytes]:
        """Yield the bytes of the body that belong to the next piece: heads of parts that begin in it, and its bytes."""
        start, end = self._position, self._position + len(piece)
        self._position = end
        while self._spans and self._spans[-1].start < end:
            span = self._spans[-1]
            if span.start >= start:
                yield self._form.head(span)
            yield piece[max(0, span.start - start) : span.end - start]
            if span.end > end:
                return
            self._spans.pop()
