r"""JSON that every client reads alike, and that is read in bounded time.

Go, Python and JavaScript read different things in a document with a key twice, with `NaN`, or in UTF-16. A signature or
a scanner then sees another image than the client that runs it. So a pushed document has one meaning, or zotpy refuses
it.

`json.loads` holds the interpreter until it is done, and so holds up every other request. Its time depends on the number
of values in the document, so they are counted first. The first count takes the signs before values (``{``, ``[`` and
``,``) wherever they are, and takes a millisecond. Only if that count is too high, a second one leaves out the signs
inside strings.
"""

import json
import re
from collections import Counter
from collections.abc import Mapping
from typing import Any, Never

from zotpy.core.errors import ManifestInvalid

LONGEST_NUMBER = 19
"""Digits and signs. Clients do not all read a longer number alike (64 bits)."""
_BEFORE_VALUES = (b"{", b"[", b",")
_TOKEN = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+(?:"|\\?\Z)|[{\[,]', re.DOTALL)
"""A string, up to the end if nothing ends it, so that no byte is looked at twice; or a sign before a value."""
_FIELDS = {
    name.casefold(): name
    for name in (
        *("schemaVersion", "mediaType", "artifactType", "config", "layers", "blobs", "manifests", "subject"),
        *("digest", "size", "annotations"),
    )
}


def read_document(content: bytes, most_values: int) -> dict[str, Any]:
    """Read a pushed JSON object of at most `most_values` values. Raises `ManifestInvalid` saying what to correct."""
    if content.startswith(b"\xef\xbb\xbf"):
        _refuse("the manifest begins with a byte order mark: send UTF-8 without one")
    try:
        text = content.decode()
    except UnicodeDecodeError:
        _refuse("the manifest is not in UTF-8: send it in UTF-8, without a byte order mark")
    if "\0" in text:
        _refuse("the manifest has zero bytes, as UTF-16 and UTF-32 do: send it in UTF-8")
    if _has_more_values(content, most_values):
        _refuse(f"the manifest has more than the {most_values} values accepted here: split it, and push an index")
    try:
        document = json.loads(
            text,
            object_pairs_hook=_object,
            parse_int=_integer,
            parse_float=_fraction,
            parse_constant=_constant,
        )
    except RecursionError:
        _refuse("the manifest is nested too deeply")
    except ValueError as error:
        _refuse(f"the manifest is not JSON: {str(error)[:200]}")
    return _checked(document)


def read_stored(content: bytes) -> dict[str, Any]:
    """Read a document that was accepted when it was pushed, perhaps by an older release. Raises `ManifestInvalid`."""
    try:
        document = json.loads(content)
    except (ValueError, RecursionError):
        _refuse("the manifest is not JSON")
    return _checked(document)


def require_exact_fields(document: Mapping[str, Any], where: str) -> None:
    """Refuse `Layers` or `DIGEST`: clients in Go read them as `layers` and `digest`, and others do not."""
    for name in document:
        known = _FIELDS.get(name[:20].casefold())
        if known is not None and known != name:
            _refuse(f"{where} has a field {name!r}: write it as {known!r}, or leave it out")


def _checked(document: object) -> dict[str, Any]:
    if not isinstance(document, dict):
        _refuse("the manifest is not a JSON object")
    return document


def _has_more_values(content: bytes, most: int) -> bool:
    if sum(map(content.count, _BEFORE_VALUES)) <= most:
        return False
    values = 0
    for token in _TOKEN.finditer(content):
        values += content[token.start()] != ord('"')
        if values > most:
            return True
    return False


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        counts = Counter(name for name, _ in pairs)
        twice, _ = counts.most_common(1)[0]
        _refuse(f"the manifest has the key {twice[:100]!r} twice in one object: clients disagree which one counts")
    return found


def _integer(text: str) -> int:
    if len(text) > LONGEST_NUMBER:
        _refuse(f"the manifest has a number of {len(text)} digits: no client reads more than {LONGEST_NUMBER}")
    return int(text)


def _fraction(text: str) -> float:
    number = float(text) if len(text) <= 2 * LONGEST_NUMBER else float("inf")
    if number in {float("inf"), float("-inf")}:
        _refuse(f"the manifest has the number {text[:40]}: it is longer or larger than clients can read")
    return number


def _constant(text: str) -> Never:
    _refuse(f"the manifest has the value {text}, which is not JSON: leave it out or write a number")


def _refuse(message: str) -> Never:
    raise ManifestInvalid(message) from None
