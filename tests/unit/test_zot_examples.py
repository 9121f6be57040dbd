"""zot's example files with logins, access control and TLS start as they are."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.unit.auth.hashed import BCRYPT
from tests.unit.web.certificates import write_certificate
from zotpy.auth.grants import Grants
from zotpy.bell import Bell
from zotpy.config import ConfigError, load_settings
from zotpy.http.server.hypercorn_config import ServerConfig
from zotpy.logins import make_door
from zotpy.store.memory_store import MemoryStore

EXAMPLES = Path(__file__).parent / "zot_examples"
BROWSERS = {"config-openid.json", "config-openid-claim-mapping.json"}
"""Those with logins by a browser, which zotpy does not have."""
FILES = sorted(
    file.name for file in EXAMPLES.iterdir() if file.suffix in {".json", ".yaml"} and file.name not in BROWSERS
)
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


@pytest.mark.parametrize("name", sorted(BROWSERS))
def test_logins_by_browser_are_refused_and_named(checkout: Path, name: str) -> None:
    """Nothing else of these files is in the way."""
    with pytest.raises(ConfigError) as raised:
        load_settings(put(checkout, name), {})
    told = [each.partition(": ")[0] for each in raised.value.problems]
    assert told == ["http.auth.openid", *(["http.accessControl"] if "mapping" in name else [])]


def test_no_example_is_left_out() -> None:
    """A file that a later zot has must be put into one of the two lists."""
    assert len(FILES) == 14
