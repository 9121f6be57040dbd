"""Whether a token is an ID token for one client (OpenID Connect Core 1.0, sections 2 and 3.1.3.7).

An issuer signs other tokens with the same keys, and ID tokens for other clients. Services that received those must not
be able to log in with them as the people who gave them.
"""

from collections.abc import Mapping
from typing import Any

from zotpy.core.errors import TokenInvalid
from zotpy.settings import IssuerSettings

_OF_OTHERS = frozenset({"events", "scope", "scp"})
"""What ID tokens have not: logout tokens and security events have `events` (RFC 8417), access tokens have `scope` (RFC
9068, section 2.2.3), which Microsoft and Okta call `scp`."""
READ_BY_CHECKS = frozenset({"azp", "client_id", "email_verified", "token_use", "typ"}) | _OF_OTHERS
"""The claims that `check_claims` looks at beside those that everybody looks at."""


def check_kind(kind: object) -> None:
    """Raise `TokenInvalid` if the header's `typ` is that of another kind of token, such as `at+jwt` (RFC 9068)."""
    if kind is not None and str(kind).lower().removeprefix("application/") != "jwt":
        msg = "the header of the token is not that of an ID token: send the ID token"
        raise TokenInvalid(msg)


def check_claims(settings: IssuerSettings, claims: Mapping[str, Any]) -> None:
    """Look at the claims of a token whose `iss` and `aud` fit. Raises `TokenInvalid` if it is another kind of token.

    `azp` is the client that got the token. With several audiences it must be there. Access tokens call it `client_id`
    (RFC 9068), and so do some ID tokens. Keycloak calls its ID tokens `ID` in the claim `typ`, and Cognito `id` in
    `token_use`. Nobody here has asked for the token, so there is no `nonce` to compare.
    """
    audience, made_for = claims.get("aud"), claims.get("azp")
    is_shared = isinstance(audience, list) and len(audience) > 1
    if made_for != settings.client and (made_for is not None or is_shared):
        msg = f"the token was issued for another client than {settings.client}: log in with this client"
        raise TokenInvalid(msg)
    is_named = claims.get("typ") in (None, "ID") and claims.get("token_use") in (None, "id")
    if not is_named or not _OF_OTHERS.isdisjoint(claims) or claims.get("client_id") not in (None, settings.client):
        msg = "the claims of the token are not those of an ID token: send the ID token"
        raise TokenInvalid(msg)
    is_by_email = any(term.is_claim and term.text == "email" for term in settings.username)
    if is_by_email and claims.get("email_verified", True) not in (True, "true"):
        msg = "the issuer has not verified the e-mail address in the token, so it is no user name"
        raise TokenInvalid(msg)
