"""S3's documents in the forms that stores write them, and in forms that are none."""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING
from xml.sax.saxutils import escape

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zotpy.s3.wire import error_answers, responses
from zotpy.s3.wire.responses import ResponseError

if TYPE_CHECKING:
    from collections.abc import Callable

LISTING = """<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><IsTruncated>false</IsTruncated>
<Contents><Key>k</Key><LastModified>2026-11-24T10:00:00Z</LastModified><ETag>&quot;e&quot;</ETag><Size>3</Size></Contents>
</ListBucketResult>"""
PARSERS = [
    responses.parse_listing,
    responses.parse_uploads,
    error_answers.delete_errors,
    lambda body: responses.parse_field(body, "ETag"),
]
NAMES = ["listing", "uploads", "delete", "field"]


def damaged(old: str, new: str) -> bytes:
    """Return a listing in which one thing is another."""
    assert old in LISTING
    return LISTING.replace(old, new).encode()


@pytest.mark.parametrize(
    "body",
    [
        LISTING.encode(),
        b"\n <?xml version='1.0' encoding='UTF-8'?>" + LISTING.encode(),
        damaged(' xmlns="http://s3.amazonaws.com/doc/2006-03-01/"', ""),
        damaged("<Contents>", "<Name>b</Name><Owner><ID>x</ID></Owner><Contents><StorageClass>STANDARD</StorageClass>"),
    ],
    ids=["plain", "declared-after-a-blank", "no-namespace", "more-elements"],
)
def test_a_listing_is_read_in_every_form_that_stores_write(body: bytes) -> None:
    """Namespaces, declarations and further elements make no difference."""
    (found,) = responses.parse_listing(body).objects
    assert (found.key, found.size_bytes, found.etag) == ("k", 3, '"e"')
    assert found.last_modified == datetime(2026, 11, 24, 10, tzinfo=UTC)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html><body>sign in to the network</body></html>",
        b"<ListBucketResult/>",
        damaged("<IsTruncated>false</IsTruncated>", ""),
        damaged("<Key>k</Key>", ""),
        damaged("<Size>3</Size>", ""),
        damaged("3", "three"),
        damaged("3", "-3"),
        damaged("3", "9" * 5000),
        damaged("3", "²"),
        b'<!DOCTYPE r [<!ENTITY e "' + b"x" * 99 + b'">]>' + damaged("<Key>k</Key>", "<Key>&e;</Key>"),
        damaged("2026-11-24T10:00:00Z", "yesterday"),
        damaged("</Contents>", ""),
        damaged("<Size>", "<a/>" * 70_000 + "<Size>"),
        b"<?xml version='1.0' encoding='utf-32'?><ListBucketResult/>",
        b"<?xml version='1.0' encoding='nonsense'?><ListBucketResult/>",
    ],
)
def test_what_is_not_a_listing_is_not_taken_for_an_empty_or_short_one(body: bytes) -> None:
    """The collector deletes what a listing does not name, so half a listing does not count."""
    with pytest.raises(ResponseError):
        responses.parse_listing(body)


@pytest.mark.parametrize("parse", PARSERS, ids=NAMES)
@given(body=st.binary(max_size=60) | st.text("<>/?!&;='\" aErrolsKyTagMuip", max_size=60).map(str.encode))
def test_no_document_breaks_a_parser(parse: Callable[[bytes], object], body: bytes) -> None:
    """Whatever a store answers, it is read or it is a `ResponseError`."""
    with suppress(ResponseError):
        parse(body)


TEXTS = st.text(max_size=40) | st.text("0123456789²٣-+.:TZ GMTue,Nov", max_size=40) | st.integers(0).map(str)
"""What may stand in an element or in a header."""


@given(size=TEXTS, time=TEXTS, key=TEXTS, truncated=TEXTS)
def test_no_field_of_a_listing_breaks_the_parser(size: str, time: str, key: str, truncated: str) -> None:
    """Each field is read, or the listing is a `ResponseError`."""
    fields = f"<Key>{escape(key)}</Key><LastModified>{escape(time)}</LastModified><Size>{escape(size)}</Size>"
    body = f"<ListBucketResult><IsTruncated>{escape(truncated)}</IsTruncated><Contents>{fields}</Contents>"
    with suppress(ResponseError):
        responses.parse_listing(f"{body}</ListBucketResult>".encode())
    with suppress(ResponseError):
        responses.parse_time(time)


@given(
    status=st.integers(300, 999),
    body=st.binary(max_size=80) | TEXTS.map(lambda text: f"<Error><Message>{escape(text)}</Message></Error>".encode()),
    headers=st.dictionaries(st.sampled_from(["retry-after", "x-amz-request-id", "x-amz-bucket-region"]), TEXTS),
)
def test_no_error_breaks_the_parser(status: int, body: bytes, headers: dict[str, str]) -> None:
    """Every answer is a failure of its status, with a wait that is a number and a reason of one short line."""
    failure = error_answers.parse_failure(status, body, headers)
    assert failure.status == status
    assert failure.retry_after_s is None or failure.retry_after_s >= 0
    assert failure.reason.isprintable()
    assert len(failure.reason) < 1000


ELEMENTS = st.sampled_from(["Code", "Message", "RequestId", "Header", "Key", "a1", "a>", ""])
PARTS = st.tuples(
    ELEMENTS, TEXTS.map(escape) | st.sampled_from(["two words", "a&b", "a>b", "a<b/>c", "<Code>x</Code>"])
)


@given(
    parts=st.lists(PARTS, max_size=5),
    before=st.sampled_from(["", '<?xml version="1.0" encoding="UTF-8"?>\n', "<?xml version='1.0'?>", "<", " "]),
    after=st.sampled_from(["", "\n", "x", "<a/>"]),
    root=st.sampled_from(["Error", "Error", "Other"]),
)
def test_plain_errors_are_read_as_the_parser_of_xml_reads_them(
    parts: list[tuple[str, str]], before: str, after: str, root: str
) -> None:
    """The same error with a comment in it is not a plain one."""
    elements = "".join(f"<{name}>{text}</{name}>" for name, text in parts)
    plain, commented = (f"{before}<{root}>{more}{elements}</{root}>{after}".encode() for more in ("", "<!--c-->"))
    plainly, by_parser = (error_answers.parse_failure(404, body, {}) for body in (plain, commented))
    assert (plainly, plainly.reason) == (by_parser, by_parser.reason)


@pytest.mark.parametrize("text", ["²", "٣", "9" * 5000, "-1", "1.5", "Tue, 24 Nov 2026 10:00:00 GMT"])
def test_a_wait_that_is_no_number_of_seconds_is_none(text: str) -> None:
    """Our own delays take its place."""
    assert error_answers.parse_failure(503, b"", {"retry-after": text}).retry_after_s is None


def test_a_message_is_one_short_line() -> None:
    """What the store says cannot draw on a terminal, nor fill a log."""
    body = "<Error><Code>C</Code><Message>one\n two&#x9b;31m" + "x" * 5000 + "</Message></Error>"
    reason = error_answers.parse_failure(400, body.encode(), {"x-amz-request-id": "id"}).reason
    assert reason.startswith("one two?31mxxx")
    assert reason.endswith("…; request id id")
    assert len(reason) < 400


@pytest.mark.parametrize(
    "text", ["", "now", "2026-13-01T00:00:00Z", "Tue, 99 Nov 2026 10:00:00 GMT", "T", "0001-01-01T00:00:00+23:00"]
)
def test_a_time_that_is_none_is_an_error(text: str) -> None:
    """No other clock takes the place of the store's."""
    with pytest.raises(ResponseError):
        responses.parse_time(text)


@pytest.mark.parametrize(
    "text", ["Tue, 24 Nov 2026 10:00:00 GMT", "2026-11-24T10:00:00.000Z", "2026-11-24T12:00:00+02:00"]
)
def test_times_of_headers_and_documents_are_one(text: str) -> None:
    """Both forms come out aware, in UTC."""
    assert responses.parse_time(text) == datetime(2026, 11, 24, 10, tzinfo=UTC)
    assert responses.parse_time(text).tzinfo is UTC


def test_multiparts_under_way_are_read() -> None:
    """Key, id and time of each Upload."""
    body = b"""<ListMultipartUploadsResult><IsTruncated>false</IsTruncated><Upload><Key>data/x</Key>
    <UploadId>id</UploadId><Initiated>2026-11-24T10:00:00Z</Initiated></Upload></ListMultipartUploadsResult>"""
    listing = responses.parse_uploads(body)
    assert not listing.truncated
    (found,) = listing.uploads
    assert (found.key, found.upload_id, found.initiated.hour) == ("data/x", "id", 10)


def test_elements_may_lie_deep() -> None:
    """As deep as a document may have elements: it is read, and freed."""
    deep = damaged("<Size>", "<a>" * 24_000 + "</a>" * 24_000 + "<Size>")
    assert len(responses.parse_listing(deep).objects) == 1


def test_the_errors_of_a_deletion_are_read() -> None:
    """Key and code of each object that is still there; an empty answer has none."""
    failed = b"<Error><Key>x</Key><Code>AccessDenied</Code></Error>"
    body = b"<DeleteResult>" + failed + b"<Deleted><Key>y</Key></Deleted></DeleteResult>"
    assert error_answers.delete_errors(body) == (("x", "AccessDenied"),)
    assert error_answers.delete_errors(b"\n") == ()
