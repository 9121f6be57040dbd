"""The routes, and the application they make."""

from collections.abc import Awaitable, Callable, Iterator
from dataclasses import replace
from typing import Any, cast

import trio
from quart import Response
from quart import request as current
from quart.routing import QuartRule
from quart.typing import ResponseTypes
from quart.wrappers import Request
from quart.wrappers.base import BaseRequestWebsocket
from quart_trio import QuartTrio
from werkzeug.exceptions import NotFound
from werkzeug.local import LocalProxy
from werkzeug.routing import MapAdapter

from zotpy.bucket.health import Health
from zotpy.concurrency import first_cause
from zotpy.core.errors import Unsupported
from zotpy.http.server.bodies import BoundedBody, BoundedRequest, body_of
from zotpy.http.server.connections import BoundedConnection
from zotpy.http.server.proxies import TrustedProxies
from zotpy.http.server.streaming import Answered, BoundedHTTPConnection
from zotpy.memory.budget import MemoryBudget
from zotpy.registry.registry import Registry
from zotpy.store.space import Space
from zotpy.web import blobs, lists, manifests, operations, uploads, welcome
from zotpy.web.context import Context
from zotpy.web.errors import answer
from zotpy.web.routes import Handler, RepositoryRoutes

_PUSHES = frozenset({"PATCH", "PUT"})
_API = {"Docker-Distribution-API-Version": "registry/2.0"}

METRICS_PATH = "/metrics"

ROUTES: tuple[tuple[str, str, Handler], ...] = (
    ("GET", "/", welcome.welcome),
    ("GET", "/livez", operations.livez),
    ("GET", "/readyz", operations.readyz),
    ("GET", "/startupz", operations.readyz),
    ("GET", METRICS_PATH, operations.metrics),
    ("GET", "/v2/", lists.ping),
    ("GET", "/v2/_catalog", lists.catalog),
    ("GET", "/v2/<path:name>/tags/list", lists.tags),
    ("GET", "/v2/<path:name>/referrers/<digest>", lists.referrers),
    ("GET", "/v2/<path:name>/manifests/<reference>", manifests.read),
    ("PUT", "/v2/<path:name>/manifests/<reference>", manifests.push),
    ("DELETE", "/v2/<path:name>/manifests/<reference>", manifests.delete),
    ("GET", "/v2/<path:name>/blobs/<digest>", blobs.read),
    ("DELETE", "/v2/<path:name>/blobs/<digest>", blobs.delete),
    ("POST", "/v2/<path:name>/blobs/uploads/", uploads.begin),
    ("PATCH", "/v2/<path:name>/blobs/uploads/<upload_id>", uploads.chunk),
    ("PUT", "/v2/<path:name>/blobs/uploads/<upload_id>", uploads.finish),
    ("GET", "/v2/<path:name>/blobs/uploads/<upload_id>", uploads.status),
    ("DELETE", "/v2/<path:name>/blobs/uploads/<upload_id>", uploads.cancel),
)
"""Every endpoint; GET answers HEAD too."""


class RegistryApp(QuartTrio):
    """Quart with bodies that have backpressure."""

    request_class = BoundedRequest
    asgi_http_class = BoundedHTTPConnection
    context: Context
    repository_routes: RepositoryRoutes
    budget: MemoryBudget
    """What bodies may hold; also says how much to read ahead of it."""
    proxies = TrustedProxies()
    """Those that say how clients reach us."""
    report: Callable[[Answered, float], None] | None = None
    """Is told of every request that ended, and when, on trio's clock."""
    under_way = 0
    """How many requests have begun and not ended."""
    draining = False
    """Set when no more requests shall come: each answer then says that it is the last on its connection."""

    def prepare_body(self, body: BoundedBody, connection: BoundedConnection | None) -> None:
        """Say how long the client of a body may keep us waiting, and how it is seen that the client has gone."""
        settings = self.context.registry.settings
        body.idle_timeout_s, body.stall_timeout_s = settings.body_idle_s, settings.body_stall_s
        body.contested_bytes = lambda: self.budget.contested_bytes
        if connection is not None:
            body.is_left = lambda: connection.has_ended

    async def handle_request(self, request: Request) -> ResponseTypes:
        """Answer, and hold the request while the store stumbles; see `zotpy.store.holds`."""
        settings, holds, body = self.context.registry.settings, self.context.registry.holds, body_of(request)
        limit_s = settings.hold_s if brings_body(request) else min(settings.hold_s, settings.short_hold_s)
        patience = holds.patience(limit_s, body.is_left)
        body.on_piece = patience.renew
        with holds.held(patience):
            return await self._handle(request)

    async def _handle(self, request: Request) -> ResponseTypes:
        """Answer by the handler itself where it is found here, else as Quart does; see `zotpy.web.routes`."""
        if request.method != request.method.upper():
            return self.failed(Unsupported(f"methods are written in capitals: {request.method[:20]} is none"))
        if request.scope["path"].startswith("//"):  # Quart would take the slashes away, where a proxy sees another path
            return self.failed(NotFound())
        found = self.repository_routes.find(request.method, request.path)
        if found is None:
            return await super().handle_request(request)
        request.url_rule, handler, request.view_args = found
        try:
            response = await handler(_context_of(self.context, request), request, **request.view_args)
        except (Exception, BaseExceptionGroup) as error:
            if isinstance(first_cause(error), trio.Cancelled):
                raise
            return self.failed(error)
        response.headers.update(_API)
        return response

    async def admit_body(self) -> None:
        """Let a client be asked for its body. Raises what would end the request once the body is here."""
        await self.context.health.admit()
        self.budget.admit()

    def create_url_adapter(self, request: BaseRequestWebsocket | None) -> MapAdapter | None:
        """Route by method and path: no route asks for a host, and what a client writes as one need not be a name."""
        if request is None:
            return super().create_url_adapter(None)
        return self.url_map.bind("registry", request.root_path, None, request.scheme, request.method, request.path)

    def failed(self, error: BaseException) -> Response:
        """Return the answer to a request that failed when its handler was done."""
        response = answer(error)
        response.headers.update(_API)
        return response

    def on_answered(self, answered: Answered, ended: float) -> None:
        """Pass on that a request ended."""
        if self.report is not None:
            self.report(answered, ended)


def create_app(
    registry: Registry,
    health: Health,
    metrics: Callable[[], bytes],
    metrics_path: str | None = METRICS_PATH,
    space: Space | None = None,
) -> RegistryApp:
    """Make the ASGI application of one replica; `metrics` renders what `metrics_path` answers, if there is one."""
    app = RegistryApp("zotpy", static_folder=None)
    app.budget = registry.budget
    app.url_map.strict_slashes = False
    app.url_map.merge_slashes = False
    app.url_map.redirect_defaults = False
    app.context = context = Context(registry, health, metrics, space or Space())
    routes = tuple(_routes(metrics_path))
    for method, rule, handler in routes:
        app.add_url_rule(
            rule,
            f"{method} {rule}",
            _view(context, handler),
            methods=[method],
            provide_automatic_options=False,
        )
    rules = {rule.endpoint: rule for rule in app.url_map.iter_rules() if isinstance(rule, QuartRule)}
    app.repository_routes = RepositoryRoutes((rules[f"{method} {rule}"], handler) for method, rule, handler in routes)
    app.register_error_handler(Exception, _answer)
    app.after_request(_name_the_api)
    return app


def _routes(metrics_path: str | None) -> Iterator[tuple[str, str, Handler]]:
    """Yield every endpoint, that of the metrics at this path, or not at all."""
    for method, rule, handler in ROUTES:
        if rule != METRICS_PATH:
            yield method, rule, handler
        elif metrics_path is not None:
            yield method, metrics_path, handler


def brings_body(request: Request) -> bool:
    """Say whether a request is one that pushes content, or ends the pushing of it: many clients cannot repeat it."""
    return request.method in _PUSHES or (request.method == "POST" and "digest" in request.args)


def _view(context: Context, handler: Handler) -> Callable[..., Awaitable[Response]]:
    async def view(**arguments: Any) -> Response:
        request = cast(LocalProxy[BoundedRequest], current)._get_current_object()  # noqa: SLF001 - how Werkzeug names it
        return await handler(_context_of(context, request), request, **arguments)

    return view


def _context_of(context: Context, request: Request) -> Context:
    prefix = cast(BoundedRequest, request).reached.prefix
    return replace(context, prefix=prefix) if prefix else context


async def _answer(error: Exception) -> Response:
    return answer(error)


async def _name_the_api(response: Response) -> Response:
    response.headers.update(_API)
    return response
