"""Pushing blobs (OCI distribution spec, end-4a, 4b, 5, 6, 11, 13 and 14)."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from urllib.parse import urlencode

from quart import Response

from zotpy.core.digests import Digest
from zotpy.core.errors import ChunkOutOfOrder, DigestInvalid, NameInvalid, UploadUnknown
from zotpy.core.names import RepositoryName
from zotpy.core.ranges import upload_range
from zotpy.http.server.bodies import BoundedBody, BoundedRequest, body_of
from zotpy.registry.pushing.sessions import Session
from zotpy.web.context import Context
from zotpy.web.requests import algorithm_of, chunk_of, required_digest

TOKEN = "_state"  # noqa: S105 - the name of a query parameter


async def begin(context: Context, request: BoundedRequest, name: str) -> Response:
    """POST: mount a blob, take a whole one, or begin an upload.

    Clients ask for mounts from names that they remember of other registries. What is no digest or no repository here is
    no error: nothing can be mounted, and an upload begins, as the spec has it for a mount that cannot be done (end-11).
    """
    repo = RepositoryName.parse(name)
    context.space.check()
    uploads = context.registry.uploads
    if mounted := request.args.get("mount"):
        return await _mount_or_begin(context, request, repo, mounted)
    session = uploads.begin(repo, algorithm_of(request))
    if "digest" in request.args:
        return await _finish(context, request, session)
    return _accepted(context, session)


async def chunk(context: Context, request: BoundedRequest, name: str, upload_id: str) -> Response:
    """PATCH: take one chunk."""
    session = await _session(context, request, name, upload_id)
    context.space.check()
    span, length = chunk_of(request)
    with _where_it_ends(context, session):
        body = _charged(context, request)
        return _accepted(context, await context.registry.uploads.chunk(session, body, span, length, body.account))


async def finish(context: Context, request: BoundedRequest, name: str, upload_id: str) -> Response:
    """PUT: take the last bytes, if any, and make the blob exist."""
    session = await _session(context, request, name, upload_id)
    context.space.check()
    return await _finish(context, request, session)


async def status(context: Context, request: BoundedRequest, name: str, upload_id: str) -> Response:
    """GET: tell how many bytes are safe."""
    session = await context.registry.uploads.status(await _session(context, request, name, upload_id))
    return Response("", 204, _progress(context, session))


async def cancel(context: Context, request: BoundedRequest, name: str, upload_id: str) -> Response:
    """DELETE: end an upload."""
    await context.registry.uploads.cancel(await _session(context, request, name, upload_id))
    return Response("", 204)


async def _finish(context: Context, request: BoundedRequest, session: Session) -> Response:
    digest = required_digest(request)
    span, length = chunk_of(request)
    with _where_it_ends(context, session):
        body = _charged(context, request)
        await context.registry.uploads.finish(session, digest, body, span, length, body.account)
    return _created(context, session.repo, digest)


async def _session(context: Context, request: BoundedRequest, name: str, upload_id: str) -> Session:
    repo = RepositoryName.parse(name)
    token = request.args.get(TOKEN)
    if not token:
        msg = f"use the whole Location of the last answer, with its {TOKEN} parameter"
        raise UploadUnknown(msg)
    return await context.registry.uploads.find(repo, upload_id, token)


async def _mount_or_begin(context: Context, request: BoundedRequest, repo: RepositoryName, mounted: str) -> Response:
    uploads = context.registry.uploads
    try:
        digest = Digest.parse(mounted)
    except DigestInvalid:
        return _accepted(context, uploads.begin(repo, algorithm_of(request)))
    with suppress(NameInvalid):
        if await context.registry.mounts.mount(repo, digest, _source(context, request)) is not None:
            return _created(context, repo, digest)
    return _accepted(context, uploads.begin(repo, digest.algorithm))


def _charged(context: Context, request: BoundedRequest) -> BoundedBody:
    """Return the body with an account for what it will hold."""
    body = body_of(request)
    body.account = context.registry.budget.account()
    return body


def _source(context: Context, request: BoundedRequest) -> RepositoryName | None:
    """Read `?from=`; raises `NameInvalid`."""
    text = request.args.get("from")
    return RepositoryName.parse(context.known(text)) if text else None


@contextmanager
def _where_it_ends(context: Context, session: Session) -> Iterator[None]:
    """Give a refused chunk the Location from which to go on."""
    try:
        yield
    except ChunkOutOfOrder as error:
        ends = Session(session.repo, replace(session.token, offset=error.offset))
        error.location = _location(context, ends)
        raise


def _location(context: Context, session: Session) -> str:
    token = context.registry.keyring.sign(session.token)
    path = context.path(f"/v2/{session.repo}/blobs/uploads/{session.token.upload_id}")
    return f"{path}?{urlencode({TOKEN: token})}"


def _progress(context: Context, session: Session) -> dict[str, str]:
    return {
        "Location": _location(context, session),
        "Range": upload_range(session.token.offset),
        "Docker-Upload-UUID": session.token.upload_id,
    }


def _accepted(context: Context, session: Session) -> Response:
    return Response("", 202, _progress(context, session))


def _created(context: Context, repo: RepositoryName, digest: Digest) -> Response:
    headers = {"Location": context.path(f"/v2/{repo}/blobs/{digest}"), "Docker-Content-Digest": str(digest)}
    return Response("", 201, headers)
