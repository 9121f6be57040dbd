"""zot's example files with logins, access control and TLS start as they are."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.unit.auth.hashed import BCRYPT
from tests.unit.web.certificates import write_certificate
from zotpy.auth.grants import Grants
from zotpy.bell import Bell
from zotpy.config import load_settings
from zotpy.http.server.hypercorn_config import ServerConfig
from zotpy.logins import make_door
from zotpy.store.memory_store import MemoryStore
from zotpy.web.dispatch import admit_everybody

EXAMPLES = Path(__file__).parent / "zot_examples"
FILES = sorted(file.name for file in EXAMPLES.iterdir() if file.suffix in {".json", ".yaml"})
ABSOLUTE = {"/etc/zot/auth.crt": "test/data/server.cert", "/tmp/zotpasswd": "test/data/htpasswd"}  # noqa: S108 - zot's
ABSOLUTE["/tmp/zot-test-htpasswd"] = "test/data/htpasswd"  # noqa: S108 - the same
"""Files that an example names where a test must not write, and those that take their place."""


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder with what the examples name in a checkout of zot, and go there."""
    data, examples = tmp_path / "test/data", tmp_path / "examples"
    data.mkdir(parents=True)
    examples.mkdir()
    cert, key = write_certificate(data)
    (data / "ca.crt").write_bytes(cert.read_bytes())
    cert.rename(data / "server.cert")
    key.rename(data / "server.key")
    (data / "htpasswd").write_text(f"test:{BCRYPT}\n")
    (examples / "config-ldap-credentials.json").write_text(json.dumps({"bindDN": "cn=zot", "bindPassword": "secret"}))
    for provider in ("github", "gitlab", "google", "oidc"):
        credentials = {"clientid": "client_id", "clientsecret": "client_secret"}
        (examples / f"config-openid-{provider}-credentials.json").write_text(json.dumps(credentials))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def put(checkout: Path, name: str) -> Path:
    """Copy an example there."""
    text = (EXAMPLES / name).read_text()
    for absolute, relative in ABSOLUTE.items():
        text = text.replace(absolute, relative)
    file = checkout / "examples" / name
    file.write_text(text)
    return file


@pytest.mark.parametrize("name", FILES)
async def test_an_example_starts_as_it_is(checkout: Path, name: str) -> None:
    """Its settings are read, and all of its logins, rules and certificates are opened."""
    settings = load_settings(put(checkout, name), {})
    door = await make_door(settings, Bell(), Grants(settings.http.access), MemoryStore())
    assert door.admit is not None
    http = settings.http
    if http.tls_cert is not None and http.tls_key is not None:
        ServerConfig().use_certificate(http.tls_cert, http.tls_key, http.tls_ca, http.tls_min_version)


async def test_nobody_passes_the_doors_of_the_examples_with_browsers(checkout: Path) -> None:
    """All providers but GitHub give ID tokens. The warnings say who can log in, and what has no effect."""
    settings = load_settings(put(checkout, "config-openid.json"), {})
    issuers = ["https://accounts.google.com", "https://gitlab.com", "http://127.0.0.1:5556/dex"]
    assert [each.issuer for each in settings.auth.all_issuers] == issuers
    assert {each.client for each in settings.auth.all_issuers} == {"client_id"}
    told = [each for each in settings.warnings if each.startswith("http.auth.openid")]
    assert [each.partition(" ")[0] for each in told] == [
        *["http.auth.openid"] * 3,
        "http.auth.openid.providers.github",
        *["http.auth.openid:"] * 3,
    ]
    mapped = load_settings(put(checkout, "config-openid-claim-mapping.json"), {})
    (issuer,) = mapped.auth.all_issuers
    assert ([each.text for each in issuer.username], issuer.groups) == (["preferred_username"], "groups")
    for each in (settings, mapped):
        door = await make_door(each, Bell(), Grants(each.http.access), MemoryStore())
        assert door.admit is not admit_everybody


def test_no_example_is_left_out() -> None:
    """A file that a later zot has must be put beside them."""
    assert len(FILES) == 16
