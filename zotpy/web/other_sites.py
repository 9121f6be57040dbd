"""Requests that a page of another site makes a browser send, with the login that the browser keeps for this registry.

A browser sends a POST to any site without asking it first, and adds the password or the client certificate that it
keeps. It asks before every other request that changes something (CORS, a preflight): zotpy does not allow it, and a
proxy that does has decided so. The browser says where a POST comes from: in `Sec-Fetch-Site` over TLS, and in `Origin`.
Other programs send neither. No browser adds a token by itself.
"""

from zotpy.core.errors import Denied
from zotpy.http.server.bounded_request import BoundedRequest

_OWN = frozenset({"same-origin", "none"})
"""`none`: the user has begun the request, and no page."""


def refuse_other_sites(request: BoundedRequest) -> None:
    """Return if the request is not such a POST. Raises `Denied`."""
    headers = request.headers
    if request.method != "POST" or headers.get("Authorization", "").partition(" ")[0].lower() == "bearer":
        return
    site, origin = headers.get("Sec-Fetch-Site"), headers.get("Origin")
    if site is not None:
        is_own = site.strip().lower() in _OWN
    else:
        is_own = origin is None or origin.partition("://")[2].lower() == request.reached.host.lower() != ""
    if not is_own:
        msg = "this request comes from a page of another site: send it from a page of this registry, or by a program"
        raise Denied(msg)
