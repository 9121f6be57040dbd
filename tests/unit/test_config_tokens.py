"""The settings of tokens: zot's words for a token service, what is missing, and what a URL of the registry may be."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.unit.test_config_logins import load, problems
from zotpy.settings import BearerSettings

if TYPE_CHECKING:
    from pathlib import Path

BEARER: dict[str, Any] = {"realm": "https://auth.myreg.io/auth/token", "service": "myauth"}
"""As in zot's example `config-bearer-auth.json`, but for the path of the certificate."""


def test_the_token_service_of_zots_example_is_read(tmp_path: Path) -> None:
    """As it stands. With it there is a login, so rules may be written besides."""
    cert = tmp_path / "auth.crt"
    cert.touch()
    rules = {"repositories": {"**": {"defaultPolicy": ["read"]}}}
    read = load(tmp_path, {"auth": {"bearer": {**BEARER, "cert": str(cert)}}, "accessControl": rules})
    assert read.auth.bearer == BearerSettings(cert, "https://auth.myreg.io/auth/token", "myauth")
    assert read.auth.has_login
    assert read.warnings == ()


@pytest.mark.parametrize("missing", ["realm", "service"])
def test_a_token_service_needs_its_names(tmp_path: Path, missing: str) -> None:
    """Clients could not find it, or its tokens would be for anybody."""
    cert = tmp_path / "auth.crt"
    cert.touch()
    rest = {name: value for name, value in BEARER.items() if name != missing}
    (problem,) = problems(tmp_path, {"auth": {"bearer": {**rest, "cert": str(cert)}}})
    assert f"http.auth.bearer.{missing}" in problem


@pytest.mark.parametrize("bearer", [BEARER, {**BEARER, "cert": ""}, {**BEARER, "cert": None}, {"issuer": "x"}])
def test_a_token_service_without_a_key_is_refused(tmp_path: Path, bearer: dict[str, Any]) -> None:
    """Whoever writes so wants a lock, and the registry would be open."""
    assert any("http.auth.bearer.cert" in each for each in problems(tmp_path, {"auth": {"bearer": bearer}}))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("awsSecretsManager", {"region": "eu-west-1", "secretName": "x"}),
        ("upstreamTokenEndpoint", {"realm": "https://x", "service": "y"}),
    ],
)
def test_what_zotpy_does_not_do_is_refused(tmp_path: Path, name: str, value: object) -> None:
    """Ignoring it would lock people out, or trust the wrong key."""
    assert any(f"http.auth.bearer.{name}" in each for each in problems(tmp_path, {"auth": {"bearer": {name: value}}}))


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("https://r.example.com", "https://r.example.com"),
        ("http://r.example.com:5000/", "http://r.example.com:5000"),
        ("https://r.example.com/registry/", "https://r.example.com/registry"),
        ("", ""),
    ],
)
def test_the_url_of_the_registry(tmp_path: Path, text: str, read: str) -> None:
    """With a port or a path, and without a slash at its end. zot's files may have an empty one."""
    assert load(tmp_path, {"externalUrl": text}).http.external_url == read


@pytest.mark.parametrize(
    "text",
    ["r.example.com", "ftp://r", "https://", "https://u@r", "https://r?x=1", "https://r#x", "//r"],
)
def test_what_is_no_url_of_a_registry(tmp_path: Path, text: str) -> None:
    """Each is refused with an example."""
    (problem,) = problems(tmp_path, {"externalUrl": text})
    assert "https://registry.example.com" in problem


@pytest.mark.parametrize(
    ("name", "value"),
    [("tokenLifetime", "59s"), ("tokenLifetime", "61m"), ("sessionLifetime", "59s"), ("sessionLifetime", "9000h")],
)
def test_lifetimes_have_bounds(tmp_path: Path, name: str, value: str) -> None:
    """A token of a few seconds would end before clients have used it."""
    (tmp_path / "users").touch()
    (problem,) = problems(tmp_path, {"auth": {"htpasswd": {"path": str(tmp_path / "users")}, name: value}})
    assert f"http.auth.{name}" in problem
