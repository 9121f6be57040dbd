"""Pulling and deleting blobs (OCI distribution spec, end-2 and end-10)."""

from quart import Response

from zotpy.core.digests import Digest
from zotpy.core.names import RepositoryName
from zotpy.core.ranges import Span, parse_read_range
from zotpy.registry.tags import does_not_hold
from zotpy.web.bodies import BoundedRequest, StreamedBody
from zotpy.web.context import Context
from zotpy.web.requests import condition_of, is_unchanged

_MEDIA_TYPE = "application/octet-stream"


async def read(context: Context, request: BoundedRequest, name: str, digest: str) -> Response:
    """GET and HEAD, whole or a range; a HEAD is always answered here, in one round trip and with all headers."""
    repo, wanted = RepositoryName.parse(name), Digest.parse(digest)
    blobs = context.registry.blobs
    is_head = request.method == "HEAD"
    value = await (blobs.stat(repo, wanted) if is_head else blobs.find(repo, wanted))
    headers = {"Docker-Content-Digest": str(wanted), "ETag": f'"{wanted}"', "Accept-Ranges": "bytes"}
    if is_unchanged(request, wanted):
        return Response("", 304, headers)
    span = None if is_head else parse_read_range(_range_of(request, wanted), value.size_bytes)
    if not is_head and (url := await blobs.redirect(value)) is not None:
        return _redirect(url, wanted)
    status = 200
    if span is not None:
        status = 206
        headers["Content-Range"] = f"bytes {span.start}-{span.end - 1}/{value.size_bytes}"
    span = span or Span(0, value.size_bytes)
    headers["Content-Length"] = str(span.length)
    body = "" if is_head else StreamedBody(blobs.serve(repo, wanted, value, span))
    response = Response(body, status, content_type=_MEDIA_TYPE)
    response.headers.update(headers)
    return response


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


def _range_of(request: BoundedRequest, digest: Digest) -> str | None:
    """Return the Range header, unless If-Range says that the client has a part of other content (RFC 9110, 13.1.5)."""
    if_range = request.headers.get("If-Range")
    if if_range is not None and if_range.strip() != f'"{digest}"':
        return None
    return request.headers.get("Range")
