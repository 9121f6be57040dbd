"""Pulling and deleting blobs (OCI distribution spec, end-2 and end-10)."""

from functools import partial

from zotpy.bucket.tags import does_not_hold
from zotpy.core.digests import Digest
from zotpy.core.errors import BlobUnknown
from zotpy.core.record_values import BlobValue
from zotpy.http.server.response import Response
from zotpy.memory.readers import Turn
from zotpy.mirror.copying import Copy
from zotpy.web.answers import Answer
from zotpy.web.call import Call
from zotpy.web.contents import Content, answer_content
from zotpy.web.requests import condition_of, is_unchanged

_MEDIA_TYPE = "application/octet-stream"


async def read(call: Call) -> Response:
    """GET and HEAD, whole or in ranges. A HEAD is always answered here, in one round trip and with all headers.

    Several ranges are answered here, too: services that speak S3 take one at a time.
    """
    wanted = Digest.parse(call.last)
    repo, blobs, is_head = call.repo, call.registry.blobs, call.is_head
    value = await _find(call, wanted)
    content = Content(wanted, value.size_bytes or 0, _MEDIA_TYPE)
    if is_unchanged(call.request, wanted):
        return Answer("", 304, content.headers)
    if is_head:
        return answer_content(content, None, None)
    spans = content.ranges(call.request, call.registry.settings.http.max_ranges)
    if isinstance(value, Copy):
        return answer_content(content, spans, value.open)
    if value.data_id is None:
        return answer_content(content, spans, value.content)
    is_one_span = spans is None or len(spans) == 1
    if is_one_span and (url := await blobs.redirect(value)) is not None:
        return _redirect(url, wanted)
    turn = Turn(takes_files=call.request.takes_files and is_one_span)
    return answer_content(content, spans, partial(blobs.serve, repo, wanted, value, turn=turn))


async def _find(call: Call, wanted: Digest) -> BlobValue | Copy:
    """Find a blob here; otherwise begin to copy it from the upstream of the repository. Raises `BlobUnknown`."""
    repo, blobs, mirror = call.repo, call.registry.blobs, call.context.mirror
    is_fetched = mirror is not None and mirror.fetches(repo, wanted)
    find = blobs.stat if call.is_head else partial(blobs.find, by_entry_alone=is_fetched)
    try:
        return await find(repo, wanted)
    except BlobUnknown:
        if mirror is None or not is_fetched:
            raise
    return await mirror.fetch(repo, wanted)


def _redirect(url: str, digest: Digest) -> Response:
    """Send the client to the store, where it repeats its request, for a range too.

    The URL reads the blob without credentials for a limited time. So no cache may give it to others, or keep it.
    """
    headers = {"Location": url, "Docker-Content-Digest": str(digest), "Cache-Control": "no-store"}
    return Answer("", 307, headers)


async def delete(call: Call) -> Response:
    """DELETE."""
    repo, wanted = call.repo, Digest.parse(call.last)
    condition = condition_of(call.request)
    if condition is not None and not condition.holds(wanted):
        await call.registry.blobs.find(repo, wanted)
        raise does_not_hold(wanted, wanted)
    await call.registry.blobs.delete(repo, wanted)
    return Answer("", 202)
