"""zot's file of credentials, as mirrors and imports read it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from zotpy.upstream.credentials_file import LONGEST_BYTES, read_credentials_file
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
        ('["secret"]', "write an object"),
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
