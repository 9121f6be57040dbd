"""What operators and balancers ask for: health as in zot (`/livez`, `/readyz`, `/startupz`), and metrics."""

import trio

from zotpy.http.server.response import Response
from zotpy.web.answers import Answer
from zotpy.web.call import Call

_METRICS_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_ONE_AT_A_TIME = trio.CapacityLimiter(1)


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
    """GET /metrics: Prometheus's text format. The series of many workers take long to add up, so a thread does it."""
    text = await trio.to_thread.run_sync(call.context.metrics, limiter=_ONE_AT_A_TIME)
    return Answer(text, 200, content_type=_METRICS_TYPE)
