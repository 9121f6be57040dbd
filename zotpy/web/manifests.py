"""Pushing, pulling and deleting manifests and tags (OCI distribution spec, end-2, end-3, end-7, end-9)."""

from functools import partial

from quart import Response

from zotpy.core.digests import Digest
from zotpy.core.errors import TagInvalid
from zotpy.core.names import RepositoryName, Tag, parse_reference
from zotpy.core.pieces import Pieces
from zotpy.core.ranges import parse_content_length
from zotpy.http.server.bodies import BoundedRequest, body_of
from zotpy.registry.blobs import open_inline
from zotpy.registry.manifests import too_large
from zotpy.web.contents import Content, answer_content
from zotpy.web.context import Context
from zotpy.web.requests import condition_of, extra_tags_of, is_unchanged


async def read(context: Context, request: BoundedRequest, name: str, reference: str) -> Response:
    """GET and HEAD."""
    repo = RepositoryName.parse(name)
    manifests, parsed = context.registry.manifests, parse_reference(reference)
    if request.method == "GET":
        request.held = room = context.registry.blobs.readers.reservation()
        found = await manifests.find(repo, parsed, room)
        context.registry.pulls.note(repo, found.digest)
    else:
        found = await manifests.stat(repo, parsed)
    content = Content(found.digest, found.size_bytes, found.value.media_type)
    if is_unchanged(request, found.digest):
        return Response("", 304, content.headers)
    if request.method == "HEAD":
        return answer_content(content, None, None)
    spans = content.ranges(request, context.registry.settings.ranges_limit)
    return answer_content(content, spans, partial(open_inline, found.value.content))


async def push(context: Context, request: BoundedRequest, name: str, reference: str) -> Response:
    """PUT, by digest or by tag, with any number of `?tag=`."""
    repo, parsed = RepositoryName.parse(name), parse_reference(reference)
    context.space.check()
    extra_tags, condition = extra_tags_of(request, context.registry.settings.tags_limit), condition_of(request)
    if extra_tags and isinstance(parsed, Tag):
        msg = "?tag= is only for a push by digest: push to /manifests/<digest>?tag=..."
        raise TagInvalid(msg)
    content = await _content(context, request)
    pushed = await context.registry.manifests.push(
        repo,
        parsed,
        content,
        request.headers.get("Content-Type"),
        extra_tags=extra_tags,
        condition=condition,
        until_left=body_of(request).until_left,
    )
    response = Response("", 201)
    response.headers["Location"] = context.path(f"/v2/{repo}/manifests/{pushed.digest}")
    response.headers["Docker-Content-Digest"] = str(pushed.digest)
    response.headers["ETag"] = f'"{pushed.digest}"'
    if pushed.subject is not None:
        response.headers["OCI-Subject"] = str(pushed.subject)
    for tag in extra_tags:
        response.headers.add("OCI-Tag", tag.text)
    return response


async def delete(context: Context, request: BoundedRequest, name: str, reference: str) -> Response:
    """DELETE: a digest takes its tags with it; a tag leaves its manifest."""
    repo, parsed = RepositoryName.parse(name), parse_reference(reference)
    manifests, condition = context.registry.manifests, condition_of(request)
    if isinstance(parsed, Digest):
        request.held = room = context.registry.blobs.readers.reservation()
        await manifests.delete(repo, parsed, condition, room)
    else:
        await manifests.delete_tag(repo, parsed, condition)
    return Response("", 202)


async def _content(context: Context, request: BoundedRequest) -> bytes:
    """Read a manifest whole, within the limit; it is held in the memory budget until the request is answered.

    Raises `ManifestTooLarge`, `TooManyRequests`.
    """
    limit = context.registry.settings.manifest_limit_bytes
    length = parse_content_length(request.headers.get("Content-Length"))
    _require_length(length or 0, limit)
    budget = context.registry.budget
    request.held = body_of(request).account = account = budget.account()
    account.begin_part(limit if length is None else length)  # all of it is held before any of it is given back
    content = Pieces()
    try:
        async for piece in body_of(request):
            with budget.patience():
                await account.acquire(len(piece))
            content.append(piece)
            _require_length(len(content), limit)
        account.part_is_full()
        return bytes(content)
    except BaseException:
        account.close()
        raise
    finally:
        content.clear()  # an error that is on its way out still leads to it


def _require_length(size_bytes: int, limit_bytes: int) -> None:
    if size_bytes > limit_bytes:
        raise too_large(limit_bytes)
