"""The routes, and the application they make."""

from collections.abc import Awaitable, Callable
from typing import Any, cast

from quart import Response
from quart import request as current
from quart_trio import QuartTrio
from werkzeug.local import LocalProxy

from zotpy.registry.budget import MemoryBudget
from zotpy.registry.health import Health
from zotpy.registry.registry import Registry
from zotpy.web import blobs, lists, manifests, operations, uploads
from zotpy.web.bodies import BoundedRequest
from zotpy.web.context import Context
from zotpy.web.errors import answer
from zotpy.web.streaming import Answered, BoundedHTTPConnection

Handler = Callable[..., Awaitable[Response]]
_API = {"Docker-Distribution-API-Version": "registry/2.0"}

ROUTES: tuple[tuple[str, str, Handler], ...] = (
    ("GET", "/livez", operations.livez),
    ("GET", "/readyz", operations.readyz),
    ("GET", "/startupz", operations.readyz),
    ("GET", "/metrics", operations.metrics),
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
    budget: MemoryBudget
    """What bodies may hold; also says how much to read ahead of it."""
    body_stall_s = 60.0
    """How long a client may send nothing in the middle of a body."""
    report: Callable[[Answered, float], None] | None = None
    """Is told of every request that ended, and when, on trio's clock."""
    under_way = 0
    """How many requests have begun and not ended."""
    draining = False
    """Set when no more requests shall come: each answer then says that it is the last on its connection."""

    def failed(self, error: Exception) -> Response:
        """Return the answer to a request that failed when its handler was done."""
        response = answer(error)
        response.headers.update(_API)
        return response

    def on_answered(self, answered: Answered, ended: float) -> None:
        """Pass on that a request ended."""
        if self.report is not None:
            self.report(answered, ended)


def create_app(registry: Registry, health: Health, metrics: Callable[[], bytes]) -> RegistryApp:
    """Make the ASGI application of one replica; `metrics` renders what `/metrics` answers."""
    app = RegistryApp("zotpy", static_folder=None)
    app.budget = registry.budget
    app.body_stall_s = registry.settings.body_stall_s
    app.url_map.strict_slashes = False
    app.url_map.merge_slashes = False
    app.url_map.redirect_defaults = False
    context = Context(registry, health, metrics)
    for method, rule, handler in ROUTES:
        app.add_url_rule(
            rule,
            f"{method} {rule}",
            _view(context, handler),
            methods=[method],
            provide_automatic_options=False,
        )
    app.register_error_handler(Exception, _answer)
    app.after_request(_name_the_api)
    return app


def _view(context: Context, handler: Handler) -> Callable[..., Awaitable[Response]]:
    async def view(**arguments: Any) -> Response:
        request = cast(LocalProxy[BoundedRequest], current)._get_current_object()  # noqa: SLF001 - how Werkzeug names it
        return await handler(context, request, **arguments)

    return view


async def _answer(error: Exception) -> Response:
    return answer(error)


async def _name_the_api(response: Response) -> Response:
    response.headers.update(_API)
    return response
