"""S3's documents in the forms that stores write them, and in forms that are none."""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zotpy.s3.wire import responses
from zotpy.s3.wire.responses import ResponseError

if TYPE_CHECKING:
    from collections.abc import Callable

LISTING = """<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><IsTruncated>false</IsTruncated>
<Contents><Key>k</Key><LastModified>2026-11-24T10:00:00Z</LastModified><ETag>&quot;e&quot;</ETag><Size>3</Size></Contents>
</ListBucketResult>"""
PARSERS = [
    responses.parse_listing,
    responses.parse_uploads,
    responses.delete_errors,
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
        damaged("2026-11-24T10:00:00Z", "yesterday"),
        damaged("</Contents>", ""),
        b"<?xml version='1.0' encoding='utf-32'?><ListBucketResult/>",
        b"<?xml version='1.0' encoding='nonsense'?><ListBucketResult/>",
    ],
)
def test_what_is_not_a_listing_is_not_taken_for_an_empty_or_short_one(body: bytes) -> None:
    """Whoever collects garbage deletes what a listing does not name, so half a listing is none."""
    with pytest.raises(ResponseError):
        responses.parse_listing(body)


@pytest.mark.parametrize("parse", PARSERS, ids=NAMES)
@given(body=st.binary(max_size=60) | st.text("<>/?!&;='\" aErrolsKyTagMuip", max_size=60).map(str.encode))
def test_no_document_breaks_a_parser(parse: Callable[[bytes], object], body: bytes) -> None:
    """Whatever a store answers, it is read or it is a `ResponseError`."""
    with suppress(ResponseError):
        parse(body)


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
    (found,) = responses.parse_uploads(body)
    assert (found.key, found.upload_id, found.initiated.hour) == ("data/x", "id", 10)


def test_the_errors_of_a_deletion_are_read() -> None:
    """One code for each object that is still there; an empty answer has none."""
    failed = b"<Error><Key>x</Key><Code>AccessDenied</Code></Error>"
    body = b"<DeleteResult>" + failed + b"<Deleted><Key>y</Key></Deleted></DeleteResult>"
    assert responses.delete_errors(body) == ("AccessDenied",)
    assert responses.delete_errors(b"\n") == ()
