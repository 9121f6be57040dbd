"""What operators and balancers ask for: health as in zot (`/livez`, `/readyz`, `/startupz`), and metrics."""

from quart import Response

from zotpy.web.answers import Answer
from zotpy.web.call import Call

_METRICS_TYPE = "text/plain; version=0.0.4; charset=utf-8"


async def livez(call: Call) -> Response:
    """GET /livez: the process answers, and a restart would not help."""
    del call
    return Answer("ok\n", 200, content_type="text/plain")


async def readyz(call: Call) -> Response:
    """GET /readyz and /startupz: the store answers, its layout is one we know, and the replica is not draining."""
    if await call.context.health.is_ready():
        return Answer("ok\n", 200, content_type="text/plain")
    reason = "draining" if call.context.health.draining else call.context.health.refusal or "the store does not answer"
    return Answer(f"{reason}\n", 503, content_type="text/plain")


async def metrics(call: Call) -> Response:
    """GET /metrics: Prometheus's text format."""
    return Answer(call.context.metrics(), 200, content_type=_METRICS_TYPE)
