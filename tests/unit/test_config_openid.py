"""The settings of `http.auth.openid`: zot's words for logins by browser, and what becomes of each without browsers."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.unit.test_config_logins import load, problems
from zotpy.settings import ClaimTerm, IssuerSettings

if TYPE_CHECKING:
    from pathlib import Path

    from zotpy.settings import Settings

ENTRY: dict[str, Any] = {"issuer": "https://sso.example.com", "clientid": "registry"}
RULES = {"repositories": {"**": {"defaultPolicy": ["read"]}}}
SHOWN = (
    "http.auth.openid has no login by browser here: users of https://sso.example.com log in with an ID token for the"
    " client registry, as the password or as Bearer"
)


def read(directory: Path, entry: object = ENTRY, provider: str = "oidc") -> Settings:
    """Read a file with one provider."""
    return load(directory, {"auth": {"openid": {"providers": {provider: entry}}}, "accessControl": RULES})


def issuer_of(settings: Settings) -> IssuerSettings:
    """Return the only issuer."""
    (found,) = settings.auth.all_issuers
    return found


@pytest.mark.parametrize("provider", ["oidc", "google", "gitlab", "OIDC"])
def test_a_provider_is_an_issuer_for_its_client(tmp_path: Path, provider: str) -> None:
    """Without a mapping the name is the e-mail address, as in zot. Users can make API keys."""
    settings = read(tmp_path, provider=provider)
    assert issuer_of(settings) == IssuerSettings(
        "https://sso.example.com",
        frozenset({"registry"}),
        username=(ClaimTerm("email"),),
        groups="groups",
        client="registry",
    )
    assert settings.auth.apikey
    assert settings.warnings == (SHOWN,)


def test_a_mapping_names_claims(tmp_path: Path) -> None:
    """They are names as they stand, and no expressions: a claim may be called as a URL."""
    mapping = {"Username": "https://example.com/name", "groups": "claims.roles"}
    found = issuer_of(read(tmp_path, {**ENTRY, "claimMapping": mapping, "claims": {"hd": "example.com"}}))
    assert found.username == (ClaimTerm("https://example.com/name"),)
    assert found.groups == "claims.roles"
    assert found.claims == {"hd": frozenset({"example.com"})}


def test_a_file_has_the_id_of_the_client(tmp_path: Path) -> None:
    """It counts before `clientid`, as in zot. The settings have no secret of it."""
    file = tmp_path / "credentials.json"
    file.write_text(json.dumps({"ClientID": "other", "clientsecret": "hidden"}))
    settings = read(tmp_path, {**ENTRY, "credentialsFile": str(file)})
    assert (issuer_of(settings).client, issuer_of(settings).audiences) == ("other", frozenset({"other"}))
    assert "hidden" not in repr(settings)


def test_what_only_browsers_need_is_named(tmp_path: Path) -> None:
    """A warning names each setting once, and only if it has a value."""
    given = {**ENTRY, "scopes": ["openid"], "clientsecret": "x", "keypath": ""}
    providers = {"oidc": given, "github": {"scopes": ["user"], "authurl": "https://github.example.com/a"}}
    unused = "callbackAllowOrigins, clientsecret, scopes, authurl"
    openid = {"callbackAllowOrigins": ["http://127.0.0.1:3000"], "providers": providers}
    assert load(tmp_path, {"auth": {"openid": openid}}).warnings == (
        SHOWN,
        "http.auth.openid.providers.github lets nobody in: it gives no ID tokens, only a login by browser",
        f"http.auth.openid: only a login by browser needs these settings, which have no effect: {unused}",
    )


@pytest.mark.parametrize("apikey", [{}, {"apikey": True}, {"apikey": False}], ids=str)
def test_github_alone_lets_nobody_in(tmp_path: Path, apikey: dict[str, bool]) -> None:
    """The registry is closed all the same, and says so. The file of its credentials is not looked at."""
    github = {"credentialsFile": "/does/not/exist", "scopes": ["user"]}
    settings = load(tmp_path, {"auth": {"openid": {"providers": {"github": github}}, **apikey}, "accessControl": RULES})
    assert settings.auth.has_login
    assert not settings.auth.lets_anybody_in
    assert settings.auth.apikey == apikey.get("apikey", True)
    assert settings.warnings[-1] == (
        "http.auth.openid is the only login, and none of its providers gives ID tokens, so nobody can log in: configure"
        " another provider or login, too"
    )


def test_an_issuer_that_everybody_can_join_is_warned_of(tmp_path: Path) -> None:
    """Unless claims say which of its users count."""
    google = {**ENTRY, "issuer": "https://accounts.google.com"}
    (_, warning) = read(tmp_path, google, "google").warnings
    assert warning.startswith("http.auth.openid: https://accounts.google.com gives everybody a token")
    assert len(read(tmp_path, {**google, "claims": {"hd": "example.com"}}, "google").warnings) == 1


def test_conditions_may_read_claims(tmp_path: Path) -> None:
    """An ID token brings claims, so nothing warns of a condition on them."""
    policy = {"users": ["a"], "actions": ["read"], "conditions": [{"expression": "req.claims.sub == 'a'"}]}
    rules = {"repositories": {"**": {"policies": [policy]}}}
    openid = {"providers": {"oidc": ENTRY}}
    assert load(tmp_path, {"auth": {"openid": openid}, "accessControl": rules}).warnings == (SHOWN,)


@pytest.mark.parametrize(
    ("changed", "path"),
    [
        *(({"issuer": url}, "issuer") for url in (None, "", "sso", "http://sso.example.com", 7)),
        *(({"clientid": name}, "clientid") for name in (None, "", 7, ["registry"])),
        ({"credentialsFile": "/does/not/exist"}, "credentialsFile"),
        ({"credentialsFile": __file__}, "credentialsFile"),
        ({"claimMapping": {"username": 7}}, "claimMapping.username"),
        ({"claimMapping": {"validations": []}}, "claimMapping.validations"),
        ({"claims": {"hd": []}}, "claims.hd"),
        ({"scope": ["openid"]}, "scope"),
    ],
    ids=str,
)
def test_what_is_refused(tmp_path: Path, changed: dict[str, Any], path: str) -> None:
    """Each message begins with the path of the wrong setting."""
    found = problems(tmp_path, {"auth": {"openid": {"providers": {"oidc": {**ENTRY, **changed}}}}})
    assert all(each.startswith(f"http.auth.openid.providers.oidc.{path}: ") for each in found)


@pytest.mark.parametrize("content", ["{}", '{"clientid": ""}', '{"clientsecret": "hidden"', "- hidden", ""], ids=str)
def test_a_file_without_the_id_is_refused(tmp_path: Path, content: str) -> None:
    """Nothing of it is repeated, because it has a secret."""
    file = tmp_path / "credentials.json"
    file.write_text(content)
    entry = {**ENTRY, "credentialsFile": str(file)}
    (problem,) = problems(tmp_path, {"auth": {"openid": {"providers": {"oidc": entry}}}})
    assert problem.startswith("http.auth.openid.providers.oidc.credentialsFile: ")
    assert "hidden" not in problem


@pytest.mark.parametrize(
    "value", [None, "", {}, [], 7, {"providers": {}}, {"providers": None}, {"providers": {"azure": ENTRY}}], ids=str
)
def test_a_login_without_a_provider_is_refused(tmp_path: Path, value: object) -> None:
    """Whoever writes so wants a lock, and the registry would be open."""
    found = problems(tmp_path, {"auth": {"openid": value}})
    assert all(each.startswith("http.auth.openid") for each in found)
