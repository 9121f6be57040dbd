"""What the conditions of rules may know of a request."""

from functools import partial

from zotpy.auth.conditions import Judge
from zotpy.auth.request_variables import Facts
from zotpy.http.server.bounded_request import BoundedRequest


def judge_of(request: BoundedRequest) -> Judge:
    """Return what judges conditions for a request. It reads nothing unless there is a condition."""
    return Judge(partial(facts_of, request), has_reference=request.route.endswith("<reference>"))


def facts_of(request: BoundedRequest) -> Facts:
    """Return what is known of a request. `X-Forwarded-For` is as clients and proxies have written it."""
    headers, reached = request.headers, request.reached
    lines = headers.getlist("X-Forwarded-For")
    return Facts(
        method=request.method,
        user_agent=headers.get("User-Agent", ""),
        client=reached.client,
        peer=reached.peer,
        forwarded_for=[each for line in lines for part in line.split(",") if (each := part.strip())],
        has_tls=reached.scheme == "https",
        tls_version=request.tls_version,
    )
