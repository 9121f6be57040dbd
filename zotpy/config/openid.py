"""`http.auth.openid`: zot's logins by browser, whose providers are issuers of ID tokens here (OpenID Connect Core 1.0).

zotpy has no pages for browsers. A tool on the user's side gets an ID token for the client that the file names, such as
by the device flow (RFC 8628), and `docker login` takes this token as the password.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path

from zotpy.config.config_file import read_document, read_variable
from zotpy.config.errors import ConfigError, NestedProblems
from zotpy.config.foreign import asks, lowered
from zotpy.config.issuers import IssuerReading, is_safe
from zotpy.settings import ClaimTerm, IssuerSettings, OpenidSettings

_WITHOUT_ID_TOKENS = "github"
_PROVIDERS = ("google", "gitlab", "oidc", _WITHOUT_ID_TOKENS)
_OF_BROWSERS = ("name", "clientsecret", "scopes", "keypath", "authurl", "tokenurl")
_OF_TOKENS = ("issuer", "clientid", "credentialsFile", "claims", "claimMapping")
_ORIGINS = "callbackAllowOrigins"
_USERNAME, _GROUPS = "email", "groups"
"""The claims that zot reads if `claimMapping` names no others."""


def read_openid(value: object) -> OpenidSettings:
    """Read the section; as a variable it is JSON. Raises `NestedProblems`, `ValueError`."""
    if isinstance(value, str):
        value = read_variable(value, "a section of settings")
    reading = _Reading()
    found = reading.openid(value)
    if reading.problems:
        raise NestedProblems(reading.problems)
    return found


def tell(openid: OpenidSettings) -> Iterator[str]:
    """Say who can log in by what, and what has no effect."""
    for each in openid.issuers:
        yield (
            f"http.auth.openid has no login by browser here: users of {each.issuer} log in with an ID token for the"
            f" client {each.client}, as the password or as Bearer"
        )
    for name in openid.idle:
        yield f"http.auth.openid.providers.{name} lets nobody in: it gives no ID tokens, only a login by browser"
    if openid.unused:
        listed = ", ".join(openid.unused)
        yield f"http.auth.openid: only a login by browser needs these settings, which have no effect: {listed}"


class _Reading(IssuerReading):
    """Reads providers, and notes each mistake with its path."""

    def openid(self, value: object) -> OpenidSettings:
        """Read all of it."""
        parts = self._section(value, "", ("providers", _ORIGINS))
        providers = self._section(parts.get("providers"), ".providers", _PROVIDERS)
        if not providers and not self.problems:
            self._note(".providers", f"name a provider: {', '.join(_PROVIDERS[:-1])} or {_PROVIDERS[-1]}")
        issuers, unused = list[IssuerSettings](), dict.fromkeys([_ORIGINS] if asks(parts.get(_ORIGINS)) else [])
        for name, each in providers.items():
            path = f".providers.{name}"
            found = self._section(each, path, (*_OF_TOKENS, *_OF_BROWSERS))
            unused |= dict.fromkeys(part for part in _OF_BROWSERS if asks(found.get(part)))
            if name != _WITHOUT_ID_TOKENS:
                issuers.append(self._provider(found, path))
        idle = tuple(name for name in providers if name == _WITHOUT_ID_TOKENS)
        return OpenidSettings(tuple(issuers), idle, tuple(unused))

    def _provider(self, parts: Mapping[str, object], path: str) -> IssuerSettings:
        """Read a provider that gives ID tokens."""
        issuer = parts.get("issuer")
        if not isinstance(issuer, str) or not is_safe(issuer):
            self._note(f"{path}.issuer", "write the https URL that the claim iss has")
            issuer = ""
        client = self._client(parts, path)
        claims = self._names(parts.get("claims"), f"{path}.claims")
        mapping = self._section(parts.get("claimMapping"), f"{path}.claimMapping", ("username", "groups"))
        return IssuerSettings(
            issuer,
            frozenset({client}),
            {name: self._allowed(each, f"{path}.claims.{name}") for name, each in claims.items()},
            username=(ClaimTerm(self._claim(mapping, "username", path) or _USERNAME),),
            groups=self._claim(mapping, "groups", path) or _GROUPS,
            client=client,
        )

    def _client(self, parts: Mapping[str, object], path: str) -> str:
        """Return the client's ID. A file counts before `clientid`, as in zot. The secret in it is not used."""
        client, where = parts.get("clientid"), f"{path}.clientid"
        if parts.get("credentialsFile"):
            where = f"{path}.credentialsFile"
            if (file := self._file(parts["credentialsFile"], where)) is None:
                return ""
            try:
                client = lowered(read_document(Path(file))).get("clientid")
            except ConfigError as error:
                self._note(where, "; ".join(error.problems))
                return ""
        if not isinstance(client, str) or not client:
            self._note(where, "write the ID of the client as clientid: only ID tokens for this client count")
            return ""
        return client

    def _claim(self, mapping: Mapping[str, object], name: str, path: str) -> str:
        """Return the name of a claim; empty: none is given. Unlike in `http.auth.bearer.oidc`, nothing is evaluated."""
        claim = mapping.get(name, "")
        if not isinstance(claim, str):
            self._note(f"{path}.claimMapping.{name}", "write the name of a claim")
            return ""
        return claim
