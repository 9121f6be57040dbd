"""zot's example files with logins, access control, TLS and mirrors start as they are."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.unit.auth.hashed import BCRYPT
from tests.unit.web.certificates import write_certificate
from zotpy.auth.grants import Grants
from zotpy.bell import Bell
from zotpy.commands.upstream_logins import with_upstream_logins
from zotpy.config import ConfigError, load_settings
from zotpy.http.server.hypercorn_config import ServerConfig
from zotpy.logins import make_door
from zotpy.mirror.opening import open_upstreams
from zotpy.store.memory_store import MemoryStore
from zotpy.web.dispatch import admit_everybody

EXAMPLES = Path(__file__).parent / "zot_examples"
FILES = sorted(file.name for file in EXAMPLES.iterdir() if file.suffix in {".json", ".yaml"})
ABSOLUTE = {"/etc/zot/auth.crt": "test/data/server.cert", "/tmp/zotpasswd": "test/data/htpasswd"}  # noqa: S108 - zot's
ABSOLUTE["/tmp/zot-test-htpasswd"] = "test/data/htpasswd"  # noqa: S108 - the same
ABSOLUTE |= {"/home/user/certs": "test/data/certs", "/config/credentials.json": "examples/sync-auth-filepath.json"}
"""Files that an example names where a test must not write, and those that take their place."""
PLACEHOLDERS = {"//ACCOUNTID.dkr.ecr.REGION.": "//012345678910.dkr.ecr.eu-central-1."}
"""What the author of a configuration has to replace in an example."""


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
    for name in ("assertion.jwt", "client-secret", "signing.json"):
        (examples / f"sync-oauth2-{name}").write_text("secret")
    login = {"username": "alice", "password": "secret"}
    (examples / "sync-auth-filepath.json").write_text(json.dumps({"registry1:5000": login, "index.docker.io": login}))
    (data / "certs").mkdir()
    (data / "certs" / "ca.crt").write_bytes((data / "ca.crt").read_bytes())
    for provider in ("github", "gitlab", "google", "oidc"):
        credentials = {"clientid": "client_id", "clientsecret": "client_secret"}
        (examples / f"config-openid-{provider}-credentials.json").write_text(json.dumps(credentials))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def put(checkout: Path, name: str) -> Path:
    """Copy an example there."""
    text = (EXAMPLES / name).read_text()
    for theirs, ours in (ABSOLUTE | PLACEHOLDERS).items():
        text = text.replace(theirs, ours)
    file = checkout / "examples" / name
    file.write_text(text)
    return file


@pytest.mark.parametrize("name", FILES)
async def test_an_example_starts_as_it_is(checkout: Path, name: str) -> None:
    """Its settings are read, and all of its logins, rules, certificates and upstreams are opened."""
    settings = with_upstream_logins(load_settings(put(checkout, name), {}))
    door = await make_door(settings, Bell(), Grants(settings.http.access), MemoryStore())
    assert door.admit is not None
    http = settings.http
    if http.tls_cert is not None and http.tls_key is not None:
        ServerConfig().use_certificate(http.tls_cert, http.tls_key, http.tls_ca, http.tls_min_version)
    mirror = settings.mirror
    async with open_upstreams(mirror, 1024, {*mirror.mirrored, *mirror.polled}) as upstreams:
        assert set(upstreams.by_registry) == set(mirror.registries)
    assert mirror.registries or "sync" not in name


async def test_logins_of_mirrors_in_the_examples_are_found(checkout: Path) -> None:
    """By the host in the file of credentials, by a name of Docker Hub, or from the service that an example names."""
    found = dict[tuple[str, str], bool]()
    for name in FILES:
        mirror = load_settings(put(checkout, name), {}).mirror
        async with open_upstreams(mirror, 1024, mirror.registries) as upstreams:
            each = [upstream for listed in upstreams.by_registry.values() for upstream in listed]
            found |= {(name, upstream.host): upstream.has_login for upstream in each}
    with_login = {
        "registry1:5000",
        "index.docker.io",
        "registry.example.com",
        "012345678910.dkr.ecr.eu-central-1.amazonaws.com",
    }
    assert {host for (_, host), has_login in found.items() if has_login} >= with_login


def test_a_host_of_ecr_that_nobody_filled_in_is_refused(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No login could ever be had there."""
    monkeypatch.setattr("tests.unit.test_zot_examples.PLACEHOLDERS", {})
    with pytest.raises(ConfigError, match="is not an address of ECR"):
        load_settings(put(checkout, "config-sync-ecr-credential-helper.json"), {})


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
    assert len(FILES) == 26
