"""Access tokens from an OAuth2 service, in exchange for an assertion: zot's `oauth2CredentialHelper`.

Grants: client credentials with an assertion (RFC 7523, section 2.2), an assertion alone (section 2.1), and a token
exchange (RFC 8693). The files are read anew for each exchange.
"""

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

import trio

from zotpy.settings.temporary_logins import JWT_BEARER, TOKEN_EXCHANGE, OAuth2Settings
from zotpy.upstream.errors import UpstreamUnavailable
from zotpy.upstream.login import Login
from zotpy.upstream.temporary.assertions import sign_assertion
from zotpy.upstream.temporary.remembered import Temporary
from zotpy.upstream.temporary.secret_files import read_object_file, read_secret, text_of
from zotpy.upstream.temporary.service_requests import ask, document_of, life_of, token_of

MARGIN_S = 60.0
USUAL_LIFE_S = 300.0
"""If the service does not say it."""
_CLIENT_ASSERTION = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"


class TokenService:
    """The service of one upstream."""

    def __init__(self, settings: OAuth2Settings) -> None:
        """Ask nobody yet."""
        self._settings = settings

    async def __call__(self) -> Temporary:
        """See `zotpy.upstream.temporary.remembered.Mint`."""
        form = await trio.to_thread.run_sync(partial(_form, self._settings))
        token, life_s = await exchanged(self._settings.token_url, form, USUAL_LIFE_S)
        return Temporary(Login(self._settings.username, token), life_s)


async def exchanged(url: str, form: Mapping[str, str], usual_life_s: float) -> tuple[str, float]:
    """Ask a token endpoint. Return the access token, and how many seconds it lasts. Raises `UpstreamUnavailable`."""
    headers = {"Content-Type": "application/x-www-form-urlencoded", "Accept": "application/json"}
    answer = await ask("POST", url, headers, urlencode(form).encode())
    service = urlsplit(url).netloc
    document = document_of(answer, service)
    return token_of(document, "access_token", service), life_of(document.get("expires_in"), usual_life_s)


def _form(settings: OAuth2Settings) -> dict[str, str]:
    """Return what is sent. Reads files. Raises `UpstreamUnavailable`."""
    if settings.assertion_file is not None:
        assertion = read_secret(settings.assertion_file)
    elif settings.signing_file is not None:
        assertion = _signed(settings, settings.signing_file)
    else:
        msg = "oauth2CredentialHelper names neither assertionFile nor signingFile"
        raise UpstreamUnavailable(msg)
    form = {"grant_type": settings.grant_type}
    if settings.grant_type == JWT_BEARER:
        form["assertion"] = assertion
    elif settings.grant_type == TOKEN_EXCHANGE:
        form |= {
            "subject_token": assertion,
            "subject_token_type": settings.subject_token_type,
            "requested_token_type": settings.requested_token_type,
            "audience": settings.audience,
        }
    else:
        form |= {"client_assertion_type": _CLIENT_ASSERTION, "client_assertion": assertion}
    secret = "" if settings.client_secret_file is None else read_secret(settings.client_secret_file)
    others = {"client_id": settings.client_id, "client_secret": secret, "scope": " ".join(settings.scopes)}
    return form | {name: value for name, value in others.items() if value}


def _signed(settings: OAuth2Settings, file: Path) -> str:
    """Sign an assertion as zot's `signingFile` says. Raises `UpstreamUnavailable`."""
    document = read_object_file(file)
    given: Mapping[str, Any] = {name.lower(): value for name, value in document.items()}
    claims = {
        "iss": given.get("issuer") or settings.client_id,
        "sub": given.get("subject") or settings.client_id,
        "aud": given.get("audience") or settings.token_url,
    }
    pem = read_secret(Path(text_of(given, "privatekeyfile", file))).encode()
    return sign_assertion(claims, pem, text_of(given, "algorithm", file), str(given.get("keyid") or ""))
