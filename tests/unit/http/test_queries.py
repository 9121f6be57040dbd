"""Queries are read as the standard library reads them."""

from __future__ import annotations

from urllib.parse import parse_qsl

import pytest

from zotpy.http.server.bounded_request import BoundedRequest
from zotpy.http.server.fields import Fields

QUERIES = (
    "",
    "&",
    "=",
    "a",
    "a=",
    "=b",
    "a=b=c",
    "a=b&&c=d&",
    "a;b=c;d",
    "tag=1&tag=2&tag=",
    "_state=eyJrIjoi.abc-_&digest=sha256:00",
    "_state=eyJrIjoi.abc-_&digest=sha256%3A00",
    "a+b=c+d",
    "a=%zz&b=%e4",
    "n=10&last=\u00e4 b",
)


@pytest.mark.parametrize("query", QUERIES)
def test_a_query_is_read_as_by_the_standard_library(query: str) -> None:
    """With and without escapes: those without take a shorter way."""
    expected: dict[str, list[str]] = {}
    for name, value in parse_qsl(query, keep_blank_values=True, errors="werkzeug.url_quote"):
        expected.setdefault(name, []).append(value)
    assert BoundedRequest("GET", "/", query, Fields()).args.by_name == expected
