"""What handlers answer with."""

import json
from collections.abc import Mapping

from zotpy.http.server.answer_bodies import StreamedBody
from zotpy.http.server.response import Response

_NONE: Mapping[str, str] = {}


class Answer(Response):
    """An answer that has a media type only if its handler names one."""

    __slots__ = ()

    def __init__(
        self,
        body: str | bytes | StreamedBody,
        status: int,
        headers: Mapping[str, str] = _NONE,
        content_type: str | None = None,
    ) -> None:
        """Add the length of a body in memory, unless `headers` have one, such as those of the answer to a HEAD."""
        whole = dict(headers)
        if content_type is not None:
            whole["Content-Type"] = content_type
        if isinstance(body, str):
            body = body.encode()
        if isinstance(body, bytes):
            whole.setdefault("Content-Length", str(len(body)))
        super().__init__(body, status, whole)


def json_answer(
    document: Mapping[str, object],
    status: int = 200,
    headers: Mapping[str, str] = _NONE,
    content_type: str = "application/json",
) -> Answer:
    """Answer with a document as JSON, of which `content_type` may be a special kind."""
    return Answer(json.dumps(document), status, headers, content_type=content_type)
