"""Tokens of an outside token service (`http.auth.bearer.cert`), as zot takes them.

The service has its own rules. What its token grants in the claim `access` is final, so the rules of this registry are
not asked. Unlike zot, zotpy asks that a token is for this registry (`aud`), that it ends (`exp`), and that it is by the
right issuer if the configuration names one (`iss`).
"""

import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import structlog

from zotpy.auth.jwt import audiences_of, read_token
from zotpy.auth.permission import Identity
from zotpy.auth.public_key import PublicKey, read_public_key
from zotpy.auth.scopes import Access, earliest_end, scopes_of
from zotpy.auth.token_times import end_of
from zotpy.auth.tokens import CONTINUES_S, EXPIRED, LEEWAY_S, TokenEnded
from zotpy.auth.verified import Verified
from zotpy.core.errors import TokenInvalid
from zotpy.watching import Watched

KIND = "bearer"

log = structlog.get_logger()


class OutsideTokens(Watched[PublicKey]):
    """Reads the tokens of one service: a `zotpy.auth.authenticator.BearerReader`. It watches the file of its key."""

    def __init__(self, file: Path, service: str, issuer: str = "", clock: Callable[[], float] = time.time) -> None:
        """Read the public key of the service. Raises `OSError`, `ValueError`.

        `service` is what `aud` must be, or have among others. `issuer` is what `iss` must be; empty: anything.
        """
        super().__init__([file], partial(read_public_key, file))
        self.service = service
        self.issuer = issuer
        self.clock = clock
        self.verified = Verified()
        self._file = file

    def on_renewed(self) -> None:
        """Forget what the key before has signed."""
        self.verified.clear()
        log.info("bearer_key_reloaded", file=str(self._file))

    def on_unusable(self, error: OSError | ValueError) -> None:
        """Log it: the key stays."""
        log.error("bearer_key_not_reloaded", reason=str(error), file=str(self._file))

    async def read(self, token: str) -> Identity | None:
        """Return whose token this is. `None`: another issuer has signed it. Raises `TokenInvalid`, `TokenEnded`."""
        now = self.clock()
        if (identity := self.verified.recall(token, now)) is not None:
            return identity
        shown = read_token(token)
        if shown is None or not shown.is_signed_by(self.latest):
            return None
        claims = shown.claims
        until = self._checked(claims, now)
        name = claims.get("sub", "")
        moment = min(now, until - LEEWAY_S - 1)  # an entry that ends with its token lasts as long as that
        scopes = list(scopes_of(claims.get("access"), moment))
        identity = Identity(str(name or ""), kind=KIND, access=Access.of(scopes, is_final=True))
        if now >= until:
            if now < until + CONTINUES_S:
                raise TokenEnded(identity)
            raise TokenInvalid(EXPIRED)
        self.verified.keep(token, identity, min(until, earliest_end(claims.get("access"))))
        return identity

    def _checked(self, claims: Mapping[str, Any], now: float) -> float:
        """Return until when a token counts. Raises `TokenInvalid` if it does not count here, or not yet."""
        if self.service not in audiences_of(claims):
            msg = f"the token is not for the service {self.service}, as its claim aud must say: get another one"
            raise TokenInvalid(msg)
        if self.issuer and claims.get("iss") != self.issuer:
            msg = f"the token is not by the issuer {self.issuer}: get another one"
            raise TokenInvalid(msg)
        return end_of(claims, now)
