"""`http.auth.bearer.oidc`: whose tokens are a login, and what their claims mean."""

import re
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from zotpy.cel.environments import of_claims
from zotpy.config.config_file import read_variable
from zotpy.config.errors import NestedProblems
from zotpy.config.expressions import Expressions
from zotpy.config.foreign import asks
from zotpy.config.places import is_here
from zotpy.config.values import read_optional_file
from zotpy.settings.logins import ClaimTerm, IssuerSettings, VariableSettings

MOST_ISSUERS = 32
PUBLIC = frozenset({"https://token.actions.githubusercontent.com", "https://gitlab.com", "https://accounts.google.com"})
"""Issuers that give everybody a token, for whatever audience they ask."""
_CLAIM = re.compile(r"(?:claims\.)?(?P<name>[A-Za-z_][A-Za-z0-9_]*)|claims\[(?P<q>['\"])(?P<quoted>[^'\"]+)(?P=q)\]")
_TEXT = re.compile(r"'(?P<single>[^'\\]*)'|\"(?P<double>[^\"\\]*)\"")
_TERM = re.compile(rf"\s*(?:(?P<claim>{_CLAIM.pattern})|(?P<text>{_TEXT.pattern}))\s*(?P<plus>\+|$)")
_ENTRY = ("issuer", "audiences", "claims", "claimMapping", "certificateAuthority", "certificateAuthorityFile")
_SKIP = "skipIssuerVerification"
MOST_VARIABLES = 32


def read_issuers(value: object) -> tuple[IssuerSettings, ...]:
    """Read the list, or one entry alone; as a variable it is JSON. Raises `NestedProblems`, `ValueError`."""
    if isinstance(value, str):
        value = read_variable(value, "a list of issuers")
    entries = [value] if isinstance(value, Mapping) and value else value
    if not isinstance(entries, list) or not 0 < len(entries) <= MOST_ISSUERS:
        msg = f"write a list of 1 to {MOST_ISSUERS} issuers"
        raise ValueError(msg)
    reading = IssuerReading()
    found = [reading.issuer(each, f"[{index}]") for index, each in enumerate(entries)]
    if reading.problems:
        raise NestedProblems(reading.problems)
    return tuple(found)


def open_issuers(issuers: Sequence[IssuerSettings]) -> Iterator[str]:
    """Say which issuers give tokens to people whom nobody here knows."""
    for each in issuers:
        if each.issuer.rstrip("/") in PUBLIC and not (each.claims or each.validations):
            where, such = ("openid", "hd or groups_direct") if each.client else ("bearer.oidc", "repository_owner")
            yield (
                f"http.auth.{where}: {each.issuer} gives everybody a token, so everybody can log in: say in claims"
                f" which values its claims must have, such as {such}"
            )


class IssuerReading(Expressions):
    """Reads entries, and notes each mistake with its path."""

    def issuer(self, value: object, path: str) -> IssuerSettings:
        """Read one of them."""
        parts = self._section(value, path, (*_ENTRY, _SKIP))
        if asks(parts.get(_SKIP)):
            self._note(
                f"{path}.{_SKIP}", "tokens must have the issuer as their iss: write what they have, and remove this"
            )
        issuer, audiences = parts.get("issuer"), self._words(parts.get("audiences"), f"{path}.audiences")
        if not isinstance(issuer, str) or not is_safe(issuer):
            self._note(f"{path}.issuer", "write the https URL that the claim iss has")
            issuer = ""
        if not audiences and not isinstance(parts.get("audiences"), str):
            self._note(f"{path}.audiences", "write what the claim aud must be, such as this registry's host name")
        mapping = self._mapping(parts.get("claimMapping"), f"{path}.claimMapping")
        claims = self._names(parts.get("claims"), f"{path}.claims")
        return IssuerSettings(
            issuer,
            audiences,
            {name: self._allowed(each, f"{path}.claims.{name}") for name, each in claims.items()},
            authorities=self._pem(parts.get("certificateAuthority"), f"{path}.certificateAuthority"),
            authorities_file=self._file(parts.get("certificateAuthorityFile"), f"{path}.certificateAuthorityFile"),
            **mapping,
        )

    def _allowed(self, value: object, path: str) -> frozenset[str]:
        """Read which values a claim may have: one, or a list of them."""
        listed = value if isinstance(value, list) else [value]
        texts = [str(each).lower() if isinstance(each, bool) else each for each in listed]
        found = [each for each in texts if isinstance(each, str) and each]
        if not texts or len(found) < len(texts):
            self._note(path, "write the text that the claim must be, or a list of such texts, in quotes")
            return frozenset()
        return frozenset(found)

    def _mapping(self, value: object, path: str) -> dict[str, Any]:
        """Read what claims mean, as fields of the settings."""
        parts = self._section(value, path, ("username", "groups", "validations", "variables"))
        fields: dict[str, Any] = {
            "variables": self._variables(parts.get("variables"), f"{path}.variables"),
            "validations": self._conditions(
                parts.get("validations"), f"{path}.validations", partial(of_claims, wanted="bool"), needs_message=True
            ),
        }
        if parts.get("username"):
            username = parts["username"]
            if (terms := _terms(username)) is None:
                made = self._expression(username, f"{path}.username", partial(of_claims, wanted="string"))
                fields["username_by"] = username if made is not None else ""
                is_fixed = made is not None and "vars" not in made.variables and "claims" not in made.variables
            else:
                fields["username"], is_fixed = terms, not any(term.is_claim for term in terms)
            if is_fixed:
                self._note(f"{path}.username", "all callers would be one user: write a claim, such as claims.sub")
        if parts.get("groups"):
            groups = parts["groups"]
            terms = _terms(groups)
            if terms is not None and len(terms) == 1 and terms[0].is_claim:
                fields["groups"] = terms[0].text
            elif self._expression(groups, f"{path}.groups", partial(of_claims, wanted="list")) is not None:
                fields["groups_by"] = groups
        return fields

    def _variables(self, value: object, path: str) -> tuple[VariableSettings, ...]:
        listed, found = self._list(value, path), []
        if len(listed) > MOST_VARIABLES:
            self._note(path, f"has {len(listed)} variables: write at most {MOST_VARIABLES}")
            return ()
        for index, each in enumerate(listed):
            parts = self._section(each, f"{path}[{index}]", ("name", "expression"))
            name = parts.get("name")
            if not isinstance(name, str) or not name:
                self._note(f"{path}[{index}].name", "write the name by which expressions read it, as vars.name")
            elif self._expression(parts.get("expression"), f"{path}[{index}].expression", of_claims) is not None:
                found.append(VariableSettings(name, str(parts["expression"])))
        return tuple(found)

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


def is_safe(issuer: str) -> bool:
    """Say whether nobody can pose as the issuer: it has TLS, or is on this machine."""
    try:
        url = urlsplit(issuer)
        host = url.hostname or ""
        if not host or url.query or url.fragment or url.username is not None:
            return False
        return url.scheme == "https" or (url.scheme == "http" and is_here(host))
    except ValueError:
        return False


def _terms(text: object) -> tuple[ClaimTerm, ...] | None:
    """Read names of claims and texts that are joined by +, which need no CEL. `None`: it is something else."""
    found, position = list[ClaimTerm](), 0
    while isinstance(text, str) and (term := _TERM.match(text, position)) is not None:
        is_claim = term["claim"] is not None
        names = ("name", "quoted") if is_claim else ("single", "double")
        found.append(ClaimTerm(next(term[name] for name in names if term[name] is not None), is_claim=is_claim))
        position = term.end()
        if not term["plus"]:
            return tuple(found)
    return None
