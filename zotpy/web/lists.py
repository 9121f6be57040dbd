"""Lists: tags, referrers, catalog, and the API's presence (OCI distribution spec, end-1, 8a, 8b and 12)."""

from zotpy.auth.actions import Action
from zotpy.core.digests import Digest
from zotpy.core.media_types import OCI_INDEX
from zotpy.core.names import RepositoryName
from zotpy.core.paging import next_link, parse_page_size
from zotpy.http.server.response import Response
from zotpy.web.answers import json_answer
from zotpy.web.call import Call


async def ping(call: Call) -> Response:
    """GET /v2/: the registry has the API."""
    del call
    return json_answer({})


async def tags(call: Call) -> Response:
    """GET tags/list."""
    repo, request = call.repo, call.request
    n = parse_page_size(request.args.get("n"))
    page = await call.registry.lists.tags(repo, n, request.args.get("last", ""), call.hold())
    response = json_answer({"name": call.told(repo.text), "tags": list(page.names)})
    if page.more:
        path = call.path(f"/v2/{repo}/tags/list")
        response.headers["Link"] = next_link(path, {"n": page.size, "last": page.names[-1]})
    return response


async def catalog(call: Call) -> Response:
    """GET /v2/_catalog: the repositories that the caller may read."""
    request, permission = call.request, call.permission
    n = parse_page_size(request.args.get("n"))
    last = call.known(request.args.get("last", ""))

    def shows(name: str) -> bool:
        return permission.allows(Action.CATALOG, RepositoryName(name))

    page = await call.registry.lists.catalog(n, last, call.hold(), None if permission.is_open else shows)
    response = json_answer({"repositories": [call.told(name) for name in page.names]})
    if page.more:
        response.headers["Link"] = next_link(
            call.path("/v2/_catalog"), {"n": page.size, "last": call.told(page.names[-1])}
        )
    return response


async def referrers(call: Call) -> Response:
    """GET referrers: an index of the manifests with this subject."""
    repo, request, subject = call.repo, call.request, Digest.parse(call.last)
    artifact_type = request.args.get("artifactType") or None
    last = request.args.get("last", "")
    if call.context.mirror is not None and not last:
        await call.context.mirror.refer(repo, subject)
    page = await call.registry.referrers.page(repo, subject, artifact_type, last, call.hold())
    index = {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": list(page.descriptors)}
    response = json_answer(index, content_type=OCI_INDEX)
    if artifact_type is not None:
        response.headers["OCI-Filters-Applied"] = "artifactType"
    if page.last is not None:
        path = call.path(f"/v2/{repo}/referrers/{subject}")
        response.headers["Link"] = next_link(path, {"artifactType": artifact_type, "last": page.last})
    return response
