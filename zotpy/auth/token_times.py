"""The times in a token of another issuer: when it begins to count, and when it ends."""

from collections.abc import Mapping
from typing import Any

from zotpy.auth.tokens import LEEWAY_S
from zotpy.core.errors import TokenInvalid


def end_of(claims: Mapping[str, Any], now: float) -> float:
    """Return until when a token counts. Raises `TokenInvalid` if it does not say so, or does not count yet."""
    until = _time_of(claims, "exp")
    if until is None:
        msg = "the token has no claim exp that says when it ends: get another one"
        raise TokenInvalid(msg)
    for name in ("nbf", "iat"):
        begins = _time_of(claims, name)
        if claims.get(name) is not None and (begins is None or begins > now + LEEWAY_S):
            msg = f"the token does not count yet, by its claim {name}: compare the clocks of both hosts"
            raise TokenInvalid(msg)
    return until + LEEWAY_S


def _time_of(claims: Mapping[str, Any], name: str) -> float | None:
    """Read a claim that is a time; `None`: it is missing, or no clock can have such a time."""
    value = claims.get(name)
    is_time = isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1 << 53
    return float(value) if is_time else None  # type: ignore[arg-type]  # as was seen
