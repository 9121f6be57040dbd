"""Logins at Google's registries: an access token from the application default credentials.

They are, in this order: the file that `GOOGLE_APPLICATION_CREDENTIALS` names, the file that `gcloud auth
application-default login` writes, and the metadata server of a virtual machine or of GKE. Three kinds of files are
known: a service account's key (RFC 7523), a user's (a refresh token), and an external account (a token exchange, RFC
8693). Source: Google, *How Application Default Credentials works*, and AIP-4110 to 4117.
"""

import json
import os
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import trio

from zotpy.s3.credentials import AwsChain
from zotpy.s3.credentials import Credentials as AwsCredentials
from zotpy.settings.temporary_logins import JWT_BEARER, TOKEN_EXCHANGE
from zotpy.upstream.errors import UpstreamUnavailable, words_of
from zotpy.upstream.login import Login
from zotpy.upstream.temporary.assertions import sign_assertion
from zotpy.upstream.temporary.external_account import impersonated, subject_token
from zotpy.upstream.temporary.remembered import Temporary
from zotpy.upstream.temporary.secret_files import read_object_file, text_of
from zotpy.upstream.temporary.service_requests import HERE, ask, document_of, life_of, token_of, url_of
from zotpy.upstream.temporary.token_exchange import exchanged

USERNAME = "oauth2accesstoken"
SCOPE = "https://www.googleapis.com/auth/cloud-platform.read-only"
"""The narrowest one that reads images."""
WHOLE_SCOPE = "https://www.googleapis.com/auth/cloud-platform"
"""What a token needs that itself asks for another one."""
METADATA = "http://metadata.google.internal"
MARGIN_S = 225.0
"""The metadata server gives the same token until four minutes before its end."""
USUAL_LIFE_S = 3600.0
ASSERTION_LIFE_S = 3600
_TOKEN_URL = "https://oauth2.googleapis.com/token"  # noqa: S105 - where tokens are
_STS_URL = "https://sts.googleapis.com/v1/token"
_SERVICES, _ACCOUNTS = ".googleapis.com", "accounts.google.com"
_UNIVERSE = "googleapis.com"


class GoogleService:
    """The application default credentials of this process."""

    def __init__(
        self, environ: Mapping[str, str] = os.environ, metadata: str = METADATA, aws: AwsCredentials | None = None
    ) -> None:
        """Ask nobody yet. `metadata` is the URL of the metadata server. `aws` are the keys of AWS, if it has any."""
        self._environ = environ
        self._metadata = metadata
        self._aws = aws or AwsChain()

    async def __call__(self) -> Temporary:
        """See `zotpy.upstream.temporary.remembered.Mint`."""
        file = await trio.to_thread.run_sync(partial(_file, self._environ))
        if file is None:
            token, life_s = await self._of_machine()
        else:
            document = await trio.to_thread.run_sync(partial(read_object_file, file))
            token, life_s = await self._of_file(document, file)
        return Temporary(Login(USERNAME, token), life_s)

    async def _of_machine(self) -> tuple[str, float]:
        """Ask the metadata server, which no proxy is between."""
        url = f"{self._metadata}/computeMetadata/v1/instance/service-accounts/default/token?scopes={SCOPE}"
        try:
            answer = await ask("GET", url, {"Metadata-Flavor": "Google"}, proxied=False)
        except UpstreamUnavailable as error:
            msg = f"found no credentials of Google: GOOGLE_APPLICATION_CREDENTIALS names no file, and {error}"
            raise UpstreamUnavailable(msg) from error
        if answer.headers.get("metadata-flavor") != "Google":
            msg = f"{self._metadata} is not Google's metadata server"
            raise UpstreamUnavailable(msg)
        document = document_of(answer, "Google's metadata server")
        token = token_of(document, "access_token", "Google's metadata server")
        return token, life_of(document.get("expires_in"), USUAL_LIFE_S)

    async def _of_file(self, document: Mapping[str, Any], file: Path) -> tuple[str, float]:
        """Return a token, and how many seconds it lasts. Raises `UpstreamUnavailable`."""
        universe = document.get("universe_domain") or _UNIVERSE
        if universe != _UNIVERSE:
            msg = f"{file} is of the universe {words_of(str(universe))!r}: zotpy knows {_UNIVERSE} alone"
            raise UpstreamUnavailable(msg)
        kind = document.get("type")
        if kind == "service_account":
            return await _of_service_account(document, file)
        if kind == "authorized_user":
            names = ("client_id", "client_secret", "refresh_token")
            form = {"grant_type": "refresh_token", **{name: text_of(document, name, file) for name in names}}
            return await exchanged(_google_url(document.get("token_uri") or _TOKEN_URL, file), form, USUAL_LIFE_S)
        if kind == "external_account":
            return await self._of_external_account(document, file)
        msg = f"{file}: zotpy knows the types service_account, authorized_user and external_account, and not {kind!r}"
        raise UpstreamUnavailable(msg)

    async def _of_external_account(self, document: Mapping[str, Any], file: Path) -> tuple[str, float]:
        url = _google_url(document.get("token_url") or _STS_URL, file)
        impersonate = document.get("service_account_impersonation_url")
        next_url = _google_url(impersonate, file) if impersonate else ""
        form = {
            "grant_type": TOKEN_EXCHANGE,
            "audience": text_of(document, "audience", file),
            "scope": WHOLE_SCOPE if impersonate else SCOPE,
            "requested_token_type": "urn:ietf:params:oauth:token-type:access_token",
            "subject_token_type": text_of(document, "subject_token_type", file),
            "subject_token": await subject_token(document, file, self._aws, self._environ),
        }
        token, life_s = await exchanged(url, form, USUAL_LIFE_S)
        if not next_url:
            return token, life_s
        body = json.dumps({"scope": [SCOPE], "lifetime": f"{int(USUAL_LIFE_S)}s"}).encode()
        return await impersonated(next_url, token, body)


def _google_url(url: object, file: Path) -> str:
    """Return a URL that a file of credentials names, if it is one of Google or of this machine.

    Google warns of files that come from others: the URLs in them decide who gets the secrets of this machine. Raises
    `UpstreamUnavailable`.
    """
    parts = url_of(str(url))
    scheme, host = parts.scheme, parts.host
    if scheme == "https" and (host == _ACCOUNTS or host.endswith(_SERVICES)):
        return str(url)
    if scheme in {"http", "https"} and host in HERE:
        return str(url)
    msg = f"{file} names {words_of(str(url))!r}: secrets go only to https://*{_SERVICES}, or to this machine"
    raise UpstreamUnavailable(msg)


def _file(environ: Mapping[str, str]) -> Path | None:
    """Return the file of credentials; `None`: there is none."""
    if named := environ.get("GOOGLE_APPLICATION_CREDENTIALS"):
        return Path(named)
    configured = environ.get("CLOUDSDK_CONFIG")
    directory = Path(configured) if configured else Path(environ.get("HOME", "/")) / ".config" / "gcloud"
    file = directory / "application_default_credentials.json"
    return file if file.exists() else None


async def _of_service_account(document: Mapping[str, Any], file: Path) -> tuple[str, float]:
    url = _google_url(document.get("token_uri") or _TOKEN_URL, file)
    claims = {"iss": text_of(document, "client_email", file), "scope": SCOPE, "aud": url}
    pem = text_of(document, "private_key", file).encode()
    sign = partial(sign_assertion, claims, pem, "RS256", str(document.get("private_key_id") or ""), ASSERTION_LIFE_S)
    assertion = await trio.to_thread.run_sync(sign)
    return await exchanged(url, {"grant_type": JWT_BEARER, "assertion": assertion}, USUAL_LIFE_S)
