"""What S3 answers to a call that succeeds: listings and other XML documents, times and lengths."""

import email.utils
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from xml.etree import ElementTree as ET

MOST_TAGS = 48 * 1024
"""A listing of 1,000 keys has 24,000 at most. Parsing this many takes less than 50 ms."""
MOST_DIGITS = 20
LONGEST_TIME = 64


class ResponseError(Exception):
    """The store answered something that is not S3."""


@dataclass(frozen=True, slots=True)
class ListedObject:
    """One Contents of a listing."""

    key: str
    size_bytes: int
    etag: str
    last_modified: datetime


@dataclass(frozen=True, slots=True)
class ObjectListing:
    """An answer to ListObjectsV2."""

    objects: tuple[ListedObject, ...]
    prefixes: tuple[str, ...]
    truncated: bool


@dataclass(frozen=True, slots=True)
class ListedUpload:
    """One Upload of ListMultipartUploads."""

    key: str
    upload_id: str
    initiated: datetime


@dataclass(frozen=True, slots=True)
class UploadListing:
    """An answer to ListMultipartUploads."""

    uploads: tuple[ListedUpload, ...]
    truncated: bool
    next_key: str
    next_upload_id: str
    """Where the next page begins. SeaweedFS gives only the latter."""


def parse_xml(body: bytes) -> ET.Element:
    """Parse a document and remove the namespaces. Raises `ResponseError`.

    S3 writes no document type. If one came, its entities could make a short document a very long one. S3 writes no more
    elements than a page has.
    """
    if b"<!DOCTYPE" in body or body.count(b"<") > MOST_TAGS:
        msg = f"the store's answer is not an S3 document: {body[:200]!r}"
        raise ResponseError(msg)
    try:
        root = ET.fromstring(body.strip())  # noqa: S314 - from the store we are configured to trust; expat bounds expansion
    except (ET.ParseError, ValueError, LookupError) as error:  # the latter two: an encoding that expat cannot read
        msg = f"the store's answer is not XML: {body[:200]!r}"
        raise ResponseError(msg) from error
    for element in root.iter():
        element.tag = element.tag.rpartition("}")[2]
    return root


def parse_time(text: str) -> datetime:
    """Read a time in the form of XML documents (ISO 8601) or of headers (RFC 9110). Raises `ResponseError`."""
    return _parse_time(text[:LONGEST_TIME])  # a longer text is not a time, and is not remembered whole


def parse_total(content_range: str) -> int | None:
    """Read the length of an object from a Content-Range; `None` without one. Raises `ResponseError`."""
    if not content_range:
        return None
    total = content_range.rpartition("/")[2]
    if len(total) > MOST_DIGITS or not (total.isascii() and total.isdigit()):
        msg = f"the store answered a range without the object's length: {content_range[:100]!r}"
        raise ResponseError(msg)
    return int(total)


@lru_cache(maxsize=1024)  # the same second comes hundreds of times
def _parse_time(text: str) -> datetime:
    try:
        if "T" in text and not text.endswith("GMT"):
            parsed = datetime.fromisoformat(text)
        else:
            parsed = email.utils.parsedate_to_datetime(text)
        return parsed.astimezone(UTC) if parsed.tzinfo else parsed.replace(tzinfo=UTC)
    except (ValueError, OverflowError, TypeError, IndexError) as error:  # the latter two: the library's own faults
        msg = f"the store's answer has a malformed time: {text!r}"
        raise ResponseError(msg) from error


def parse_listing(body: bytes) -> ObjectListing:
    """Read ListObjectsV2.

    Raises `ResponseError`: if another document passed for an empty listing, data would be deleted.
    """
    root = named_document(body, "ListBucketResult")
    objects = tuple(
        ListedObject(
            _required(item, "Key"), _size(item), text_of(item, "ETag"), parse_time(_required(item, "LastModified"))
        )
        for item in root.findall("Contents")
    )
    prefixes = tuple(_required(item, "Prefix") for item in root.findall("CommonPrefixes"))
    return ObjectListing(objects, prefixes, _truncated(root))


def parse_uploads(body: bytes) -> UploadListing:
    """Read ListMultipartUploads. Raises `ResponseError`."""
    root = named_document(body, "ListMultipartUploadsResult")
    uploads = tuple(
        ListedUpload(_required(item, "Key"), _required(item, "UploadId"), parse_time(_required(item, "Initiated")))
        for item in root.findall("Upload")
    )
    return UploadListing(uploads, _truncated(root), text_of(root, "NextKeyMarker"), text_of(root, "NextUploadIdMarker"))


def parse_field(body: bytes, name: str) -> str:
    """Read one field of a document, such as UploadId of CreateMultipartUpload. Raises `ResponseError`."""
    return _required(parse_xml(body), name)


def named_document(body: bytes, name: str) -> ET.Element:
    """Parse a document that must be called `name`: a proxy's page is sometimes well-formed."""
    root = parse_xml(body)
    if root.tag != name:
        msg = f"the store answered with the document {root.tag[:40]!r}, not {name}"
        raise ResponseError(msg)
    return root


def _required(element: ET.Element, name: str) -> str:
    found = text_of(element, name)
    if not found:
        msg = f"the store's answer has no {name}"
        raise ResponseError(msg)
    return found


def _truncated(root: ET.Element) -> bool:
    """Say whether more follow. Raises `ResponseError` if the store does not say it."""
    text = _required(root, "IsTruncated").strip().lower()
    if text not in {"true", "false"}:
        msg = f"the store's answer has neither true nor false in IsTruncated: {text[:40]!r}"
        raise ResponseError(msg)
    return text == "true"


def _size(element: ET.Element) -> int:
    text = _required(element, "Size")
    if not (text.isascii() and text.isdigit() and len(text) <= MOST_DIGITS):
        msg = f"the store's answer has a malformed size: {text[:40]!r}"
        raise ResponseError(msg)
    return int(text)


def text_of(element: ET.Element, name: str) -> str:
    """Read the text of an element below this one, empty if it is missing."""
    return element.findtext(name) or ""
