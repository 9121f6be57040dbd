"""Logins by tokens of issuers such as CI services, `http.auth.bearer.oidc`: a job shows its token, and has no secret.

A token says in its claims whose it is. It is a login like any other, so the rules of `http.accessControl` decide what
its bearer may do. A refresh token carries the claims that the configuration names, and they are looked at again
whenever it is used. So a job can go on with it after the end of its own token.
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from zotpy.auth.basic import Credentials
from zotpy.auth.issuer_keys import IssuerKeys
from zotpy.auth.jwt import LONGEST_TOKEN, ShownToken, audiences_of, read_token
from zotpy.auth.permission import Identity
from zotpy.auth.token_times import end_of
from zotpy.auth.tokens import CONTINUES_S, EXPIRED, TokenEnded
from zotpy.auth.verified import Verified
from zotpy.core.errors import TokenInvalid
from zotpy.settings import IssuerSettings

KIND = "oidc"
LONGEST_NAME = 512
MOST_GROUPS = 1000
MOST_REMEMBERED_S = 300.0
"""How long a good token is remembered, so that a key that its issuer removes counts no more soon."""
Claims = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Issuer:
    """An entry of the configuration, and the keys of its issuer."""

    settings: IssuerSettings
    keys: IssuerKeys

    def is_meant(self, claims: Claims) -> bool:
        """Say whether a token is by this issuer, and for this registry."""
        named = audiences_of(claims)
        is_for_us = any(isinstance(each, str) and each in self.settings.audiences for each in named)
        return claims.get("iss") == self.settings.issuer and is_for_us

    def identity(self, claims: Claims) -> Identity:
        """Return the user of these claims. Raises `TokenInvalid` if the configuration refuses such claims."""
        for name, values in self.settings.claims.items():
            if values.isdisjoint(_texts(claims.get(name))):
                msg = f"the claim {name} of the token has no value that http.auth.bearer.oidc allows"
                raise TokenInvalid(msg)
        parts = [claims.get(term.text) if term.is_claim else term.text for term in self.settings.username]
        if not all(isinstance(part, str) and part for part in parts):
            msg = "the token has no user name: a claim that it is made of is missing, or is no text"
            raise TokenInvalid(msg)
        name = "".join(map(str, parts))
        if len(name) > LONGEST_NAME or not name.isprintable():
            msg = "the user name in the token is too long, or cannot be shown"
            raise TokenInvalid(msg)
        groups = frozenset(_texts(claims.get(self.settings.groups))) if self.settings.groups else frozenset[str]()
        if len(groups) > MOST_GROUPS:
            msg = f"the token names more than {MOST_GROUPS} groups"
            raise TokenInvalid(msg)
        return Identity(name, groups, KIND, noted=dict(self._used(claims)))

    def _used(self, claims: Claims) -> Iterator[tuple[str, object]]:
        """Yield the claims that decide who somebody is."""
        named = [term.text for term in self.settings.username if term.is_claim]
        for name in {"iss", "aud", self.settings.groups, *self.settings.claims, *named}:
            if name in claims:
                yield name, claims[name]


class WorkloadTokens:
    """Reads the tokens of some issuers.

    It is a `BearerReader`, an `Authenticator` for tokens as passwords, and their `Renewer`.
    """

    def __init__(self, issuers: Sequence[Issuer], clock: Callable[[], float] = time.time) -> None:
        self.issuers = issuers
        self.clock = clock
        self.verified = Verified()

    async def read(self, token: str) -> Identity | None:
        """Return whose token this is. `None`: it is by none of the issuers, or is for somebody else.

        Raises `TokenInvalid`, `TokenEnded`, `Unavailable`, `TooManyRequests`.
        """
        now = self.clock()
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
        identity = issuer.identity(shown.claims)
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

    def note(self, identity: Identity) -> Mapping[str, object]:
        """Return the claims that `renew` will look at."""
        return identity.noted

    async def renew(self, identity: Identity, noted: Mapping[str, object]) -> Identity | None:
        """Return the same user; `None`: the configuration of today refuses such claims."""
        for issuer in self.issuers:
            if issuer.is_meant(noted):
                try:
                    renewed = issuer.identity(noted)
                except TokenInvalid:
                    continue
                if renewed.name == identity.name:
                    return renewed
        return None


def _texts(value: object) -> list[str]:
    """Return the texts that a claim has: one, or those of a list. A yes or no is `true` or `false`."""
    if isinstance(value, bool):
        return ["true" if value else "false"]
    if isinstance(value, list):
        return [each for each in value if isinstance(each, str)]
    return [value] if isinstance(value, str) else []
