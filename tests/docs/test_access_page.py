"""The rules of the page about access decide as it says."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from tests.docs.pages import blocks
from zotpy.cli import main
from zotpy.config import load_settings

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

PAGE = "docs/access.md"
FILE, USERS = "/etc/zotpy/config.yaml", "/etc/zotpy/htpasswd"


def test_the_rules_of_the_page_decide_as_it_says(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Each command prints the line below it, and nothing in the file is a surprise."""
    (rules,) = [block.text for block in blocks(PAGE) if "accessControl:" in block.text]
    (session,) = [block.text for block in blocks(PAGE) if block.text.startswith("$ zotpy access")]
    users, file = tmp_path / "htpasswd", tmp_path / "config.yaml"
    users.write_text("")
    file.write_text(rules.replace(USERS, str(users)))
    assert load_settings(file, {}).warnings == ()
    lines = session.split("\n")
    for typed, told in zip(lines[::2], lines[1::2], strict=True):
        words = shlex.split(typed.removeprefix("$ zotpy ").replace(FILE, str(file)))
        code = main(words)
        assert capsys.readouterr().out == f"{told}\n"
        assert (code == 0) == told.startswith("allowed: ")
