"""The settings of directories and client certificates: zot's words, what is missing, and what is a risk."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from zotpy.config import ConfigError, load_settings

if TYPE_CHECKING:
    from pathlib import Path

    from zotpy.settings import Settings

LDAP: dict[str, Any] = {
    "address": "ldap.example.org",
    "port": 389,
    "startTLS": False,
    "baseDN": "ou=Users,dc=example,dc=org",
    "userAttribute": "uid",
    "userGroupAttribute": "memberOf",
    "skipVerify": True,
    "subtreeSearch": True,
}
"""As in zot's example `config-ldap.json`."""
RULES = {"repositories": {"**": {"policies": [{"groups": ["cn=devs,dc=example,dc=org"], "actions": ["read"]}]}}}


def load(directory: Path, http: dict[str, Any]) -> Settings:
    """Load the section `http` of a file."""
    file = directory / "config.json"
    file.write_text(json.dumps({"http": http}))
    return load_settings(file, {})


def problems(directory: Path, http: dict[str, Any]) -> tuple[str, ...]:
    """Return what is wrong with the section `http`."""
    with pytest.raises(ConfigError) as raised:
        load(directory, http)
    return tuple(raised.value.problems)


def test_a_directory_of_zots_example_is_read(tmp_path: Path) -> None:
    """As it stands, with rules for groups. That any server is believed is a warning."""
    (tmp_path / "credentials.json").touch()
    ldap = {**LDAP, "credentialsFile": str(tmp_path / "credentials.json")}
    settings = load(tmp_path, {"auth": {"ldap": ldap, "failDelay": 5}, "accessControl": RULES})
    read = settings.auth.ldap
    assert read is not None
    assert (read.address, read.port, read.base_dn, read.user_attribute) == (
        "ldap.example.org",
        389,
        "ou=Users,dc=example,dc=org",
        "uid",
    )
    assert (read.insecure, read.start_tls, read.skip_verify, read.subtree_search) == (False, False, True, True)
    assert (read.group_attribute, read.user_filter, read.credentials) == (
        "memberOf",
        "",
        tmp_path / "credentials.json",
    )
    (warning,) = settings.warnings
    assert warning.startswith("http.auth.ldap.skipVerify lets any server that poses as ldap.example.org read passwords")


@pytest.mark.parametrize("name", ["address", "baseDN", "userAttribute"])
def test_what_a_directory_needs_is_asked_for(tmp_path: Path, name: str) -> None:
    """Without it nobody could log in, or everybody would be let in."""
    others = {key: value for key, value in LDAP.items() if key != name}
    assert f"http.auth.ldap.{name}: it is missing: write it, or remove http.auth.ldap" in problems(
        tmp_path, {"auth": {"ldap": others}}
    )


@pytest.mark.parametrize("value", [None, "", {}, {"address": ""}, {"address": None}])
def test_a_directory_that_a_template_left_empty_is_refused(tmp_path: Path, value: object) -> None:
    """The registry would be open to everybody, although its file has a lock."""
    (problem, *_) = problems(tmp_path, {"auth": {"ldap": value}})
    assert "it is empty, so nobody would have to log in: name the server" in problem


def test_starttls_begins_in_the_clear(tmp_path: Path) -> None:
    """With TLS from the first byte it means nothing, and zot ignores it."""
    ldap = {**LDAP, "startTLS": True}
    (problem,) = problems(tmp_path, {"auth": {"ldap": ldap}})
    assert problem.startswith("http.auth.ldap.startTLS: without insecure, TLS begins at the first byte")
    assert load(tmp_path, {"auth": {"ldap": {**ldap, "insecure": True, "skipVerify": False}}}).warnings == ()


def test_passwords_in_the_clear_are_warned_of(tmp_path: Path) -> None:
    """Unless the directory is on this machine."""
    ldap = {**LDAP, "insecure": True, "skipVerify": False}
    (warning,) = load(tmp_path, {"auth": {"ldap": ldap}}).warnings
    assert warning.startswith("http.auth.ldap sends passwords in the clear to ldap.example.org")
    for here in ("localhost", "127.0.0.1", "::1"):
        assert load(tmp_path, {"auth": {"ldap": {**ldap, "address": here}}}).warnings == ()


def tls(directory: Path) -> dict[str, str]:
    """Return `http.tls` with files that exist."""
    for name in ("server.cert", "server.key", "ca.crt"):
        (directory / name).touch()
    return {"cert": str(directory / "server.cert"), "key": str(directory / "server.key")}


def test_client_certificates_of_zots_examples_are_read(tmp_path: Path) -> None:
    """As in `config-mtls.json` and `config-mtls-spiffe.json`, without a warning. The authorities alone are enough."""
    given = {"cacert": str(tmp_path / "ca.crt"), **tls(tmp_path)}
    rules = {"repositories": {"**": {"policies": [{"users": ["clientuser"], "actions": ["read", "create"]}]}}}
    examples: list[tuple[dict[str, Any], tuple[str, ...]]] = [
        ({}, ("commonname",)),
        ({"mtls": {"identityAttributes": ["CommonName"]}}, ("commonname",)),
        (
            {
                "mtls": {
                    "identityAttributes": ["URI", "CommonName"],
                    "uriSanPattern": "spiffe://example.org/workload/(.*)",
                }
            },
            ("uri", "commonname"),
        ),
    ]
    for auth, kinds in examples:
        settings = load(tmp_path, {"tls": given, "auth": auth, "accessControl": rules})
        assert settings.auth.mtls is not None
        assert (settings.auth.mtls.identity_attributes, settings.http.tls_ca) == (kinds, tmp_path / "ca.crt")
        assert settings.auth.has_login
        assert settings.warnings == ()


def test_a_lock_without_certificates_is_refused(tmp_path: Path) -> None:
    """Nobody could show one, or anybody could."""
    name = {"identityAttributes": ["CN"]}
    (problem,) = problems(tmp_path, {"auth": {"mtls": name}})
    assert problem.startswith("http.auth.mtls: no client shows a certificate: write http.tls.cacert, or")
    given = tls(tmp_path)
    (problem,) = problems(tmp_path, {"tls": {"cacert": str(tmp_path / "ca.crt")}})
    assert problem.startswith("http.tls.cacert: without TLS no client shows a certificate")
    for empty in ("", None):
        (problem,) = problems(tmp_path, {"tls": {"cacert": empty, **given}})
        assert problem.startswith("http.tls.cacert: it is empty, so no client would be asked for a certificate")
    header = {"mtls": {"proxyHeader": "Client-Cert"}}
    (problem,) = problems(tmp_path, {"auth": header})
    assert problem.startswith("http.auth.mtls.proxyHeader: anybody can send this header: name the networks")
    for everybody in ("0.0.0.0/0", "::/0"):
        (problem,) = problems(tmp_path, {"auth": header, "trustedProxies": ["10.0.0.0/8", everybody]})
        assert problem.startswith("http.auth.mtls.proxyHeader: anybody can send this header")
    mtls = load(tmp_path, {"auth": header, "trustedProxies": ["10.0.0.0/8"]}).auth.mtls
    assert mtls is not None
    assert mtls.proxy_header == "Client-Cert"


def test_a_version_of_tls_is_read(tmp_path: Path) -> None:
    """It may be a number or a text."""
    given = tls(tmp_path)
    for written in (1.3, "1.3", "TLSv1.3", "TLS 1.3"):
        assert load(tmp_path, {"tls": {**given, "minVersion": written}}).http.tls_min_version == "1.3"
    assert load(tmp_path, {"tls": given}).http.tls_min_version == "1.2"
    for wrong in (1.1, "1.1", "SSLv3", 13):
        (problem,) = problems(tmp_path, {"tls": {**given, "minVersion": wrong}})
        assert problem == f"http.tls.minVersion: write 1.2 or 1.3, not {wrong!r}"
