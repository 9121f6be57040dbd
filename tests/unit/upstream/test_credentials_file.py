"""zot's file of credentials, as mirrors and imports read it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from zotpy.upstream.credentials_file import LONGEST_BYTES, login_at, read_credentials_file
from zotpy.upstream.login import Login

if TYPE_CHECKING:
    from pathlib import Path


def test_logins_by_host(tmp_path: Path) -> None:
    """A scheme before the host and a slash after it count for nothing."""
    file = tmp_path / "logins.json"
    login = {"username": "alice", "password": "x"}
    file.write_text(json.dumps({"a:5000": login, "https://b.example/": login, "http://c": login}))
    assert read_credentials_file(file) == dict.fromkeys(("a:5000", "b.example", "c"), Login("alice", "x"))


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ('{"a": {"username": "alice", "password": "secret"}, "b": {}}', "write username and password for b"),
        ('{"a": {"username": "alice", "password": 5}}', "write username and password for a"),
        ('{"a": "secret"}', "write username and password for a"),
        ('["secret"]', "is not a JSON object: write one such as"),
        ("secret", "is not JSON"),
        ("[" * 100_000, "is not JSON"),
        (" " * LONGEST_BYTES + "{}", "longer than"),
        (None, "cannot be read"),
    ],
)
def test_a_file_that_cannot_be_used(tmp_path: Path, content: str | None, problem: str) -> None:
    """The sentence names the file, and no password."""
    file = tmp_path / "logins.json"
    if content is not None:
        file.write_text(content)
    with pytest.raises(ValueError, match=problem) as raised:
        read_credentials_file(file)
    assert str(file) in str(raised.value)
    assert "secret" not in str(raised.value)


@pytest.mark.parametrize("named", ["docker.io", "index.docker.io", "registry-1.docker.io"])
@pytest.mark.parametrize("url", ["https://docker.io/library", "https://registry-1.docker.io", "index.docker.io"])
def test_a_login_at_docker_hub_is_found_by_any_of_its_names(named: str, url: str) -> None:
    """Otherwise zotpy would ask without a login, and nobody would notice before the limit of anonymous pulls."""
    login = Login("alice", "x")
    assert login_at({named: login, "quay.io": Login("bob", "y")}, url) == login


def test_a_login_may_be_for_a_path() -> None:
    """As in zot, whose file names the address as it stands in `urls`. A login of the whole host counts after it."""
    path, host = Login("path", "x"), Login("host", "y")
    assert login_at({"a.example/team": path, "a.example": host}, "https://a.example/team/") == path
    assert login_at({"a.example": host}, "https://a.example/team") == host
    assert login_at({"a.example/team": path}, "https://a.example/other") is None
