"""What S3 answers: XML documents, dates, and errors, also those inside a 200."""

import email.utils
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from xml.etree import ElementTree as ET

from zotpy.s3.wire.retry import Failure

MOST_TAGS = 48 * 1024
"""A listing of 1,000 keys has 24,000 at most. Parsing this many takes less than 50 ms."""
MOST_DIGITS = 20
LONGEST_TIME = 64
LONGEST_REASON = 300
_DETAILS = ("ArgumentName", "Header", "Condition", "Details", "Region", "Endpoint")
"""What S3 adds to a message in other elements: which header it refuses, which region it expects."""


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
    root = _document(body, "ListBucketResult")
    objects = tuple(
        ListedObject(
            _required(item, "Key"), _size(item), _text(item, "ETag"), parse_time(_required(item, "LastModified"))
        )
        for item in root.findall("Contents")
    )
    prefixes = tuple(_required(item, "Prefix") for item in root.findall("CommonPrefixes"))
    return ObjectListing(objects, prefixes, _truncated(root))


def parse_uploads(body: bytes) -> UploadListing:
    """Read ListMultipartUploads. Raises `ResponseError`."""
    root = _document(body, "ListMultipartUploadsResult")
    uploads = tuple(
        ListedUpload(_required(item, "Key"), _required(item, "UploadId"), parse_time(_required(item, "Initiated")))
        for item in root.findall("Upload")
    )
    return UploadListing(uploads, _truncated(root), _text(root, "NextKeyMarker"), _text(root, "NextUploadIdMarker"))


def parse_field(body: bytes, name: str) -> str:
    """Read one field of a document, such as UploadId of CreateMultipartUpload. Raises `ResponseError`."""
    return _required(parse_xml(body), name)


def parse_failure(status: int, body: bytes, headers: Mapping[str, str]) -> Failure:
    """Read an error; one without a document (HEAD, proxies) has an empty code."""
    code, reasons = "", list[str]()
    request_id = headers.get("x-amz-request-id", "")
    if body.lstrip().startswith(b"<"):
        try:
            root = parse_xml(body)
        except ResponseError:
            pass
        else:
            code = _words(_text(root, "Code"), 100)
            reasons = [_text(root, "Message"), *(f"{name} {text}" for name in _DETAILS if (text := _text(root, name)))]
            request_id = request_id or _text(root, "RequestId")
    if region := headers.get("x-amz-bucket-region", ""):
        reasons.append(f"the bucket is in {region}")
    reason = "; ".join(_words(text, LONGEST_REASON) for text in reasons if text)[: 2 * LONGEST_REASON]
    if request_id:
        reason = f"{reason}{'; ' if reason else ''}request id {_words(request_id, 100)}"
    return Failure(status, code, _seconds(headers.get("retry-after", "")), reason)


def _seconds(text: str) -> float | None:
    """Read a Retry-After that is a number of seconds. For a date, or anything else, our own delays apply."""
    return float(text) if text.isascii() and text.isdigit() and len(text) <= MOST_DIGITS else None


def _words(text: str, longest: int) -> str:
    """Make one short line of a text of the store, without characters that a terminal or a log would obey."""
    line = " ".join(text.split())[: longest + 1]
    if not line.isprintable():
        line = "".join(sign if sign.isprintable() else "?" for sign in line)
    return line if len(line) <= longest else f"{line[:longest]}…"


def error_inside(body: bytes) -> bool:
    """Say whether the document of a 200 is an error: CompleteMultipartUpload may fail after its headers were sent."""
    try:
        return b"<Error" in body and parse_xml(body).tag == "Error"
    except ResponseError:
        return False


def delete_errors(body: bytes) -> tuple[tuple[str, str], ...]:
    """Read key and code of each object that DeleteObjects could not delete. Raises `ResponseError`."""
    if not body.strip():
        return ()
    errors = _document(body, "DeleteResult").findall("Error")
    return tuple((_text(item, "Key"), _words(_text(item, "Code"), 100)) for item in errors)


def _document(body: bytes, name: str) -> ET.Element:
    """Parse a document that must be called `name`: a proxy's page is sometimes well-formed."""
    root = parse_xml(body)
    if root.tag != name:
        msg = f"the store answered with the document {root.tag[:40]!r}, not {name}"
        raise ResponseError(msg)
    return root


def _required(element: ET.Element, name: str) -> str:
    found = _text(element, name)
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


def _text(element: ET.Element, name: str) -> str:
    return element.findtext(name) or ""
