"""`credentialHelper` of a mirrored registry, in zot's words: what gives logins that last hours."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from zotpy.config.foreign import asks
from zotpy.config.issuers import is_safe
from zotpy.config.sections import Sections
from zotpy.config.values import read_file
from zotpy.core.ecr_hosts import read_ecr_host
from zotpy.settings.temporary_logins import (
    CLIENT_CREDENTIALS,
    JWT_BEARER,
    TOKEN_EXCHANGE,
    LoginService,
    OAuth2Settings,
)

NAMES = ("credentialHelper", "oauth2CredentialHelper")
_OAUTH2 = {
    "clientID": "client_id",
    "username": "username",
    "audience": "audience",
    "subjectTokenType": "subject_token_type",
    "requestedTokenType": "requested_token_type",
}
_OF_EXCHANGE = ("audience", "subjectTokenType", "requestedTokenType")
_FILES = {"assertionFile": "assertion_file", "signingFile": "signing_file", "clientSecretFile": "client_secret_file"}
_URI = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:\S+", re.ASCII)


class LoginServiceReading(Sections):
    """Reads it, and notes each mistake with its path."""

    def login_service(self, parts: dict[str, Any], path: str, urls: Sequence[str]) -> LoginService | None:
        """Read both settings of a registry with these addresses; `None`: logins come from the file, if any."""
        name = parts.get("credentialHelper")
        if not asks(name):
            return None
        if name not in ("ecr", "gcp", "oauth2"):
            self._note(f"{path}.credentialHelper", "write ecr, gcp or oauth2")
            return None
        for number, url in enumerate(urls):
            if url and not is_safe(url):
                self._note(f"{path}.urls[{number}]", "a login of credentialHelper goes only to https addresses")
            elif url and name == "ecr" and read_ecr_host(urlsplit(url).hostname or "") is None:
                such = "https://012345678910.dkr.ecr.eu-central-1.amazonaws.com"
                self._note(f"{path}.urls[{number}]", f"is not an address of ECR, such as {such}")
        if name == "oauth2":
            return self._oauth2(parts.get("oauth2CredentialHelper"), f"{path}.oauth2CredentialHelper")
        return "ecr" if name == "ecr" else "gcp"

    def _oauth2(self, value: object, path: str) -> OAuth2Settings:
        parts = self._section(value, path, ("tokenURL", "grantType", "scopes", *_OAUTH2, *_FILES))
        url = parts.get("tokenURL")
        if not isinstance(url, str) or not is_safe(url):
            self._note(f"{path}.tokenURL", "write the https URL of the token endpoint")
            url = ""
        grant = parts.get("grantType") or CLIENT_CREDENTIALS
        if grant not in {CLIENT_CREDENTIALS, JWT_BEARER, TOKEN_EXCHANGE}:
            self._note(f"{path}.grantType", f"write {CLIENT_CREDENTIALS}, {JWT_BEARER} or {TOKEN_EXCHANGE}")
            grant = CLIENT_CREDENTIALS
        texts: dict[str, Any] = {name: self._text(parts[name], f"{path}.{name}") for name in _OAUTH2 if parts.get(name)}
        files: dict[str, Any] = {name: self._file(parts[name], f"{path}.{name}") for name in _FILES if parts.get(name)}
        if ("assertionFile" in files) == ("signingFile" in files):
            self._note(path, "name either assertionFile or signingFile")
        self._judge_exchange(texts, path, is_exchange=grant == TOKEN_EXCHANGE)
        scopes = self._list(parts.get("scopes"), f"{path}.scopes")
        return OAuth2Settings(
            url,
            grant_type=grant,
            scopes=tuple(self._text(scope, f"{path}.scopes[{number}]") for number, scope in enumerate(scopes)),
            **{_FILES[name]: file for name, file in files.items()},
            **{_OAUTH2[name]: text for name, text in texts.items()},
        )

    def _judge_exchange(self, texts: dict[str, str], path: str, *, is_exchange: bool) -> None:
        """Note what zot refuses: settings of a token exchange for another grant, and types that are no URI."""
        if not is_exchange:
            for name in set(_OF_EXCHANGE) & set(texts):
                self._note(f"{path}.{name}", f"belongs to the grantType {TOKEN_EXCHANGE}: remove it")
            return
        if "audience" not in texts:
            self._note(f"{path}.audience", "write what the token is for, as the token endpoint calls it")
        for name in ("subjectTokenType", "requestedTokenType"):
            if name in texts and not _URI.fullmatch(texts[name]):
                self._note(f"{path}.{name}", "write a URI such as urn:ietf:params:oauth:token-type:jwt")

    def _text(self, value: object, path: str) -> str:
        if isinstance(value, str) and value.strip() and value.isprintable():
            return value
        self._note(path, "write a text, in quotes")
        return ""

    def _file(self, value: object, path: str) -> Path | None:
        try:
            return read_file(value)
        except ValueError as error:
            self._note(path, str(error))
            return None
