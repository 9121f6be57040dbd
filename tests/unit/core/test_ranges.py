import pytest
from hypothesis import given
from hypothesis import strategies as st

from zotpy.core.errors import RangeInvalid, SizeInvalid, TooManyRanges
from zotpy.core.ranges import Span, parse_chunk_range, parse_content_length, parse_read_ranges, upload_range


@pytest.mark.parametrize(
    ("header", "span"),
    [
        ("bytes=0-0", Span(0, 1)),
        ("bytes=0-9", Span(0, 10)),
        ("bytes=3-5", Span(3, 6)),
        ("bytes=9-", Span(9, 10)),
        ("bytes=0-", Span(0, 10)),
        ("bytes=5-99", Span(5, 10)),
        ("bytes=-1", Span(9, 10)),
        ("bytes=-99", Span(0, 10)),
        ("Bytes = 3-5 ", Span(3, 6)),
        ("bytes=0-9999999999999999999", Span(0, 10)),
        (f"bytes=0-{2**64 - 1}", Span(0, 10)),
        (f"bytes=0-{10**60}", Span(0, 10)),
    ],
)
def test_a_range_asks_for_these_bytes_of_ten(header: str, span: Span) -> None:
    """First and last byte are inclusive, a suffix counts from the end, and what lies past the end is cut."""
    assert parse_read_ranges(header, 10, 1) == (span,)


@pytest.mark.parametrize("header", [None, "lines=0-1", "0-1", "lines=0-1,3-4"])
def test_what_is_no_range_of_bytes_is_answered_whole(header: str | None) -> None:
    """RFC 9110 lets a server ignore units that it does not know."""
    assert parse_read_ranges(header, 10, 1) is None


@pytest.mark.parametrize(
    ("header", "spans"),
    [
        ("bytes=0-3,", [(0, 4)]),
        ("bytes=,, 0-3 ,\t,", [(0, 4)]),
        ("bytes=0-1,3-4", [(0, 2), (3, 5)]),
        ("bytes=3-4,0-1", [(0, 2), (3, 5)]),
        ("bytes=0-1, -2", [(0, 2), (8, 10)]),
        ("bytes=0-1,2-3", [(0, 2), (2, 4)]),
        ("bytes=0-4,4-5", [(0, 6)]),
        ("bytes=0-,3-4,-1", [(0, 10)]),
        ("bytes=0-1,0-1", [(0, 2)]),
        ("bytes=0-1,10-,-0,20-30", [(0, 2)]),
    ],
)
def test_several_ranges_are_put_in_order(header: str, spans: list[tuple[int, int]]) -> None:
    """Those that overlap are one, those that touch are not, those outside and those with nothing in them are none."""
    assert parse_read_ranges(header, 10, 5) == tuple(Span(*span) for span in spans)


def test_more_ranges_than_are_answered_are_counted() -> None:
    """Elements with nothing in them do not count."""
    assert parse_read_ranges("bytes=0-1,,,3-4", 10, 2) == (Span(0, 2), Span(3, 5))
    with pytest.raises(TooManyRanges, match="has 3 ranges, but at most 2 are answered"):
        parse_read_ranges("bytes=0-1,3-4,6-7", 10, 2)


@pytest.mark.parametrize(
    "header",
    [
        *("bytes=10-", "bytes=10-11", "bytes=5-4", "bytes=-0", "bytes=-", "bytes=", "bytes=a-b", "bytes=0"),
        *("bytes=--1", "bytes=٣-٤", "bytes=+1-2", f"bytes=0-{10**100}", "bytes=1 - 2"),
        *("bytes=,", "bytes=0-1,x", "bytes=0-1;2-3", "bytes=10-,11-", "bytes=0-1,5-4"),
    ],
)
def test_a_range_that_cannot_be_satisfied_tells_the_size(header: str) -> None:
    """A malformed range, or one past the end, is refused with the length that the content has."""
    with pytest.raises(RangeInvalid) as caught:
        parse_read_ranges(header, 10, 5)
    assert caught.value.size_bytes == 10


@pytest.mark.parametrize("header", ["bytes=0-", "bytes=0-0", "bytes=-1"])
def test_nothing_of_an_empty_content_can_be_ranged_over(header: str) -> None:
    """Content of no bytes has no first byte."""
    with pytest.raises(RangeInvalid):
        parse_read_ranges(header, 0, 5)


@given(st.integers(0, 50), st.integers(0, 50), st.integers(1, 30))
def test_a_range_selects_what_python_slices(first: int, last: int, size: int) -> None:
    """Wherever a range is granted, it is the slice from its first byte to its last, included, and is not empty."""
    content = bytes(range(size))
    expected = content[first : last + 1]
    try:
        spans = parse_read_ranges(f"bytes={first}-{last}", size, 1)
    except RangeInvalid:
        assert expected == b""
    else:
        assert spans is not None
        (span,) = spans
        assert content[span.start : span.end] == expected
        assert span.length == len(expected) > 0


@pytest.mark.parametrize(
    ("header", "span"),
    [
        ("0-0", Span(0, 1)),
        ("5-9", Span(5, 10)),
        (" 5-9 ", Span(5, 10)),
        ("bytes 5-9/10", Span(5, 10)),
        ("bytes 5-9/*", Span(5, 10)),
        ("bytes=5-9", Span(5, 10)),
        (None, None),
    ],
)
def test_a_chunk_says_which_bytes_it_carries(header: str | None, span: Span | None) -> None:
    """The form of the OCI spec and those of HTTP mean the same."""
    assert parse_chunk_range(header) == span


@pytest.mark.parametrize("header", ["", "5", "5-", "-5", "9-5", "a-b", "0-1-2", "bytes 5-9/", "0-99999999999999999999"])
def test_a_malformed_chunk_range_is_refused(header: str) -> None:
    """A Content-Range that names no bytes is never guessed at."""
    with pytest.raises(RangeInvalid):
        parse_chunk_range(header)


@pytest.mark.parametrize(("header", "size"), [(None, None), ("0", 0), ("12", 12), ("0012", 12)])
def test_a_content_length_is_a_number_of_bytes(header: str | None, size: int | None) -> None:
    """Digits are read; without the header nothing is known."""
    assert parse_content_length(header) == size


@pytest.mark.parametrize("header", ["", "-1", "+1", "1.0", "1,2", " 1", "٣", "1" * 20])
def test_a_malformed_content_length_is_refused(header: str) -> None:
    """Anything but a number of digits that fits 64 bits is the client's mistake."""
    with pytest.raises(SizeInvalid):
        parse_content_length(header)


@pytest.mark.parametrize(("offset", "header"), [(0, "0-0"), (1, "0-0"), (2, "0-1"), (1000, "0-999")])
def test_an_upload_names_the_last_byte_that_is_safe(offset: int, header: str) -> None:
    """The Range of an upload is inclusive; the spec has no other form for none."""
    assert upload_range(offset) == header
