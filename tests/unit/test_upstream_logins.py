"""The file of logins at other registries, as `verify` and `serve` look at it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
import trio

import zotpy.server
from zotpy.cli import main
from zotpy.commands.upstream_logins import with_upstream_logins
from zotpy.config import ConfigError, load_settings

if TYPE_CHECKING:
    from pathlib import Path

    from zotpy.settings import Settings

LOGIN = {"username": "alice", "password": "secret"}
USED = {"docker.io": LOGIN, "a.example:5000": LOGIN, "b.example/team": LOGIN}


def write(directory: Path, logins: str, **sync: Any) -> Path:
    """Write a configuration that names a file of logins, and return its path."""
    file = directory / "logins.json"
    file.write_text(logins)
    urls = [["https://registry-1.docker.io", "http://a.example:5000"], ["https://b.example/team/"]]
    registries = [{"urls": each, "onDemand": True} for each in urls]
    written = directory / "config.json"
    mirror = {"credentialsFile": str(file), "registries": registries, **sync}
    written.write_text(json.dumps({"extensions": {"sync": mirror}}))
    return written


def test_a_login_that_no_address_uses_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It is mostly misspelt, or lacks a port: zotpy would ask that registry without a login."""
    file = write(tmp_path, json.dumps({**USED, "a.example": LOGIN}))
    assert main(["verify", "-c", str(file)]) == 0
    warnings = [line for line in capsys.readouterr().out.splitlines() if line.startswith("warning: ")]
    (warning,) = warnings
    assert "the login for a.example has no effect" in warning
    assert "http://a.example:5000" in warning
    assert "secret" not in warning


def test_logins_that_are_used_are_no_matter(tmp_path: Path) -> None:
    """By any name of Docker Hub, with a port, and with a path."""
    settings = load_settings(write(tmp_path, json.dumps(USED)), {})
    assert with_upstream_logins(settings) == settings
    assert with_upstream_logins(settings).warnings == settings.warnings


def test_the_start_says_it_as_well(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Among the other remarks about the configuration."""
    seen: list[Settings] = []

    async def serve(settings: Settings) -> None:
        await trio.lowlevel.checkpoint()
        seen.append(settings)

    monkeypatch.setattr(zotpy.server, "serve", serve)
    assert main(["serve", "-c", str(write(tmp_path, json.dumps({**USED, "c.example": LOGIN})))]) == 0
    assert any("the login for c.example has no effect" in warning for warning in seen[0].warnings)


@pytest.mark.parametrize("command", ["serve", "verify"])
def test_a_file_that_is_wrong_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str], command: str) -> None:
    """Before anything starts, and without the password."""
    file = write(tmp_path, json.dumps({"docker.io": {"user": "alice", "password": "secret"}}))
    assert main([command, "-c", str(file)]) == 2
    said = capsys.readouterr().err
    assert "extensions.sync.credentialsFile" in said
    assert "write username and password for docker.io" in said
    assert "secret" not in said


def test_no_other_command_reads_it(tmp_path: Path) -> None:
    """A collection of garbage may run as a user who must not read the logins."""
    file = write(tmp_path, "no JSON")
    settings = load_settings(file, {})
    with pytest.raises(ConfigError):
        with_upstream_logins(settings)
    turned_off = load_settings(write(tmp_path, "no JSON", enable=False), {})
    assert with_upstream_logins(turned_off) is turned_off
