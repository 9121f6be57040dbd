"""The answer that says what went wrong.

Its body is the OCI envelope (distribution spec, *Error Codes*)::

{"errors": [{"code": "MANIFEST_UNKNOWN", "message": "...", "detail": {...}}]}
"""

import json
from collections.abc import Mapping

from quart import Response

from zotpy.core.errors import Detail


def error_body(*items: tuple[str, str, Detail]) -> bytes:
    """Write the envelope."""
    listed: list[dict[str, object]] = []
    for code, message, detail in items:
        listed.append({"code": code, "message": message})
        if detail is not None:
            listed[-1]["detail"] = detail
    return json.dumps({"errors": listed}).encode()


def envelope(status: int, *items: tuple[str, str, Detail], headers: Mapping[str, str] | None = None) -> Response:
    """Write the answer to a request that failed."""
    response = Response(error_body(*items), status, content_type="application/json")
    response.headers.update(dict(headers or {}))
    return response
