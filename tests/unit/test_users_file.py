"""The file of users, as `zotpy verify` looks at it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from tests.unit.auth.hashed import BCRYPT
from zotpy.cli import main

if TYPE_CHECKING:
    from pathlib import Path

GOOD = f"alice:{BCRYPT}"
APACHE = "carol:$apr1$12345678$abcdefghijklmnopqrstuv"


def verified(directory: Path, users: bytes, capsys: pytest.CaptureFixture[str]) -> tuple[int, list[str], str]:
    """Verify a configuration with these users; return the exit code, the warnings and the complaints."""
    file = directory / "htpasswd"
    file.write_bytes(users)
    config = directory / "config.json"
    config.write_text(json.dumps({"http": {"auth": {"htpasswd": {"path": str(file)}}}}))
    code = main(["verify", "-c", str(config)])
    said = capsys.readouterr()
    return code, [line for line in said.out.splitlines() if line.startswith("warning: ")], said.err


def test_users_who_cannot_log_in_are_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With the reason and what to do, but without their hash; a good line says nothing."""
    code, (warning,), _ = verified(tmp_path, f"{GOOD}\n{APACHE}\n".encode(), capsys)
    assert code == 0
    assert warning.startswith("warning: http.auth.htpasswd.path: carol cannot log in: ")
    assert "htpasswd -B" in warning
    assert "$apr1$" not in warning


@pytest.mark.parametrize("users", [b"", b"# alice:x\n", APACHE.encode()])
def test_a_file_without_users_is_said(tmp_path: Path, users: bytes, capsys: pytest.CaptureFixture[str]) -> None:
    """Nobody could log in."""
    code, warnings, _ = verified(tmp_path, users, capsys)
    assert code == 0
    assert "has no users: nobody can log in with it" in warnings[-1]


def test_a_long_list_of_them_is_cut(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A file may have thousands."""
    lines = [GOOD, *(f"user{number}:x" for number in range(1000))]
    _, warnings, _ = verified(tmp_path, "\n".join(lines).encode(), capsys)
    assert len(warnings) == 10


def test_a_file_that_a_start_would_refuse_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """In the same words as other mistakes of a configuration."""
    code, _, complaints = verified(tmp_path, b"\xff\xfe:x", capsys)
    assert code == 2
    assert "http.auth.htpasswd.path" in complaints
    assert "UTF-8" in complaints
