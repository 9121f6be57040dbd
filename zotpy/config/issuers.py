"""`http.auth.bearer.oidc`: whose tokens are a login, and what their claims mean."""

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from urllib.parse import urlsplit

from zotpy.config.errors import NestedProblems
from zotpy.config.files import read_variable
from zotpy.config.foreign import asks
from zotpy.config.places import is_here
from zotpy.config.sections import Sections
from zotpy.config.values import read_optional_file
from zotpy.settings.logins import ClaimTerm, IssuerSettings

MOST_ISSUERS = 32
PUBLIC = frozenset({"https://token.actions.githubusercontent.com", "https://gitlab.com", "https://accounts.google.com"})
"""Issuers that give everybody a token, for whatever audience they ask."""
_CLAIM = re.compile(r"(?:claims\.)?(?P<name>[A-Za-z_][A-Za-z0-9_]*)|claims\[(?P<q>['\"])(?P<quoted>[^'\"]+)(?P=q)\]")
_TEXT = re.compile(r"'(?P<single>[^'\\]*)'|\"(?P<double>[^\"\\]*)\"")
_TERM = re.compile(rf"\s*(?:(?P<claim>{_CLAIM.pattern})|(?P<text>{_TEXT.pattern}))\s*(?P<plus>\+|$)")
_ENTRY = ("issuer", "audiences", "claims", "claimMapping", "certificateAuthority", "certificateAuthorityFile")
_SKIP = "skipIssuerVerification"
_NOT_CEL = "zotpy reads names of claims and texts, joined by +, and no other CEL: write such as"


def read_issuers(value: object) -> tuple[IssuerSettings, ...]:
    """Read the list, or one entry alone; as a variable it is JSON. Raises `NestedProblems`, `ValueError`."""
    if isinstance(value, str):
        value = read_variable(value, "a list of issuers")
    entries = [value] if isinstance(value, Mapping) and value else value
    if not isinstance(entries, list) or not 0 < len(entries) <= MOST_ISSUERS:
        msg = f"write a list of 1 to {MOST_ISSUERS} issuers"
        raise ValueError(msg)
    reading = _Reading()
    found = [reading.issuer(each, f"[{index}]") for index, each in enumerate(entries)]
    if reading.problems:
        raise NestedProblems(reading.problems)
    return tuple(found)


def open_issuers(issuers: Sequence[IssuerSettings]) -> Iterator[str]:
    """Say which issuers give tokens to people whom nobody here knows."""
    for each in issuers:
        if each.issuer.rstrip("/") in PUBLIC and not each.claims:
            yield (
                f"http.auth.bearer.oidc: {each.issuer} gives everybody a token, so everybody can log in: say in claims"
                " which values its claims must have, such as repository_owner"
            )


class _Reading(Sections):
    """Reads entries, and notes each mistake with its path."""

    def issuer(self, value: object, path: str) -> IssuerSettings:
        """Read one of them."""
        parts = self._section(value, path, (*_ENTRY, _SKIP))
        if asks(parts.get(_SKIP)):
            self._note(
                f"{path}.{_SKIP}", "tokens must have the issuer as their iss: write what they have, and remove this"
            )
        issuer, audiences = parts.get("issuer"), self._words(parts.get("audiences"), f"{path}.audiences")
        if not isinstance(issuer, str) or not _is_safe(issuer):
            self._note(f"{path}.issuer", "write the https URL that the claim iss has")
            issuer = ""
        if not audiences and not isinstance(parts.get("audiences"), str):
            self._note(f"{path}.audiences", "write what the claim aud must be, such as this registry's host name")
        mapping = self._section(
            parts.get("claimMapping"), f"{path}.claimMapping", ("username", "groups", "validations", "variables")
        )
        for name in ("validations", "variables"):
            if asks(mapping.get(name)):
                problem = "zotpy evaluates no CEL: write below claims which values claims must have"
                self._note(f"{path}.claimMapping.{name}", problem)
        groups = self._terms(mapping.get("groups"), f"{path}.claimMapping.groups", "claims.groups")
        if len(groups) > 1 or not all(term.is_claim for term in groups):
            self._note(f"{path}.claimMapping.groups", "write one claim, such as claims.groups")
        username = self._terms(mapping.get("username"), f"{path}.claimMapping.username", "claims.sub")
        if username and not any(term.is_claim for term in username):
            self._note(f"{path}.claimMapping.username", "all would be one user: write a claim, such as claims.sub")
        claims = self._names(parts.get("claims"), f"{path}.claims")
        optional = {"username": username} if username else {}
        return IssuerSettings(
            issuer,
            audiences,
            {name: self._values(each, f"{path}.claims.{name}") for name, each in claims.items()},
            groups=groups[0].text if groups else "",
            authorities=self._pem(parts.get("certificateAuthority"), f"{path}.certificateAuthority"),
            authorities_file=self._file(parts.get("certificateAuthorityFile"), f"{path}.certificateAuthorityFile"),
            **optional,
        )

    def _values(self, value: object, path: str) -> frozenset[str]:
        """Read which values a claim may have: one, or a list of them."""
        listed = value if isinstance(value, list) else [value]
        texts = [str(each).lower() if isinstance(each, bool) else each for each in listed]
        found = [each for each in texts if isinstance(each, str) and each]
        if not texts or len(found) < len(texts):
            self._note(path, "write the text that the claim must be, or a list of such texts, in quotes")
            return frozenset()
        return frozenset(found)

    def _terms(self, value: object, path: str, example: str) -> tuple[ClaimTerm, ...]:
        """Read an expression such as `claims.iss + '/' + claims.sub`."""
        if value is None or value == "":
            return ()
        found, position, text = [], 0, value if isinstance(value, str) else ""
        while (term := _TERM.match(text, position)) is not None:
            is_claim = term["claim"] is not None
            names = ("name", "quoted") if is_claim else ("single", "double")
            found.append(ClaimTerm(next(term[name] for name in names if term[name] is not None), is_claim=is_claim))
            position = term.end()
            if not term["plus"]:
                return tuple(found)
        self._note(path, f"{_NOT_CEL} {example}")
        return ()

    def _pem(self, value: object, path: str) -> str:
        if value in (None, ""):
            return ""
        if isinstance(value, str) and "-----BEGIN CERTIFICATE-----" in value:
            return value
        self._note(path, "write certificates in PEM")
        return ""

    def _file(self, value: object, path: str) -> Path | None:
        try:
            return None if value is None else read_optional_file(value)
        except ValueError as error:
            self._note(path, str(error))
            return None


def _is_safe(issuer: str) -> bool:
    """Say whether nobody can pose as the issuer: it has TLS, or is on this machine."""
    try:
        url = urlsplit(issuer)
        host = url.hostname or ""
        if not host or url.query or url.fragment or url.username is not None:
            return False
        return url.scheme == "https" or (url.scheme == "http" and is_here(host))
    except ValueError:
        return False
