"""The variables that expressions have, by where they stand in a configuration. Their names are zot's."""

from functools import lru_cache

from zotpy.cel.expressions import Expression, environment

OF_CLAIMS = (("claims", "map"), ("vars", "map"))
"""In `claimMapping`: the claims of the token, and the variables so far."""
OF_REQUESTS = (
    ("req.time", "timestamp"),
    ("req.method", "str"),
    ("req.userAgent", "str"),
    ("req.action", "str"),
    ("req.repository", "str"),
    ("req.reference", "str"),
    ("req.referenceType", "str"),
    ("req.tag", "str"),
    ("req.digest", "str"),
    ("req.user.username", "str"),
    ("req.user.groups", "list"),
    ("req.auth.anonymous", "bool"),
    ("req.auth.admin", "bool"),
    ("req.client.ip", "str"),
    ("req.client.peer", "str"),
    ("req.client.forwardedFor", "list"),
    ("req.tls.enabled", "bool"),
    ("req.tls.version", "str"),
    ("req.claims", "map"),
)
"""In `conditions`. zot has all of them but `req.client.peer`."""
MOST_COMPILED = 4096


@lru_cache(MOST_COMPILED)
def of_claims(text: str, wanted: str = "any") -> Expression:
    """Compile an expression of `claimMapping`. Raises `ValueError`, `ModuleNotFoundError`."""
    return environment(*OF_CLAIMS).compile(text, wanted)


@lru_cache(MOST_COMPILED)
def of_request(text: str) -> Expression:
    """Compile a condition. Raises `ValueError`, `ModuleNotFoundError`."""
    return environment(*OF_REQUESTS).compile(text, "bool")
