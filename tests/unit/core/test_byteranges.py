"""The form of answers with several ranges."""

from __future__ import annotations

from email import message_from_bytes

from hypothesis import given
from hypothesis import strategies as st

from zotpy.core.byteranges import JOIN_BYTES, ByteRanges, PartCutter
from zotpy.core.ranges import Span

BOUNDARY = "0123456789abcdef0123456789abcdef"
CONTENT = bytes(number % 251 for number in range(300))


def written(form: ByteRanges, content: bytes, piece_bytes: int) -> bytes:
    """Write the whole body, from reads that come in pieces."""
    body = bytearray()
    for spans in form.reads():
        cutter = PartCutter(form, spans)
        for start in range(spans[0].start, spans[-1].end, piece_bytes):
            for cut in cutter.cut(content[start : min(start + piece_bytes, spans[-1].end)]):
                body += cut
    return bytes(body + form.end)


@given(st.sets(st.integers(0, len(CONTENT)), min_size=4, max_size=40), st.integers(1, 400), st.booleans())
def test_a_reader_of_mime_finds_the_bytes(places: set[int], piece_bytes: int, touching: bool) -> None:  # noqa: FBT001 - hypothesis passes it so
    """Python's own parser gets each part with its range, wherever the pieces of a read are cut."""
    edges = sorted(places)
    step = 1 if touching else 2
    spans = [Span(*pair) for pair in zip(edges[:-1:step], edges[1::step], strict=False)]
    form = ByteRanges(spans, len(CONTENT), "application/octet-stream", BOUNDARY)
    body = written(form, CONTENT, piece_bytes)
    assert len(body) == form.length
    whole = message_from_bytes(f"Content-Type: {form.content_type}\r\n\r\n".encode() + body)
    parts = list(whole.walk())[1:]
    found = body.split(f"\r\n--{BOUNDARY}".encode())
    assert len(parts) == len(spans)
    assert [part.get_content_type() for part in parts] == [form.media_type] * len(spans)
    for span, part, raw in zip(spans, parts, found[1:-1], strict=True):
        assert part["Content-Range"] == f"bytes {span.start}-{span.end - 1}/{len(CONTENT)}"
        assert raw.partition(b"\r\n\r\n")[2] == CONTENT[span.start : span.end]


def test_spans_that_are_near_are_read_at_once() -> None:
    """A gap that costs less than another call is read and dropped; a longer one is not read."""
    near, far = Span(10 + JOIN_BYTES, 20 + JOIN_BYTES), Span(21 + 2 * JOIN_BYTES, 30 + 2 * JOIN_BYTES)
    form = ByteRanges([Span(0, 10), near, far], 10**6, "a/b", BOUNDARY)
    assert list(form.reads()) == [[Span(0, 10), near], [far]]
