"""Pushing, pulling and deleting manifests and tags (OCI distribution spec, end-2, end-3, end-7, end-9)."""

from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from functools import partial

from zotpy.auth.actions import Action
from zotpy.core.digests import Digest
from zotpy.core.errors import ManifestBlobUnknown, PreconditionFailed, TagInvalid
from zotpy.core.names import Tag, parse_reference
from zotpy.http.server.response import Response
from zotpy.registry.manifests import Pushed, too_large
from zotpy.registry.pushing.manifest_push import TagLimits
from zotpy.web.answers import Answer
from zotpy.web.bodies import read_whole
from zotpy.web.call import Call
from zotpy.web.contents import Content, answer_content
from zotpy.web.delete_rights import DeleteRights
from zotpy.web.push_rights import PushRights
from zotpy.web.requests import condition_of, extra_tags_of, is_unchanged

ROUNDS = 8
"""How often a push may fetch from an upstream what its manifest lacks, as many blobs as one answer names."""


async def read(call: Call) -> Response:
    """GET and HEAD."""
    repo, request, parsed = call.repo, call.request, parse_reference(call.last)
    manifests = call.context.mirror or call.registry.manifests
    if request.method == "GET":
        request.held = room = call.registry.blobs.readers.reservation()
        found = await manifests.find(repo, parsed, room)
        call.registry.pulls.note(repo, found.digest)
    else:
        found = await manifests.stat(repo, parsed)
    content = Content(found.digest, found.size_bytes, found.value.media_type, found.warning)
    if is_unchanged(request, found.digest):
        return Answer("", 304, content.headers)
    if call.is_head:
        return answer_content(content, None, None)
    spans = content.ranges(request, call.registry.settings.http.max_ranges)
    return answer_content(content, spans, found.value.content)


async def push(call: Call) -> Response:
    """PUT, by digest or by tag, with any number of `?tag=`."""
    repo, request, parsed = call.repo, call.request, parse_reference(call.last)
    call.context.space.check()
    extra_tags, condition = extra_tags_of(request, call.registry.settings.manifest.max_tags), condition_of(request)
    if extra_tags and isinstance(parsed, Tag):
        msg = "?tag= is only for a push by digest: push to /manifests/<digest>?tag=..."
        raise TagInvalid(msg)
    for tag in extra_tags:  # the dispatcher knows only what the path names
        call.permission.require(Action.PUSH, repo, tag.text)
    rights = PushRights(call.permission, repo, parsed, extra_tags)
    content = await _content(call)
    with _told_to_readers(call), rights.explained(condition):
        push = partial(
            call.registry.manifests.push,
            repo,
            parsed,
            content,
            request.headers.get("Content-Type"),
            extra_tags=extra_tags,
            condition=condition,
            limits=TagLimits(rights.immutable, rights.narrowed(condition)),
            until_left=call.body.until_left,
        )
        pushed = await _pushed(call, push)
    location = call.path(f"/v2/{repo}/manifests/{pushed.digest}")
    named = {"Docker-Content-Digest": str(pushed.digest), "ETag": f'"{pushed.digest}"'}
    response = Answer("", 201, {"Location": location} | named)
    if pushed.subject is not None:
        response.headers["OCI-Subject"] = str(pushed.subject)
    for tag in extra_tags:
        response.headers.add("OCI-Tag", tag.text)
    return response


async def delete(call: Call) -> Response:
    """DELETE: a digest is deleted with its tags; a tag without its manifest."""
    repo, request, parsed = call.repo, call.request, parse_reference(call.last)
    manifests, condition = call.registry.manifests, condition_of(request)
    rights = DeleteRights(call.permission, repo)
    if isinstance(parsed, Digest):
        request.held = room = call.registry.blobs.readers.reservation()
        await manifests.delete(repo, parsed, condition, room, rights.judge)
    else:
        rights.require_tag(parsed)
        with _told_to_readers(call):
            await manifests.delete_tag(repo, parsed, condition)
    return Answer("", 202)


async def _pushed(call: Call, push: Callable[[], Awaitable[Pushed]]) -> Pushed:
    """Push, again if the upstream of a mirrored repository has what is missing: HEAD has told the client so."""
    for _ in range(ROUNDS):
        try:
            return await push()
        except ManifestBlobUnknown as error:
            if call.context.mirror is None or not await call.context.mirror.bring(call.repo, error.digests):
                raise
    return await push()


@contextmanager
def _told_to_readers(call: Call) -> Iterator[None]:
    """Leave out of a refusal what a tag names, if the caller may not read it."""
    try:
        yield
    except PreconditionFailed:
        if call.permission.allows(Action.READ, call.repo):
            raise
        msg = "what is there now does not meet If-Match or If-None-Match of the request"
        raise PreconditionFailed(msg) from None


async def _content(call: Call) -> bytes:
    """Read a manifest whole, within the limit. Raises `ManifestTooLarge`, `TooManyRequests`."""
    limit_bytes = call.registry.settings.manifest.max_size_bytes
    return await read_whole(call, limit_bytes, lambda: too_large(limit_bytes))
