"""What handlers answer with."""

import json
from collections.abc import Mapping

from quart import Response

from zotpy.http.server.answer_bodies import StreamedBody, in_memory

_NONE: Mapping[str, str] = {}


class Answer(Response):
    """An answer that has a media type only if its handler names one. Quart calls all others HTML, even empty ones."""

    default_mimetype = None  # type: ignore[assignment]  # what werkzeug's own class allows

    def __init__(
        self,
        body: str | bytes | StreamedBody,
        status: int,
        headers: Mapping[str, str] = _NONE,
        content_type: str | None = None,
    ) -> None:
        """Take all headers at once: each that is set later is first looked for among those before it.

        The length of a body in memory is added, unless `headers` have one, such as those of the answer to a HEAD.
        """
        whole = dict(headers)
        if content_type is not None:
            whole["Content-Type"] = content_type
        if isinstance(body, StreamedBody):
            super().__init__(body, status, whole)
        else:
            data = body.encode() if isinstance(body, str) else body
            whole.setdefault("Content-Length", str(len(data)))
            super().__init__(in_memory(data), status, whole)


def json_answer(
    document: Mapping[str, object],
    status: int = 200,
    headers: Mapping[str, str] = _NONE,
    content_type: str = "application/json",
) -> Answer:
    """Answer with a document as JSON, of which `content_type` may be a special kind."""
    return Answer(json.dumps(document), status, headers, content_type=content_type)
