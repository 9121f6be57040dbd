"""Files with secrets, written by people or by the platform: read anew whenever a login is renewed."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from zotpy.core.json_objects import read_object
from zotpy.upstream.errors import UpstreamUnavailable

LONGEST_BYTES = 64 * 1024


def read_secret(file: Path) -> str:
    """Return the text of a file, without spaces around it. Raises `UpstreamUnavailable`, without any of the text."""
    try:
        with file.open("rb") as opened:
            text = opened.read(LONGEST_BYTES).decode().strip()
    except (OSError, UnicodeDecodeError) as error:
        why = (error.strerror if isinstance(error, OSError) else None) or "it is no text"
        msg = f"{file} cannot be read: {why}"
        raise UpstreamUnavailable(msg) from None
    if text:
        return text
    msg = f"{file} is empty"
    raise UpstreamUnavailable(msg)


def read_object_file(file: Path) -> Mapping[str, Any]:
    """Return the JSON object in a file. Raises `UpstreamUnavailable`."""
    written = read_secret(file)
    try:
        return read_object(written)
    except ValueError as error:
        msg = f"{file} {error}"
        raise UpstreamUnavailable(msg) from None


def text_of(document: Mapping[str, Any], name: str, file: Path | str) -> str:
    """Return one text of the object, which is in this file, or comes from there. Raises `UpstreamUnavailable`."""
    value = document.get(name)
    if isinstance(value, str) and value:
        return value
    msg = f"{file} has no {name}"
    raise UpstreamUnavailable(msg)
