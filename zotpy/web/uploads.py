"""Pushing blobs (OCI distribution spec, end-4a, 4b, 5, 6, 11, 13 and 14)."""

from contextlib import suppress
from dataclasses import replace

from zotpy.auth.actions import Action
from zotpy.core.digests import Digest
from zotpy.core.errors import ChunkOutOfOrder, DigestInvalid, NameInvalid, RegistryError, UploadUnknown
from zotpy.core.names import RepositoryName
from zotpy.core.ranges import upload_range
from zotpy.http.server.response import Response
from zotpy.registry.pushing.sessions import Session
from zotpy.web.answers import Answer
from zotpy.web.call import Call
from zotpy.web.requests import algorithm_of, chunk_of, required_digest

TOKEN = "_state"  # noqa: S105 - the name of a query parameter


async def begin(call: Call) -> Response:
    """POST: mount a blob, take a whole one, or begin an upload.

    Clients ask for mounts from names that they remember of other registries. So a value that is no digest or no
    repository here is not an error: nothing can be mounted, and an upload begins. The spec says so for a mount that
    cannot be done (end-11).
    """
    call.context.space.check()
    if mounted := call.request.args.get("mount"):
        return await _mount_or_begin(call, mounted)
    session = _begun(call, algorithm_of(call.request))
    if "digest" in call.request.args:
        return await _finish(call, session)
    return _accepted(call, session)


async def chunk(call: Call) -> Response:
    """PATCH: take one chunk."""
    session = await _session(call)
    call.context.space.check()
    span, length = chunk_of(call.request)
    body = call.charged_body()
    try:
        return _accepted(call, await call.registry.uploads.chunk(session, body, span, length, body.account))
    except ChunkOutOfOrder as error:
        _say_where_it_ends(call, session, error)
        raise


async def finish(call: Call) -> Response:
    """PUT: take the last bytes, if any, and make the blob exist."""
    session = await _session(call)
    call.context.space.check()
    return await _finish(call, session)


async def status(call: Call) -> Response:
    """GET: tell how many bytes are safe."""
    session = await call.registry.uploads.status(await _session(call))
    return Answer("", 204, _progress(call, session))


async def cancel(call: Call) -> Response:
    """DELETE: end an upload."""
    await call.registry.uploads.cancel(await _session(call))
    return Answer("", 204)


async def _finish(call: Call, session: Session) -> Response:
    digest = required_digest(call.request)
    span, length = chunk_of(call.request)
    body = call.charged_body()
    try:
        await call.registry.uploads.finish(session, digest, body, span, length, body.account)
    except ChunkOutOfOrder as error:
        _say_where_it_ends(call, session, error)
        raise
    return _created(call, digest)


def _begun(call: Call, algorithm: str) -> Session:
    return call.registry.uploads.begin(call.repo, algorithm, call.identity.name)


async def _session(call: Call) -> Session:
    token = call.request.args.get(TOKEN)
    if not token:
        msg = f"use the whole Location of the last answer, with its {TOKEN} parameter"
        raise UploadUnknown(msg)
    return await call.registry.uploads.find(call.repo, call.last, token, call.identity.name)


async def _mount_or_begin(call: Call, mounted: str) -> Response:
    repo = call.repo
    try:
        digest = Digest.parse(mounted)
    except DigestInvalid:
        return _accepted(call, _begun(call, algorithm_of(call.request)))
    with suppress(NameInvalid):
        source = _source(call)
        if _may_mount(call, source) and await call.registry.mounts.mount(repo, digest, source) is not None:
            return _created(call, digest)
    return _accepted(call, _begun(call, digest.algorithm))


def _source(call: Call) -> RepositoryName | None:
    """Read `?from=`; raises `NameInvalid`."""
    text = call.request.args.get("from")
    return RepositoryName.parse(call.known(text)) if text else None


def _may_mount(call: Call, source: RepositoryName | None) -> bool:
    """Say whether the caller may have a blob of `source`, or of any repository if they name none."""
    if source is None:  # a blob that is found does not say which repository it was found in
        return call.permission.is_open
    try:
        call.permission.require(Action.READ, source)  # this decision belongs to what was done, so it is not only asked
    except RegistryError:
        return False
    return True


def _say_where_it_ends(call: Call, session: Session, error: ChunkOutOfOrder) -> None:
    """Give a refused chunk the Location from which to continue."""
    ends = Session(session.repo, replace(session.token, offset=error.offset))
    error.location = _location(call, ends)


def _location(call: Call, session: Session) -> str:
    token = call.registry.keyring.sign(session.token)
    path = call.path(f"/v2/{session.repo}/blobs/uploads/{session.token.upload_id}")
    return f"{path}?{TOKEN}={token}"  # no character of a token needs an escape


def _progress(call: Call, session: Session) -> dict[str, str]:
    return {
        "Location": _location(call, session),
        "Range": upload_range(session.token.offset),
        "Docker-Upload-UUID": session.token.upload_id,
    }


def _accepted(call: Call, session: Session) -> Response:
    return Answer("", 202, _progress(call, session))


def _created(call: Call, digest: Digest) -> Response:
    headers = {"Location": call.path(f"/v2/{call.repo}/blobs/{digest}"), "Docker-Content-Digest": str(digest)}
    return Answer("", 201, headers)
