"""`credentialHelper` and `oauth2CredentialHelper` of a mirrored registry, in zot's words."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.unit.test_config_mirrors import load, problems_of
from zotpy.settings.temporary_logins import JWT_BEARER, TOKEN_EXCHANGE, OAuth2Settings

if TYPE_CHECKING:
    from pathlib import Path

    from zotpy.settings.temporary_logins import LoginService

ECR = "https://012345678910.dkr.ecr.eu-central-1.amazonaws.com"


def read(tmp_path: Path, entry: dict[str, Any]) -> LoginService | None:
    """Return what gives logins at this registry."""
    (registry,) = load(tmp_path, {"registries": [{"urls": ["https://x"], **entry}]}).mirror.registries
    return registry.login_service


def test_clouds_need_a_name_alone(tmp_path: Path) -> None:
    """Settings of a service that is not asked for are ignored, as in zot."""
    assert read(tmp_path, {"urls": [ECR], "credentialHelper": "ecr"}) == "ecr"
    assert read(tmp_path, {"credentialHelper": "gcp", "oauth2CredentialHelper": {}}) == "gcp"
    assert read(tmp_path, {"credentialHelper": "", "oauth2CredentialHelper": {"surprise": 1}}) is None


def test_the_settings_of_an_exchange(tmp_path: Path) -> None:
    """What is left out has zot's values."""
    file, secret = tmp_path / "file", tmp_path / "secret"
    file.write_text("x")
    secret.write_text("y")
    entry = {
        "credentialHelper": "oauth2",
        "oauth2CredentialHelper": {"tokenURL": "https://t", "signingFile": str(file)},
    }
    assert read(tmp_path, entry) == OAuth2Settings("https://t", signing_file=file)
    whole = {
        "tokenURL": "https://t",
        "assertionFile": str(file),
        "grantType": TOKEN_EXCHANGE,
        "clientID": "me",
        "clientSecretFile": str(secret),
        "scopes": ["a", "b"],
        "username": "u",
        "audience": "//iam",
        "subjectTokenType": "urn:s",
        "requestedTokenType": "urn:r",
    }
    assert read(tmp_path, {"credentialHelper": "oauth2", "oauth2CredentialHelper": whole}) == OAuth2Settings(
        "https://t", file, None, TOKEN_EXCHANGE, "me", secret, ("a", "b"), "u", "//iam", "urn:s", "urn:r"
    )


@pytest.mark.parametrize(
    ("entry", "path"),
    [
        ({"credentialHelper": "azure"}, "credentialHelper"),
        ({"credentialHelper": 5}, "credentialHelper"),
        ({"credentialHelper": ["ecr"]}, "credentialHelper"),
        ({"credentialHelper": "ecr"}, "urls[0]"),
        ({"credentialHelper": "ecr", "urls": [ECR, f"{ECR}.evil.example"]}, "urls[1]"),
        ({"credentialHelper": "ecr", "urls": [ECR.replace("https", "http")]}, "urls[0]"),
        ({"credentialHelper": "gcp", "urls": ["http://x"]}, "urls[0]"),
    ],
)
def test_a_mistake_is_named_with_its_path(tmp_path: Path, entry: dict[str, Any], path: str) -> None:
    """A login never goes out in the clear."""
    (problem,) = problems_of(tmp_path, {"urls": ["https://x"], **entry})
    assert problem.startswith(f"extensions.sync.registries[0].{path}: ")


@pytest.mark.parametrize(
    ("changed", "path"),
    [
        ({"tokenURL": None}, ".tokenURL"),
        ({"tokenURL": "http://t"}, ".tokenURL"),
        ({"assertionFile": None}, ""),
        ({"signingFile": "FILE"}, ""),
        ({"assertionFile": "/absent"}, ".assertionFile"),
        ({"grantType": "password"}, ".grantType"),
        ({"audience": "x"}, ".audience"),
        ({"grantType": JWT_BEARER, "subjectTokenType": "urn:x"}, ".subjectTokenType"),
        ({"grantType": TOKEN_EXCHANGE}, ".audience"),
        ({"grantType": TOKEN_EXCHANGE, "audience": "x", "requestedTokenType": "jwt"}, ".requestedTokenType"),
        ({"scopes": "pull"}, ".scopes"),
        ({"scopes": [5]}, ".scopes[0]"),
        ({"username": "two\nlines"}, ".username"),
        ({"surprise": 1}, ".surprise"),
    ],
)
def test_a_mistake_in_an_exchange_is_named_with_its_path(tmp_path: Path, changed: dict[str, Any], path: str) -> None:
    """What zot refuses is refused, and nothing that is misspelled is ignored."""
    file = tmp_path / "file"
    file.write_text("x")
    parts = {"tokenURL": "https://t", "assertionFile": str(file), **changed}
    parts = {name: str(file) if value == "FILE" else value for name, value in parts.items()}
    entry = {"urls": ["https://x"], "credentialHelper": "oauth2", "oauth2CredentialHelper": parts}
    (problem,) = problems_of(tmp_path, entry)
    assert problem.startswith(f"extensions.sync.registries[0].oauth2CredentialHelper{path}: ")
