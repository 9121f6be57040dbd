"""What operators and balancers ask: health as in zot (`/livez`, `/readyz`, `/startupz`), and metrics."""

from quart import Response

from zotpy.web.bodies import BoundedRequest
from zotpy.web.context import Context

_METRICS_TYPE = "text/plain; version=0.0.4; charset=utf-8"


async def livez(context: Context, request: BoundedRequest) -> Response:
    """GET /livez: the process answers; restarting it would help nothing."""
    del context, request
    return Response("ok\n", 200, content_type="text/plain")


async def readyz(context: Context, request: BoundedRequest) -> Response:
    """GET /readyz and /startupz: the store answers, and the replica is not leaving."""
    del request
    if await context.health.is_ready():
        return Response("ok\n", 200, content_type="text/plain")
    reason = "draining\n" if context.health.draining else "the store does not answer\n"
    return Response(reason, 503, content_type="text/plain")


async def metrics(context: Context, request: BoundedRequest) -> Response:
    """GET /metrics: Prometheus's text format."""
    del request
    return Response(context.metrics(), 200, content_type=_METRICS_TYPE)
