"""Pulling and deleting blobs (OCI distribution spec, end-2 and end-10)."""

from functools import partial

from quart import Response

from zotpy.bucket.tags import does_not_hold
from zotpy.core.digests import Digest
from zotpy.core.names import RepositoryName
from zotpy.http.server.bodies import BoundedRequest
from zotpy.memory.readers import Turn
from zotpy.web.contents import Content, answer_content
from zotpy.web.context import Context
from zotpy.web.requests import condition_of, is_unchanged

_MEDIA_TYPE = "application/octet-stream"


async def read(context: Context, request: BoundedRequest, name: str, digest: str) -> Response:
    """GET and HEAD, whole or in ranges; a HEAD is always answered here, in one round trip and with all headers.

    Several ranges are, too: services that speak S3 take one at a time.
    """
    repo, wanted = RepositoryName.parse(name), Digest.parse(digest)
    blobs = context.registry.blobs
    is_head = request.method == "HEAD"
    value = await (blobs.stat(repo, wanted) if is_head else blobs.find(repo, wanted))
    content = Content(wanted, value.size_bytes, _MEDIA_TYPE)
    if is_unchanged(request, wanted):
        return Response("", 304, content.headers)
    if is_head:
        return answer_content(content, None, None)
    spans = content.ranges(request, context.registry.settings.ranges_limit)
    is_for_the_store = spans is None or len(spans) == 1
    if is_for_the_store and (url := await blobs.redirect(value)) is not None:
        return _redirect(url, wanted)
    return answer_content(content, spans, partial(blobs.serve, repo, wanted, value, turn=Turn()))


def _redirect(url: str, digest: Digest) -> Response:
    """Send the client to the store, where it asks again as it asked here: for a range, too.

    The URL reads the blob without credentials, and for a while only: no cache may hand it to others, or later.
    """
    headers = {"Location": url, "Docker-Content-Digest": str(digest), "Cache-Control": "no-store"}
    response = Response("", 307, headers)
    del response.headers["Content-Type"]
    return response


async def delete(context: Context, request: BoundedRequest, name: str, digest: str) -> Response:
    """DELETE."""
    repo, wanted = RepositoryName.parse(name), Digest.parse(digest)
    condition = condition_of(request)
    if condition is not None and not condition.holds(wanted):
        await context.registry.blobs.find(repo, wanted)
        raise does_not_hold(wanted, wanted)
    await context.registry.blobs.delete(repo, wanted)
    return Response("", 202)
