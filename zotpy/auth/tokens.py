"""The registry's own tokens: short ones for requests, and long ones with which a client gets further short ones.

Any login in, a token out (`zotpy.web.desk`). A token says who the caller is and what it is good for. So a request that
carries one needs no password, no directory service and no store. Checked tokens are remembered.

The end of a token is a time of the store's clock, with `LEEWAY_S` for hosts of the store that differ.
"""

import json
import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Generic, NoReturn, Protocol, TypeVar

from zotpy.auth.authenticator import Renewer
from zotpy.auth.claims import NO_CLAIMS, Claims, Names
from zotpy.auth.permission import Identity
from zotpy.auth.scopes import Access, Scope, scopes_of, written
from zotpy.auth.signed_tokens import NotSigned, header_of, sign, verify
from zotpy.auth.verified import Verified
from zotpy.core.errors import TokenInvalid
from zotpy.core.upload_tokens import SigningKey

ISSUER = "zotpy"
LEEWAY_S = 60.0
CONTINUES_S = 24 * 3600.0
"""For how long after the end of a token an upload that was begun with it can go on."""
LONGEST_CLAIMS = 4096
"""Bytes, of claims that our own tokens carry for the rules."""
EXPIRED = "the token has expired: get another one"
_ACCESS, _REFRESH = "access", "refresh"


class Keys(Protocol):
    """The keys of the cluster: `zotpy.bucket.token_keys`."""

    @property
    def current(self) -> SigningKey:
        """The key to sign with."""
        ...

    @property
    def losses(self) -> int:
        """How often keys were found that count no more."""
        ...

    async def find(self, key_id: str) -> SigningKey | None:
        """Return the key of a token; `None`: no such key counts."""
        ...


class TokenEnded(Exception):
    """The token was good a while ago. Its bearer may still finish an upload that they began with it.

    `zotpy.web.login` turns it into `TokenInvalid` for every other request.
    """

    def __init__(self, identity: Identity) -> None:
        super().__init__(EXPIRED)
        self.identity = identity


@dataclass(frozen=True, slots=True)
class Issued:
    """A token for requests."""

    token: str = field(repr=False)
    issued_at: int
    """Unix time."""
    expires_in_s: int


KeysT = TypeVar("KeysT", bound=Keys)


@dataclass(slots=True)
class Tokens(Generic[KeysT]):
    """Issues tokens, and reads them: a `zotpy.auth.authenticator.BearerReader`."""

    keys: KeysT
    service: str
    """Whose tokens they are: those of another service are refused."""
    lifetime_s: float
    """How long a token for requests lasts, at least 60."""
    session_s: float
    """How long a refresh token lasts; 0: none is given."""
    renewers: Mapping[str, Renewer] = field(default_factory=dict)
    """By kind of login."""
    counting: Callable[[frozenset[str]], frozenset[str]] = lambda groups: groups
    """Says which groups a token needs to carry."""
    clock: Callable[[], float] = time.time
    reads: Callable[[], Names] = frozenset
    """Says which claims a token needs to carry."""
    verified: Verified = field(default_factory=Verified, init=False, repr=False)
    _losses: int = field(default=0, init=False)

    def issue(self, identity: Identity, scopes: Sequence[Scope]) -> Issued:
        """Write a token that is good for these scopes. Raises `TokenInvalid` if the caller's claims are too long."""
        now = int(self.clock())
        lifetime_s = int(self.lifetime_s)
        claims = {**self._claims(identity, _ACCESS, now, lifetime_s), "access": written(scopes)}
        has_claims = identity.claims is not NO_CLAIMS
        claims["claims"] = self._short(identity.claims.kept(self.reads())) if has_claims else None
        return Issued(sign(claims, self.keys.current), now, lifetime_s)

    def _short(self, claims: Claims) -> Mapping[str, object]:
        """Write claims for a token of requests, which carries them in every head. Raises `TokenInvalid`."""
        found = claims.written()
        if len(json.dumps(found)) > LONGEST_CLAIMS:
            _refuse(f"the claims that the rules of this registry read have more than {LONGEST_CLAIMS} bytes")
        return found

    def issue_refresh(self, identity: Identity) -> str | None:
        """Write a refresh token. `None`: logins of this kind have none.

        A renewer finds out the groups anew. A user may have thousands, and the whole token must fit into a form.
        """
        renewer = self.renewers.get(identity.kind)
        if renewer is None or self.session_s <= 0:
            return None
        claims = self._claims(identity, _REFRESH, int(self.clock()), int(self.session_s))
        return sign({**claims, "login": renewer.note(identity)}, self.keys.current)

    def _claims(self, identity: Identity, use: str, now: int, lifetime_s: int) -> dict[str, object]:
        groups = self.counting(identity.groups)
        return {
            "iss": ISSUER,
            "aud": self.service,
            "use": use,
            "sub": identity.name,
            "groups": sorted(groups),
            "all_groups": identity.has_all_groups and groups == identity.groups,
            "kind": identity.kind,
            "iat": now,
            "exp": now + lifetime_s,
            "jti": secrets.token_hex(8),
        }

    async def read(self, token: str) -> Identity | None:
        """Return whose token this is. `None`: another issuer has signed it. Raises `TokenInvalid`, `TokenEnded`."""
        now = self.clock()
        if self._losses != self.keys.losses:
            self._losses = self.keys.losses
            self.verified.clear()
        if (identity := self.verified.recall(token, now)) is not None:
            return identity
        claims = await self._checked(token, _ACCESS)
        if claims is None:
            return None
        until = _number(claims, "exp") + LEEWAY_S
        access = Access.of(scopes_of(claims.get("access"), now))
        identity = replace(_identity(claims), access=access, claims=_brought(claims))
        if now >= until:
            if now < until + CONTINUES_S:
                raise TokenEnded(identity)
            _refuse(EXPIRED)
        self.verified.keep(token, identity, until)
        return identity

    async def refresh(self, text: str) -> Identity | None:
        """Return whose refresh token this is, as they are today. `None`: another issuer has signed it.

        Raises `TokenInvalid`, `Unavailable`.
        """
        claims = await self._checked(text, _REFRESH)
        if claims is None:
            return None
        if self.clock() >= _number(claims, "exp") + LEEWAY_S:
            _refuse("the refresh token has expired: log in again")
        identity = _identity(claims)
        renewer, noted = self.renewers.get(identity.kind), claims.get("login")
        renewed = None
        if renewer is not None and self.session_s > 0 and isinstance(noted, Mapping):
            renewed = await renewer.renew(identity, noted)
        if renewed is None:
            _refuse("the login of this refresh token counts no more: log in again")
        return renewed

    async def _checked(self, text: str, use: str) -> Mapping[str, Any] | None:
        """Return the claims of a token for this use of this service. `None`: another issuer has signed it."""
        try:
            key_id = header_of(text).get("kid")
            if not isinstance(key_id, str) or not key_id.startswith(f"{ISSUER}."):
                return None
            key = await self.keys.find(key_id)
            if key is None:
                _refuse("the token is signed with a key that this registry does not have: log in again")
            claims = verify(text, key)
        except NotSigned as error:
            _refuse(f"{error}: log in again", error)
        if claims.get("use") != use:
            _refuse(f"this is no {use} token: log in again")
        if claims.get("iss") != ISSUER or claims.get("aud") != self.service:
            _refuse("the token is for another service: log in again")
        return claims


def _identity(claims: Mapping[str, Any]) -> Identity:
    """Read who the caller is, from what this registry itself has written."""
    groups = frozenset(map(str, claims["groups"]))
    has_all = claims.get("all_groups") is True  # an older replica does not say
    return Identity(str(claims["sub"]), groups, str(claims["kind"]), has_all_groups=has_all)


def _brought(claims: Mapping[str, Any]) -> Claims:
    """Read what else the login said of the caller. Nothing is known of it if the token is of an older replica."""
    return NO_CLAIMS if claims.get("claims", ()) is None else Claims.parse(claims.get("claims"))


def _number(claims: Mapping[str, Any], name: str) -> float:
    return float(claims[name])


def _refuse(message: str, cause: Exception | None = None) -> NoReturn:
    raise TokenInvalid(message) from cause
