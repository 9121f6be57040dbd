"""The rules of the page about access decide as it says."""

from __future__ import annotations

import re
import shlex
from typing import TYPE_CHECKING, Any

import yaml

from tests.docs.pages import CHECKOUT, blocks
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
    session, _ = [block.text for block in blocks(PAGE) if block.text.startswith("$ zotpy access")]
    users, file = tmp_path / "htpasswd", tmp_path / "config.yaml"
    users.write_text("")
    file.write_text(rules.replace(USERS, str(users)))
    assert load_settings(file, {}).warnings == ()
    check_session(session, file, capsys)


def test_the_conditions_of_the_page_decide_as_it_says(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The group of the example is that of the page's rules, and nothing in it is a surprise."""
    (rules,) = [text for text in yaml_blocks() if "conditions:" in text]
    _, session = [block.text for block in blocks(PAGE) if block.text.startswith("$ zotpy access")]
    users, file = tmp_path / "htpasswd", tmp_path / "config.yaml"
    users.write_text("")
    issuer = {"issuer": "https://ci.example.com", "audiences": ["registry"]}
    auth = {"htpasswd": {"path": str(users)}, "bearer": {"oidc": [issuer]}}
    section: dict[str, Any] = {"groups": {"ci": {"users": ["builder"]}}, **yaml.safe_load(rules)}
    file.write_text(yaml.safe_dump({"http": {"auth": auth, "accessControl": section}}))
    assert load_settings(file, {}).warnings == ()
    check_session(session, file, capsys)


def test_the_expressions_of_the_page_can_be_used(tmp_path: Path) -> None:
    """Those of claims are compiled as those of a file."""
    (mapping,) = [text for text in yaml_blocks() if "validations:" in text]
    entry = {"issuer": "https://ci.example.com", "audiences": ["registry"], **yaml.safe_load(mapping)}
    file = tmp_path / "config.yaml"
    file.write_text(yaml.safe_dump({"http": {"auth": {"bearer": {"oidc": [entry]}}}}))
    (issuer,) = load_settings(file, {}).auth.issuers
    assert len(issuer.validations) == 2


def test_the_provider_of_the_page_is_a_login(tmp_path: Path) -> None:
    """The warnings say who logs in by it, and nothing else."""
    (section,) = [text for text in yaml_blocks() if "openid:" in text]
    file = tmp_path / "config.yaml"
    file.write_text(section)
    (told,) = load_settings(file, {}).warnings
    assert "users of https://sso.example.com log in with an ID token for the client registry" in told


def yaml_blocks() -> list[str]:
    """Return the pieces of configurations in the page."""
    return re.findall(r"^```yaml\n(.*?)^```", (CHECKOUT / PAGE).read_text(), re.DOTALL | re.MULTILINE)


def check_session(session: str, file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Run each command with this configuration."""
    lines = session.split("\n")
    for typed, told in zip(lines[::2], lines[1::2], strict=True):
        words = shlex.split(typed.removeprefix("$ zotpy ").replace(FILE, str(file)))
        code = main(words)
        assert capsys.readouterr().out == f"{told}\n"
        assert (code == 0) == told.startswith("allowed: ")
