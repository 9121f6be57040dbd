"""JSON objects that others have written, read with one kind of error for whatever is wrong with them."""

import json
from typing import Any


def read_object(content: bytes | bytearray | str) -> dict[str, Any]:
    """Read an object. Raises `ValueError` with what is wrong, as words to put behind a name: "is not JSON".

    The error repeats nothing of the content, which may be secret. What is nested too deeply is an error like any other.
    """
    try:
        document = json.loads(content)
    except (ValueError, RecursionError):
        msg = "is not JSON"
        raise ValueError(msg) from None
    if not isinstance(document, dict):
        msg = "is not a JSON object"
        raise ValueError(msg)  # noqa: TRY004 - a fault of who wrote it
    return document
