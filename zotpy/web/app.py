"""The rows of the table of endpoints, and the application that uses it."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

from quart_trio import QuartTrio

from zotpy.auth.actions import Action
from zotpy.bucket.health import Health
from zotpy.http.server.bodies import BoundedBody
from zotpy.http.server.bounded_request import BoundedRequest
from zotpy.http.server.connections import BoundedConnection
from zotpy.http.server.proxies import TrustedProxies
from zotpy.http.server.response import Response
from zotpy.http.server.sending import Answered
from zotpy.http.server.streaming import BoundedHTTPConnection
from zotpy.memory.budget import MemoryBudget
from zotpy.mirror.mirror import Mirror
from zotpy.registry.registry import Registry
from zotpy.store.space import Space
from zotpy.web import blobs, lists, manifests, operations, uploads, welcome
from zotpy.web.challenges import Challenge, no_challenge
from zotpy.web.context import Context
from zotpy.web.dispatch import Admit, Dispatcher, admit_everybody
from zotpy.web.errors import API
from zotpy.web.routes import Route, RouteTable

_PUSHES = frozenset({"PATCH", "PUT"})

METRICS_PATH = "/metrics"

ROUTES = (
    Route("GET", "/", welcome.welcome, needs=None),
    Route("GET", "/livez", operations.livez, needs=None),
    Route("GET", "/readyz", operations.readyz, needs=None),
    Route("GET", "/startupz", operations.readyz, needs=None),
    Route("GET", METRICS_PATH, operations.metrics, needs=Action.METRICS),
    Route("GET", "/v2/", lists.ping, needs=Action.CONNECT),
    Route("GET", "/v2/_catalog", lists.catalog, needs=Action.CATALOG),
    Route("GET", "/v2/<path:name>/tags/list", lists.tags, needs=Action.READ),
    Route("GET", "/v2/<path:name>/referrers/<digest>", lists.referrers, needs=Action.READ),
    Route("GET", "/v2/<path:name>/manifests/<reference>", manifests.read, needs=Action.READ),
    Route("PUT", "/v2/<path:name>/manifests/<reference>", manifests.push, needs=Action.PUSH),
    Route("DELETE", "/v2/<path:name>/manifests/<reference>", manifests.delete, needs=Action.DELETE),
    Route("GET", "/v2/<path:name>/blobs/<digest>", blobs.read, needs=Action.READ),
    Route("DELETE", "/v2/<path:name>/blobs/<digest>", blobs.delete, needs=Action.DELETE),
    Route("POST", "/v2/<path:name>/blobs/uploads/", uploads.begin, needs=Action.CREATE),
    Route("PATCH", "/v2/<path:name>/blobs/uploads/<upload_id>", uploads.chunk, needs=Action.CREATE),
    Route("PUT", "/v2/<path:name>/blobs/uploads/<upload_id>", uploads.finish, needs=Action.CREATE),
    Route("GET", "/v2/<path:name>/blobs/uploads/<upload_id>", uploads.status, needs=Action.READ),
    # A caller who may begin an upload may end it. To delete what others have pushed needs another action.
    Route("DELETE", "/v2/<path:name>/blobs/uploads/<upload_id>", uploads.cancel, needs=Action.CREATE),
)
"""Every endpoint. GET answers HEAD, too."""


class RegistryApp(QuartTrio):
    """Quart with a table of endpoints of our own, and with bodies that have backpressure.

    Quart's map of URLs stays empty: `zotpy.web.dispatch` is the only way to a handler.
    """

    asgi_http_class = BoundedHTTPConnection
    context: Context
    dispatcher: Dispatcher
    budget: MemoryBudget
    """What bodies may hold. It also says how much to read ahead."""
    proxies = TrustedProxies()
    """The trusted proxies, which say how clients reach us."""
    report: Callable[[Answered, float], None] | None = None
    """Called with every request that ended, and when, on trio's clock."""
    under_way = 0
    """How many requests have begun and not ended."""
    draining = False
    """Set at the drain: each answer then says that it is the last on its connection."""

    def prepare_body(self, body: BoundedBody, connection: BoundedConnection | None) -> None:
        """Set how long the client of a body may keep us waiting, and how to see that the client has left."""
        settings = self.context.registry.settings
        body.idle_timeout_s, body.stall_timeout_s = (
            settings.upload.body_idle_timeout_s,
            settings.upload.body_stall_timeout_s,
        )
        body.contested_bytes = lambda: self.budget.contested_bytes
        if connection is not None:
            body.is_left = lambda: connection.has_ended

    async def handle_request(self, request: BoundedRequest) -> Response:  # type: ignore[override]  # never Quart's
        """Answer, and hold the request if the store does not answer; see `zotpy.store.holds`."""
        settings, holds, body = self.context.registry.settings, self.context.registry.holds, request.body
        limit_s = (
            settings.upload.hold_timeout_s
            if brings_body(request)
            else min(settings.upload.hold_timeout_s, settings.http.hold_timeout_s)
        )
        patience = holds.patience(limit_s, body.is_left)
        body.on_piece = patience.renew
        with holds.held(patience):
            return await self.dispatcher.answer(request)

    async def admit_body(self) -> None:
        """Let the server ask a client for its body. Raises what would end the request once the body is here."""
        await self.context.health.admit()
        self.budget.admit()

    def use(self, mirror: Mirror) -> None:
        """Fetch from other registries what is not here."""
        self.context = self.dispatcher.context = replace(self.context, mirror=mirror)

    def failed(self, error: BaseException) -> Response:
        """Return the answer to a request that failed after its handler was done."""
        return API.failed(error)

    def on_answered(self, answered: Answered, ended: float) -> None:
        """Report that a request ended."""
        if self.report is not None:
            self.report(answered, ended)


def create_app(
    registry: Registry,
    health: Health,
    metrics: Callable[[], bytes],
    metrics_path: str | None = METRICS_PATH,
    space: Space | None = None,
    admit: Admit = admit_everybody,
    challenge: Challenge = no_challenge,
    more_routes: Sequence[Route] = (),
) -> RegistryApp:
    """Make the ASGI application of one replica. `metrics` renders the answer of `metrics_path`, if that is given.

    `admit` says what each caller may do, and `challenge` how a caller can log in (`WWW-Authenticate`). `more_routes`
    are endpoints of the logins themselves.
    """
    app = RegistryApp("zotpy", static_folder=None)
    app.budget = registry.budget
    app.context = Context(registry, health, metrics, space or Space())
    app.dispatcher = Dispatcher(RouteTable([*_routes(metrics_path), *more_routes]), app.context, admit, challenge)
    return app


def _routes(metrics_path: str | None) -> Iterator[Route]:
    """Yield every row, with the metrics at this path, or without them."""
    for route in ROUTES:
        if route.rule != METRICS_PATH:
            yield route
        elif metrics_path is not None:
            yield replace(route, rule=metrics_path)


def brings_body(request: BoundedRequest) -> bool:
    """Say whether a request pushes content, or ends such a push: many clients cannot repeat it."""
    return request.method in _PUSHES or (request.method == "POST" and "digest" in request.args)
