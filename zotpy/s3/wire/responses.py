"""What S3 answers: XML documents, dates, and errors, also those inside a 200."""

import email.utils
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from xml.etree import ElementTree as ET

from zotpy.s3.wire.retry import Failure


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


def parse_xml(body: bytes) -> ET.Element:
    """Parse a document and take the namespaces off. Raises `ResponseError`."""
    try:
        root = ET.fromstring(body.strip())  # noqa: S314 - from the store we are configured to trust; expat bounds expansion
    except ET.ParseError as error:
        msg = f"the store answered no XML: {body[:200]!r}"
        raise ResponseError(msg) from error
    for element in root.iter():
        element.tag = element.tag.rpartition("}")[2]
    return root


def parse_time(text: str) -> datetime:
    """Read a time in the form of XML documents (ISO 8601) or of headers (RFC 9110). Raises `ResponseError`."""
    try:
        if "T" in text and not text.endswith("GMT"):
            parsed = datetime.fromisoformat(text)
        else:
            parsed = email.utils.parsedate_to_datetime(text)
    except ValueError as error:
        msg = f"the store answered no time: {text!r}"
        raise ResponseError(msg) from error
    return parsed.astimezone(UTC) if parsed.tzinfo else parsed.replace(tzinfo=UTC)


def parse_listing(body: bytes) -> ObjectListing:
    """Read ListObjectsV2."""
    root = parse_xml(body)
    objects = tuple(
        ListedObject(
            _text(item, "Key"),
            int(_text(item, "Size") or 0),
            _text(item, "ETag"),
            parse_time(_text(item, "LastModified")),
        )
        for item in root.findall("Contents")
    )
    prefixes = tuple(_text(item, "Prefix") for item in root.findall("CommonPrefixes"))
    return ObjectListing(objects, prefixes, _text(root, "IsTruncated") == "true")


def parse_uploads(body: bytes) -> tuple[ListedUpload, ...]:
    """Read ListMultipartUploads."""
    root = parse_xml(body)
    return tuple(
        ListedUpload(_text(item, "Key"), _text(item, "UploadId"), parse_time(_text(item, "Initiated")))
        for item in root.findall("Upload")
    )


def parse_field(body: bytes, name: str) -> str:
    """Read one field of a document, such as UploadId of CreateMultipartUpload. Raises `ResponseError`."""
    found = _text(parse_xml(body), name)
    if not found:
        msg = f"the store's answer has no {name}"
        raise ResponseError(msg)
    return found


def parse_failure(status: int, body: bytes, headers: Mapping[str, str]) -> Failure:
    """Read an error; one without a document (HEAD, proxies) has an empty code."""
    code = ""
    if body.lstrip().startswith(b"<"):
        try:
            code = _text(parse_xml(body), "Code")
        except ResponseError:
            code = ""
    retry_after = headers.get("retry-after", "")
    return Failure(status, code, float(retry_after) if retry_after.isdigit() else None)


def error_inside(body: bytes) -> bool:
    """Say whether the document of a 200 is an error: CompleteMultipartUpload may fail after its headers were sent."""
    try:
        return b"<Error" in body and parse_xml(body).tag == "Error"
    except ResponseError:
        return False


def delete_errors(body: bytes) -> tuple[str, ...]:
    """Read the codes of the objects that DeleteObjects could not delete."""
    if not body.strip():
        return ()
    return tuple(_text(item, "Code") for item in parse_xml(body).findall("Error"))


def _text(element: ET.Element, name: str) -> str:
    return element.findtext(name) or ""
