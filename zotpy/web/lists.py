"""Lists: tags, referrers, catalog, and the API's presence (OCI distribution spec, end-1, 8a, 8b and 12)."""

import json
from typing import Any

from quart import Response

from zotpy.core.digests import Digest
from zotpy.core.manifest_facts import OCI_INDEX
from zotpy.core.names import RepositoryName
from zotpy.core.paging import next_link, parse_page_size
from zotpy.http.server.bodies import BoundedRequest
from zotpy.memory.budget import Account
from zotpy.web.context import Context


async def ping(context: Context, request: BoundedRequest) -> Response:
    """GET /v2/: the API is here."""
    del context, request
    return _json({})


async def tags(context: Context, request: BoundedRequest, name: str) -> Response:
    """GET tags/list."""
    repo = RepositoryName.parse(name)
    n = parse_page_size(request.args.get("n"))
    page = await context.registry.lists.tags(repo, n, request.args.get("last", ""), _account(context, request))
    response = _json({"name": context.told(repo.text), "tags": list(page.names)})
    if page.more:
        path = context.path(f"/v2/{repo}/tags/list")
        response.headers["Link"] = next_link(path, {"n": page.size, "last": page.names[-1]})
    return response


async def catalog(context: Context, request: BoundedRequest) -> Response:
    """GET /v2/_catalog."""
    n = parse_page_size(request.args.get("n"))
    last = context.known(request.args.get("last", ""))
    page = await context.registry.lists.catalog(n, last, _account(context, request))
    response = _json({"repositories": [context.told(name) for name in page.names]})
    if page.more:
        response.headers["Link"] = next_link(
            context.path("/v2/_catalog"), {"n": page.size, "last": context.told(page.names[-1])}
        )
    return response


async def referrers(context: Context, request: BoundedRequest, name: str, digest: str) -> Response:
    """GET referrers: an index of the manifests with this subject."""
    repo, subject = RepositoryName.parse(name), Digest.parse(digest)
    artifact_type = request.args.get("artifactType") or None
    last = request.args.get("last", "")
    page = await context.registry.lists.referrers(repo, subject, artifact_type, last, _account(context, request))
    index = {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": list(page.descriptors)}
    response = _json(index, OCI_INDEX)
    if artifact_type is not None:
        response.headers["OCI-Filters-Applied"] = "artifactType"
    if page.last is not None:
        path = context.path(f"/v2/{repo}/referrers/{subject}")
        response.headers["Link"] = next_link(path, {"artifactType": artifact_type, "last": page.last})
    return response


def _account(context: Context, request: BoundedRequest) -> Account:
    """Open an account for what an answer takes in memory until it was sent."""
    account = context.registry.budget.account()
    request.held = account
    return account


def _json(document: dict[str, Any], content_type: str = "application/json") -> Response:
    return Response(json.dumps(document), 200, content_type=content_type)
