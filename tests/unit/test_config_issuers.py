"""The settings of issuers of tokens: zot's words, claims, and what is refused."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.unit.test_config_logins import load, problems
from zotpy.settings import ClaimTerm

if TYPE_CHECKING:
    from pathlib import Path

    from zotpy.settings import IssuerSettings

ENTRY: dict[str, Any] = {"issuer": "https://ci.example.com", "audiences": ["registry"]}


NO_VALUES: tuple[Any, ...] = ([], "", 1, [""], {}, [[]], None)


def read(directory: Path, entry: object) -> IssuerSettings:
    """Read the only issuer."""
    (found,) = load(directory, {"auth": {"bearer": {"oidc": entry}}}).auth.issuers
    return found


def test_a_list_and_one_entry_alone_are_the_same(tmp_path: Path) -> None:
    """Zot's examples have both. They need no key and no other login."""
    assert read(tmp_path, [ENTRY]) == read(tmp_path, ENTRY)
    assert load(tmp_path, {"auth": {"bearer": {"oidc": ENTRY}}}).auth.has_login


@pytest.mark.parametrize(
    ("written", "parts"),
    [
        ("sub", [("sub", True)]),
        ("claims.sub", [("sub", True)]),
        ("claims['a/b']", [("a/b", True)]),
        ("claims.iss + '/' + claims.sub", [("iss", True), ("/", False), ("sub", True)]),
        ('"ci:"+claims.sub', [("ci:", False), ("sub", True)]),
    ],
)
def test_names_of_claims_and_texts_make_a_name(tmp_path: Path, written: str, parts: list[tuple[str, bool]]) -> None:
    """The part of CEL that needs no CEL."""
    found = read(tmp_path, {**ENTRY, "claimMapping": {"username": written, "groups": "claims.groups"}})
    assert found.username == tuple(ClaimTerm(text, is_claim=is_claim) for text, is_claim in parts)
    assert found.groups == "groups"


@pytest.mark.parametrize(
    ("changed", "path"),
    [
        *(({"issuer": url}, "issuer") for url in (None, "", "ci", "http://ci.example.com", "https://a?b", "https://[")),
        *(({"audiences": listed}, "audiences") for listed in (None, [], "registry", [1])),
        *(({"claims": {"a": value}}, "claims.a") for value in NO_VALUES),
        ({"claims": "a"}, "claims"),
        ({"skipIssuerVerification": True}, "skipIssuerVerification"),
        ({"claimMapping": {"validations": [{"expression": "true", "message": "x"}]}}, "claimMapping.validations"),
        ({"claimMapping": {"variables": [{"name": "a", "expression": "1"}]}}, "claimMapping.variables"),
        *(
            ({"claimMapping": {"username": text}}, "claimMapping.username")
            for text in ("claims.a.b", "claims.sub +", "'x'", "string(claims.sub)", "a b", "'a", 7)
        ),
        *(({"claimMapping": {"groups": text}}, "claimMapping.groups") for text in ("['a']", "'a'", "a + b")),
        ({"certificateAuthority": "x"}, "certificateAuthority"),
        ({"certificateAuthorityFile": "/does/not/exist"}, "certificateAuthorityFile"),
        ({"claimMaping": {}}, "claimMaping"),
    ],
    ids=str,
)
def test_what_is_refused(tmp_path: Path, changed: dict[str, Any], path: str) -> None:
    """Each with its path, and nothing that would let more people in than was meant."""
    found = problems(tmp_path, {"auth": {"bearer": {"oidc": [{**ENTRY, **changed}]}}})
    assert all(each.startswith(f"http.auth.bearer.oidc[0].{path}: ") for each in found)


@pytest.mark.parametrize("value", [None, [], {}, "", 7, [1]], ids=json.dumps)
def test_a_template_without_a_value_is_refused(tmp_path: Path, value: object) -> None:
    """The registry would be open."""
    assert any("http.auth.bearer.oidc" in each for each in problems(tmp_path, {"auth": {"bearer": {"oidc": value}}}))


def test_an_issuer_of_everybody_is_pointed_out(tmp_path: Path) -> None:
    """Anyone can get a token of GitHub for any audience."""
    entry = {**ENTRY, "issuer": "https://token.actions.githubusercontent.com"}
    warnings = load(tmp_path, {"auth": {"bearer": {"oidc": entry}}}).warnings
    assert any("everybody can log in" in each for each in warnings)
    entry["claims"] = {"repository_owner": ["acme", "acme-labs"]}
    assert load(tmp_path, {"auth": {"bearer": {"oidc": entry}}}).warnings == ()
