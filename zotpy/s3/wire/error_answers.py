"""Errors that S3 answers, also those inside a 200."""

import re
from collections.abc import Callable, Mapping
from functools import partial
from http import HTTPStatus

from zotpy.s3.wire.responses import MOST_DIGITS, ResponseError, named_document, parse_xml, text_of
from zotpy.s3.wire.retry import Failure

LONGEST_REASON = 300
_DETAILS = ("ArgumentName", "Header", "Condition", "Details", "Region", "Endpoint")
"""What S3 adds to a message in other elements: which header it refuses, which region it expects."""
_PLAIN = re.compile(
    rb'(?:<\?xml version="1\.0" encoding="UTF-8"\?>\n?)?<Error>((?:<([A-Za-z]{1,40})>[ -%\'-;=?-~]*</\2>)+)</Error>\n?'
)
"""An error with nothing in it but elements of printable ASCII, without references to characters."""
_ELEMENT = re.compile(r"<([A-Za-z]+)>([^<]*)</")


def parse_failure(status: int, body: bytes, headers: Mapping[str, str]) -> Failure:
    """Read an error; one without a document (HEAD, proxies) has an empty code."""
    code, reasons = "", list[str]()
    request_id = headers.get("x-amz-request-id", "")
    if (said := _document(body)) is not None:
        code = _words(said("Code"), 100)
        details = [f"{name} {text}" for name in _DETAILS if (text := said(name))]
        reasons = [said("Message"), *details]
        request_id = request_id or said("RequestId")
    if region := headers.get("x-amz-bucket-region", ""):
        reasons.append(f"the bucket is in {region}")
    reason = "; ".join(_words(text, LONGEST_REASON) for text in reasons if text)[: 2 * LONGEST_REASON]
    if request_id:
        reason = f"{reason}{'; ' if reason else ''}request id {_words(request_id, 100)}"
    return Failure(status, code, _seconds(headers.get("retry-after", "")), reason)


def says_missing(status: int, body: bytes) -> bool:
    """Say whether an answer to a GET says that the object does not exist: an everyday answer, of which no more is read.

    No text in a document has a `<` (XML 1.0, section 2.4), so this is an element.
    """
    return status == HTTPStatus.NOT_FOUND and b"<Code>NoSuchKey</Code>" in body


def _document(body: bytes) -> Callable[[str], str] | None:
    """Return what reads the text of an element of an error, empty if it is missing; `None`: the body is no document.

    Most documents are plain. A regular expression reads them in less than half the time that a parser of XML takes.
    """
    if (plain := _PLAIN.fullmatch(body)) is not None:
        texts = dict(reversed(_ELEMENT.findall(plain[1].decode("ascii"))))
        return lambda name: texts.get(name, "")
    if not body.lstrip().startswith(b"<"):
        return None
    try:
        return partial(text_of, parse_xml(body))
    except ResponseError:
        return None


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
    errors = named_document(body, "DeleteResult").findall("Error")
    return tuple((text_of(item, "Key"), _words(text_of(item, "Code"), 100)) for item in errors)
