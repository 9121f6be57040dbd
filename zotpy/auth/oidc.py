"""Logins by tokens of issuers such as CI services, `http.auth.bearer.oidc`: a job shows its token, and has no secret.

A token says in its claims whose it is. It is a login like any other, so the rules of `http.accessControl` decide what
its bearer may do. A refresh token carries the claims that the configuration names, and they are looked at again
whenever it is used. So a job can go on with it after the end of its own token.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import trio

from zotpy.auth.basic import Credentials
from zotpy.auth.claim_mapping import KIND, ClaimMapping
from zotpy.auth.claims import Claims, Names, joined
from zotpy.auth.id_tokens import check_kind
from zotpy.auth.issuer_keys import IssuerKeys
from zotpy.auth.jwt import LONGEST_TOKEN, ShownToken, audiences_of, read_token
from zotpy.auth.permission import Identity
from zotpy.auth.token_times import end_of
from zotpy.auth.tokens import CONTINUES_S, EXPIRED, TokenEnded
from zotpy.auth.verified import Verified
from zotpy.core.errors import TokenInvalid
from zotpy.settings import IssuerSettings

__all__ = ["KIND", "Issuer", "WorkloadTokens"]

MOST_REMEMBERED_S = 300.0
"""How long a good token is remembered, so that a key that its issuer removes counts no more soon."""


@dataclass(frozen=True, slots=True)
class Issuer:
    """An entry of the configuration, and the keys of its issuer."""

    settings: IssuerSettings
    keys: IssuerKeys
    mapping: ClaimMapping = field(init=False)

    def is_meant(self, claims: Mapping[str, Any]) -> bool:
        """Say whether a token is by this issuer, and for this registry."""
        named = audiences_of(claims)
        is_for_us = any(isinstance(each, str) and each in self.settings.audiences for each in named)
        return claims.get("iss") == self.settings.issuer and is_for_us

    def __post_init__(self) -> None:
        object.__setattr__(self, "mapping", ClaimMapping(self.settings))


class WorkloadTokens:
    """Reads the tokens of some issuers.

    It is a `BearerReader`, an `Authenticator` for tokens as passwords, and their `Renewer`.
    """

    def __init__(
        self,
        issuers: Sequence[Issuer],
        clock: Callable[[], float] = time.time,
        reads: Callable[[], Names] = frozenset,
    ) -> None:
        """Know no key yet. `reads` returns which claims the rules read."""
        self.issuers = issuers
        self.clock = clock
        self.reads = reads
        self.verified = Verified()
        self._read_before: Names = frozenset()

    async def read(self, token: str) -> Identity | None:
        """Return whose token this is. `None`: it is by none of the issuers, or is for somebody else.

        Raises `TokenInvalid`, `TokenEnded`, `Unavailable`, `TooManyRequests`.
        """
        now = self.clock()
        if (reads := self.reads()) != self._read_before:
            self._read_before = reads
            self.verified.clear()  # what is remembered may lack a claim that the rules of now read
        if (identity := self.verified.recall(token, now)) is not None:
            return identity
        if (shown := read_token(token)) is None:
            return None
        refused: TokenInvalid | None = None
        for issuer in self.issuers:
            if issuer.is_meant(shown.claims):
                try:
                    return await self._checked(issuer, token, shown, now)
                except TokenInvalid as error:  # another entry may take it
                    refused = refused or error
        if refused is not None:
            raise refused
        return None

    async def _checked(self, issuer: Issuer, token: str, shown: ShownToken, now: float) -> Identity:
        """Return whose token this is, if the issuer has signed it. Raises as `read`."""
        until = end_of(shown.claims, now)
        if now >= until + CONTINUES_S:
            raise TokenInvalid(EXPIRED)
        keys = await issuer.keys.find(shown.kid, shown.algorithm)
        if not any(shown.is_signed_by(key) for key in keys):
            msg = f"no key of {issuer.settings.issuer} has signed the token: get another one"
            raise TokenInvalid(msg)
        if issuer.settings.client:
            check_kind(shown.kind)
        identity = await self._identity(issuer, Claims(shown.claims))
        if now >= until:
            raise TokenEnded(identity)
        self.verified.keep(token, identity, min(until, now + MOST_REMEMBERED_S))
        return identity

    async def identify(self, credentials: Credentials) -> Identity | None:
        """Return whose token the password is, whatever the user name is. `None`: it is no such token.

        Raises `TokenInvalid`, `Unavailable`, `TooManyRequests`.
        """
        password = credentials.password
        if len(password) > LONGEST_TOKEN or password.count(b".") != 2 or not password.isascii():  # noqa: PLR2004
            return None
        try:
            return await self.read(password.decode())
        except TokenEnded as ended:
            raise TokenInvalid(EXPIRED) from ended

    async def _identity(self, issuer: Issuer, claims: Claims) -> Identity:
        """Return the user of these claims, with those claims that settings read. Raises `TokenInvalid`."""
        try:
            identity = issuer.mapping.identity(claims)
        finally:  # other expressions may follow: those of another issuer, or the conditions of rules
            await trio.lowlevel.checkpoint()
        return replace(identity, claims=claims.kept(joined([issuer.mapping.reads, self.reads()])))

    def note(self, identity: Identity) -> Mapping[str, object]:
        """Return the claims that `renew` will look at."""
        return identity.claims.written()

    async def renew(self, identity: Identity, noted: Mapping[str, object]) -> Identity | None:
        """Return the same user; `None`: the configuration of today refuses such claims."""
        claims = Claims.parse(noted)
        for issuer in self.issuers:
            if issuer.is_meant(claims.values) and _is_enough(claims, issuer):
                try:
                    renewed = await self._identity(issuer, claims)
                except TokenInvalid:
                    continue
                if renewed.name == identity.name:
                    return renewed
        return None


def _is_enough(claims: Claims, issuer: Issuer) -> bool:
    """Say whether a refresh token has all that decides today who its bearer is."""
    reads = issuer.mapping.reads
    return claims.known is None or (reads is not None and reads <= claims.known)
