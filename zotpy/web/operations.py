"""What operators and balancers ask: health as in zot (`/livez`, `/readyz`, `/startupz`), and metrics."""

from quart import Response

from zotpy.http.server.bodies import BoundedRequest
from zotpy.web.context import Context

_METRICS_TYPE = "text/plain; version=0.0.4; charset=utf-8"


async def livez(context: Context, request: BoundedRequest) -> Response:
    """GET /livez: the process answers; restarting it would help nothing."""
    del context, request
    return Response("ok\n", 200, content_type="text/plain")


async def readyz(context: Context, request: BoundedRequest) -> Response:
    """GET /readyz and /startupz: the store answers, its layout is one we know, and the replica is not leaving."""
    del request
    if await context.health.is_ready():
        return Response("ok\n", 200, content_type="text/plain")
    reason = "draining" if context.health.draining else context.health.refusal or "the store does not answer"
    return Response(f"{reason}\n", 503, content_type="text/plain")


async def metrics(context: Context, request: BoundedRequest) -> Response:
    """GET /metrics: Prometheus's text format."""
    del request
    return Response(context.metrics(), 200, content_type=_METRICS_TYPE)
