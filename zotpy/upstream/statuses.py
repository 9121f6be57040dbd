"""Which error the status of an upstream's answer stands for."""

import json
from http import HTTPStatus

from zotpy.upstream.errors import (
    LoginRefused,
    NotAtUpstream,
    RangeRefused,
    UpstreamBroken,
    UpstreamError,
    UpstreamRefused,
    UpstreamUnavailable,
    words_of,
)

LONGEST_REFUSAL_BYTES = 16 * 1024
_ABSENT = {HTTPStatus.NOT_FOUND, HTTPStatus.GONE, HTTPStatus.UNAVAILABLE_FOR_LEGAL_REASONS}
_PASSING = {HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_EARLY, HTTPStatus.TOO_MANY_REQUESTS}


def error_of(status: int, url: str, reason: str, asked_s: float | None, *, got_login: bool = True) -> UpstreamError:
    """Return the error for a status other than 200 and 206. `asked_s` is what Retry-After asks for.

    `got_login`: the host that answers is one that gets our login, if there is one.
    """
    what = f"{url} is answered with status {status}" + (f": {reason}" if reason else "")
    if status in _ABSENT:
        return NotAtUpstream(what)
    if status in _PASSING or status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        is_of_one = asked_s is None and status != HTTPStatus.TOO_MANY_REQUESTS
        return UpstreamUnavailable(what, retry_after_s=asked_s, is_of_one=is_of_one)
    if status == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
        return RangeRefused(what)
    if status in {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN} and got_login:
        return LoginRefused(what)
    if status >= HTTPStatus.BAD_REQUEST:
        return UpstreamRefused(what)
    return UpstreamBroken(what)


def reason_of(body: bytes) -> str:
    """Return the words of the first error in an OCI error envelope; empty if the body is none."""
    try:
        document = json.loads(body)
        first = document["errors"][0]
        told = [first.get("code"), first.get("message")]
    except (ValueError, RecursionError, LookupError, TypeError, AttributeError):
        return ""
    return words_of(" ".join(text for text in told if isinstance(text, str)))
