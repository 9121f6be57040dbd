"""The answer that says what went wrong.

Its body is the OCI envelope (distribution spec, *Error Codes*)::

{"errors": [{"code": "MANIFEST_UNKNOWN", "message": "...", "detail": {...}}]}
"""

import json
from collections.abc import Mapping

from zotpy.core.errors import Detail
from zotpy.http.server.response import Response


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
    body = error_body(*items)
    named = {"Content-Type": "application/json", "Content-Length": str(len(body)), **(headers or {})}
    return Response(body, status, named)
