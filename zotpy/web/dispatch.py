"""The one door: each request goes from its row of the table to its handler, and each failure through one exit.

    route -> repository -> identity -> permission -> handler

Nothing else calls a handler, so no handler runs for a caller who may not do what its row says. What was decided on this
way goes into the audit log from here, and from nowhere else.
"""

from collections.abc import Awaitable, Callable
from http import HTTPStatus

import trio

from zotpy.auth.permission import UNASKED, UNRESTRICTED, Permission
from zotpy.concurrency import first_cause
from zotpy.core.errors import Unsupported
from zotpy.core.names import RepositoryName
from zotpy.http.server.bounded_request import BoundedRequest
from zotpy.http.server.response import Response
from zotpy.web.auditing import Audit, Trail
from zotpy.web.call import Call
from zotpy.web.challenges import Challenge, no_challenge
from zotpy.web.context import Context
from zotpy.web.errors import API, EndpointUnknown
from zotpy.web.routes import RouteTable

Admit = Callable[[BoundedRequest], Awaitable[Permission]]
"""Finds out who makes a request, and so what they may do. Raises a `RegistryError` if they have to log in first."""


async def admit_everybody(request: BoundedRequest) -> Permission:
    """Let everybody do everything, without asking who they are."""
    del request
    return UNRESTRICTED


class Dispatcher:
    """Leads requests to their handlers."""

    def __init__(
        self, table: RouteTable, context: Context, admit: Admit = admit_everybody, challenge: Challenge = no_challenge
    ) -> None:
        """`challenge` writes the WWW-Authenticate headers of each answer 401."""
        self.table = table
        self._challenge = challenge
        self.context = context
        self.admit = admit
        self.audit: Audit | None = None
        """Where decisions are noted; `None`: nowhere."""

    def answer(self, request: BoundedRequest) -> Awaitable[Response]:
        """Answer a request, whatever happens. It raises only cancellation.

        `request.route` is set as soon as it is known. If no row takes the request, it stays as it is.
        """
        return self._answer(request, None) if self.audit is None else self._audited(request, self.audit)

    async def _audited(self, request: BoundedRequest, audit: Audit) -> Response:
        trail = Trail(request)
        try:
            trail.response = await self._answer(request, trail)
            return trail.response
        finally:
            for entry in trail.entries(audit):
                audit.note(entry)

    async def _answer(self, request: BoundedRequest, trail: Trail | None) -> Response:
        area, needs, repo = API, None, None
        try:
            path = _path_of(request)
            route, name, last = self.table.find(request.method, path)
            request.route, area, needs = route.rule, route.area, route.needs
            repo, namespace = None if name is None else RepositoryName.parse(name), None
            if repo is not None and self.context.mirror is not None and request.method in {"GET", "HEAD"}:
                namespace = request.args.get("ns") or None
                if namespace is not None:
                    repo = self.context.mirror.local_name(namespace, repo)
            if trail is not None:
                trail.reach(route, "" if repo is None else repo.text, last)
            permission = UNASKED
            if route.needs is not None:
                permission = await self.admit(request)
                request.user, request.login = permission.identity.name, permission.identity.kind
                if trail is not None:
                    permission = trail.admit(permission)
                permission.require(route.needs, repo, last)
            response = await route.handler(Call(self.context, request, permission, repo, last))
        except (Exception, BaseExceptionGroup) as error:
            # The cause gets no name: this frame is in its traceback, and in a cycle it would hold the request's bytes.
            if isinstance(first_cause(error), trio.Cancelled):
                raise
            response = area.failed(error)
            if response.status_code == HTTPStatus.UNAUTHORIZED:
                response.headers.setlist("WWW-Authenticate", self._challenge(request, needs, repo, first_cause(error)))
            return response
        area.mark(response)
        if namespace is not None:
            response.headers["OCI-Namespace"] = namespace
        return response


def _path_of(request: BoundedRequest) -> str:
    """Return the path as a proxy before us has seen it. Raises `Unsupported`, `EndpointUnknown`."""
    if request.method != request.method.upper():
        msg = f"methods are written in capitals: {request.method[:20]} is none"
        raise Unsupported(msg)
    if request.raw_path.startswith("//"):  # Quart takes the slashes away
        raise EndpointUnknown
    return request.path
