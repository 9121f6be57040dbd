"""What store calls cost: which operation a request is, what it is priced at, and the table of it."""

from __future__ import annotations

import json

import pytest

from bench.cluster.costs import PRICES, cost_rows, cost_usd
from bench.cluster.markdown import document
from bench.cluster.results import Report
from bench.cluster.runs import Run
from bench.servers.calls import OTHER, operation_of

COPY = b"Host: s3\r\nX-Amz-Copy-Source: /bucket/other\r\n\r\n"


@pytest.mark.parametrize(
    ("line", "operation"),
    [
        ("PUT /bucket/a/b HTTP/1.1", "PutObject"),
        ("PUT /bucket/a/b?x-id=PutObject HTTP/1.1", "PutObject"),
        ("PUT /bucket/a?partNumber=1&uploadId=x HTTP/1.1", "UploadPart"),
        ("POST /bucket/a?uploads= HTTP/1.1", "CreateMultipartUpload"),
        ("POST /bucket/a?uploads HTTP/1.1", "CreateMultipartUpload"),
        ("POST /bucket/a?uploadId=x HTTP/1.1", "CompleteMultipartUpload"),
        ("POST /bucket/?delete= HTTP/1.1", "DeleteObjects"),
        ("GET /bucket/a?partNumber=1 HTTP/1.1", "GetObject"),
        ("GET /bucket/a?uploadId=x HTTP/1.1", "ListParts"),
        ("GET /bucket?uploads&prefix=a HTTP/1.1", "ListMultipartUploads"),
        ("GET /bucket/?list-type=2&prefix=a HTTP/1.1", "ListObjects"),
        ("GET /bucket?prefix=a HTTP/1.1", "ListObjects"),
        ("HEAD /bucket/a HTTP/1.1", "HeadObject"),
        ("HEAD /bucket HTTP/1.1", "HeadBucket"),
        ("DELETE /bucket/a HTTP/1.1", "DeleteObject"),
        ("DELETE /bucket/a?uploadId=x HTTP/1.1", "AbortMultipartUpload"),
        ("TRACE /bucket/a HTTP/1.1", OTHER),
        ("no request", OTHER),
    ],
)
def test_the_first_line_says_which_operation_it_is(line: str, operation: str) -> None:
    """Path style, as all stores of the benchmark are asked."""
    assert operation_of(f"{line}\r\nHost: s3\r\n\r\nx-amz-copy-source: in the body".encode()) == operation


def test_copies_are_told_from_what_brings_bytes() -> None:
    """A header makes the difference."""
    assert operation_of(b"PUT /bucket/a HTTP/1.1\r\n" + COPY) == "CopyObject"
    assert operation_of(b"PUT /bucket/a?partNumber=1&uploadId=x HTTP/1.1\r\n" + COPY) == "UploadPartCopy"


def test_prices_are_those_of_each_kind_of_request() -> None:
    """Writes and lists cost 12.5 times what reads cost, deletions nothing, and what is unknown as much as a write."""
    assert cost_usd({"PutObject": 2, "ListObjects": 1, OTHER: 1}) == pytest.approx(0.02)
    assert cost_usd({"GetObject": 5, "HeadObject": 5}) == pytest.approx(0.004)
    assert cost_usd({"DeleteObject": 9, "DeleteObjects": 9, "AbortMultipartUpload": 9}) == 0


def a_report() -> Report:
    """Return what a run beside another registry found."""
    runs = [Run(name, 1, "builds", "op/s", "", 1, 1.0, 1.0, 1.0, 1.0) for name in ("zotpy", "distribution")]
    runs[0].store_operations = {"PutObject": 10.0, "GetObject": 2.5}
    runs[1].store_operations = {"PutObject": 20.0, "HeadObject": 30.0}
    return Report([], json.loads('{"cost": true}'), {}, {}, "", "", {}, runs=runs)


def test_the_table_has_each_operation_beside_the_peer() -> None:
    """One row for each operation that anybody used, then all calls, then what 1,000 of them cost."""
    rows = [tuple(row.values()) for row in cost_rows(a_report())]
    assert rows == [
        ("builds", "GetObject", "0.0004", "2.50", "0.00"),
        ("builds", "HeadObject", "0.0004", "0.00", "30.00"),
        ("builds", "PutObject", "0.005", "10.00", "20.00"),
        ("builds", "all", "", "12.50", "50.00"),
        ("builds", "USD for 1,000", "", "0.0510", "0.1120"),
    ]
    assert PRICES in document(a_report())
