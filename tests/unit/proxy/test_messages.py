"""Where bodies end, what requests are called, and how the rate is kept."""

from __future__ import annotations

import pytest
import trio
import trio.testing

from tests.proxy.framing import Chunked, Length
from tests.proxy.peers import Pace
from tests.proxy.requests import operation_of, parse_answer, parse_request

CHUNKED = b"5;name=value\r\nhello\r\n1\r\n\n\r\n0\r\nTrailer: x\r\n\r\n"


@pytest.mark.parametrize("step", range(1, len(CHUNKED) + 5))
def test_a_chunked_body_ends_where_it_ends_however_it_is_cut(step: int) -> None:
    """Bytes of the next message are not taken for its own."""
    body, stream, taken = Chunked(), CHUNKED + b"NEXT", 0
    while not body.done:
        taken += body.take(stream[taken : taken + step])
    assert taken == len(CHUNKED)


def test_a_body_of_known_length_takes_no_more() -> None:
    """What follows belongs to the next message."""
    body = Length(5)
    assert (body.take(b"abc"), body.done, body.most) == (3, False, 2)
    assert (body.take(b"defg"), body.done) == (2, True)


@pytest.mark.parametrize(
    ("method", "target", "operation"),
    [
        ("PUT", "/b/k", "PutObject"),
        ("PUT", "/b/k?partNumber=1&uploadId=x", "UploadPart"),
        ("POST", "/b/k?uploads=", "CreateMultipartUpload"),
        ("POST", "/b/k?uploads", "CreateMultipartUpload"),
        ("POST", "/b/k?uploadId=x", "CompleteMultipartUpload"),
        ("DELETE", "/b/k?uploadId=x", "AbortMultipartUpload"),
        ("GET", "/b/k?uploadId=x", "ListParts"),
        ("DELETE", "/b/k", "DeleteObject"),
        ("GET", "/b/k/l", "GetObject"),
        ("HEAD", "/b/k", "HeadObject"),
        ("POST", "/b?delete=", "DeleteObjects"),
        ("GET", "/b?list-type=2&prefix=x", "ListObjectsV2"),
        ("GET", "/b/?prefix=x", "ListObjects"),
        ("GET", "/b?uploads=&prefix=x", "ListMultipartUploads"),
        ("PUT", "/b", "CreateBucket"),
        ("OPTIONS", "/b/k", "OPTIONS"),
        ("OPTIONS", "/b", "OPTIONS"),
    ],
)
def test_operations_have_the_names_that_s3_gives_them(method: str, target: str, operation: str) -> None:
    """Method, key and query decide."""
    assert parse_request(f"{method} {target} HTTP/1.1\r\nHost: s\r\n\r\n".encode(), 1).operation == operation


def test_a_copy_is_not_a_put() -> None:
    """The source in a header makes the difference."""
    headers = {"x-amz-copy-source": "/b/other"}
    assert operation_of("PUT", "k", {}, headers) == "CopyObject"
    assert operation_of("PUT", "k", {"partNumber": "1", "uploadId": "x"}, headers) == "UploadPartCopy"


def test_an_announcement_is_not_the_answer() -> None:
    """100 Continue is followed by another head."""
    assert not parse_answer(b"HTTP/1.1 100 Continue\r\n\r\n").is_final
    assert parse_answer(b"HTTP/1.1 204 No Content\r\n\r\n").is_final


async def test_the_rate_is_kept_over_a_body(autojump_clock: trio.testing.MockClock) -> None:
    """90 MB at 90 MB/s take a second, in pieces of whatever length, and a pause before saves nothing up."""
    del autojump_clock
    pace = Pace(90e6)
    for size_bytes in (1_000, 250_000, 1_000_000):
        await trio.sleep(5)
        began = trio.current_time()
        pace.begin()
        for _ in range(90_000_000 // size_bytes):
            await pace.spend(size_bytes)
        assert trio.current_time() - began == pytest.approx(1.0, abs=0.002)
