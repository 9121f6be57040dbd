"""The settings of issuers of tokens: zot's words, claims, and what is refused."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

import pytest

from tests.unit.test_config_logins import load, problems
from zotpy.cel import environments, expressions
from zotpy.settings import ClaimTerm, ConditionSettings, VariableSettings

if TYPE_CHECKING:
    from pathlib import Path

    from zotpy.settings import IssuerSettings

ENTRY: dict[str, Any] = {"issuer": "https://ci.example.com", "audiences": ["registry"]}


BAD: tuple[tuple[Any, str], ...] = (
    ({"expression": "true"}, ".message"),
    ({"message": "x"}, ".expression"),
    ({"expression": "claims.sub +", "message": "x"}, ".expression"),
    ({"expression": "'text'", "message": "x"}, ".expression"),
    ({"expression": "claim.sub == 'a'", "message": "x"}, ".expression"),
    ({"expression": "true", "message": "x", "if": 1}, ".if"),
    ("true", ""),
)
"""Validations, and where the mistake is."""
VAGUE: tuple[tuple[Any, str], ...] = (
    ({"expression": "1"}, ".name"),
    ({"name": "a"}, ".expression"),
    ({"name": "a", "expression": "claims.sub.replace('a', claims.sub)"}, ".expression"),
)
"""Variables, and where the mistake is."""
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
        *(({"claimMapping": {"validations": [given]}}, f"claimMapping.validations[0]{below}") for given, below in BAD),
        ({"claimMapping": {"validations": "true"}}, "claimMapping.validations"),
        ({"claimMapping": {"validations": [{}] * 33}}, "claimMapping.validations"),
        *(({"claimMapping": {"variables": [given]}}, f"claimMapping.variables[0]{below}") for given, below in VAGUE),
        *(
            ({"claimMapping": {"username": text}}, "claimMapping.username")
            for text in ("claims.sub +", "'x'", "'x' + string(1)", "a b", "'a", 7, "size(claims.sub)")
        ),
        *(({"claimMapping": {"groups": text}}, "claimMapping.groups") for text in ("'a'", "a + b", "claims.a == 'a'")),
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
    del entry["claims"]
    entry["claimMapping"] = {"validations": [{"expression": "claims.repository_owner == 'acme'", "message": "no"}]}
    assert load(tmp_path, {"auth": {"bearer": {"oidc": entry}}}).warnings == ()


def test_everything_else_is_cel(tmp_path: Path) -> None:
    """The texts of the expressions are kept, because each worker compiles them for itself."""
    mapping = {
        "variables": [{"name": "owner", "expression": "claims.sub.split(':')[1].split('/')[0]"}],
        "validations": [{"expression": "vars.owner == 'acme'", "message": "only acme"}],
        "username": "vars.owner + ':' + string(claims.run_id)",
        "groups": "['ci', 'ci-' + vars.owner]",
    }
    found = read(tmp_path, {**ENTRY, "claimMapping": mapping})
    assert (found.username_by, found.groups_by) == (mapping["username"], mapping["groups"])
    assert found.variables == (VariableSettings("owner", "claims.sub.split(':')[1].split('/')[0]"),)
    assert found.validations == (ConditionSettings("vars.owner == 'acme'", "only acme"),)


def test_without_the_extra_the_start_names_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file with an expression is refused. One without is not."""
    monkeypatch.setitem(sys.modules, "cel_expr_python", None)
    environments.of_claims.cache_clear()
    expressions.environment.cache_clear()
    (found,) = problems(tmp_path, {"auth": {"bearer": {"oidc": {**ENTRY, "claimMapping": {"username": "claims.a.b"}}}}})
    assert found == (
        "http.auth.bearer.oidc[0].claimMapping.username: needs the Python package cel_expr_python, which zotpy's extra"
        " `cel` brings: install it"
    )
    assert read(tmp_path, {**ENTRY, "claimMapping": {"username": "claims.sub"}}).username == (ClaimTerm("sub"),)
