"""A machine where the reader is neither root nor has sudo: the scripts say what is missing and what to ask for."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.docs.pages import CHECKOUT
from tests.processes import missing

if TYPE_CHECKING:
    from collections.abc import Iterator

TOOLS = ("sh", "id", "env", "grep", "printf", "dpkg-query", "apt-get")
NOBODY = 65534


@pytest.fixture
def tools() -> Iterator[Path]:
    """Return a directory with some of the machine's programs, sudo not among them."""
    if os.getuid() != 0 or shutil.which("apt-get") is None:
        missing("root and apt-get are needed")
    with tempfile.TemporaryDirectory(prefix="zotpy-without-root-") as name:
        directory = Path(name)
        directory.chmod(0o755)
        for tool in TOOLS:
            (directory / tool).symlink_to(str(shutil.which(tool)))
        shutil.copyfile(CHECKOUT / "deploy/venv.sh", directory / "venv.sh")
        yield directory


def sourced(tools: Path, command: str) -> subprocess.CompletedProcess[str]:
    """Run a function of `deploy/venv.sh` as nobody."""
    script = f'set -eu; . "{tools}/venv.sh"; {command}; echo done'
    return subprocess.run(
        ["sh", "-c", script],
        env={"PATH": str(tools)},
        user=NOBODY,
        group=NOBODY,
        extra_groups=[],
        capture_output=True,
        text=True,
        check=False,
    )


def test_what_is_missing_is_said_with_what_to_ask_for(tools: Path) -> None:
    """The script ends there, with the one command that an administrator has to run; nothing is tried in vain."""
    ran = sourced(tools, "apt_install no-such-package another-one")
    assert ran.returncode == 1
    assert ran.stdout == ""
    assert "Ask an administrator to run: apt-get install -y no-such-package another-one" in ran.stderr
    assert "not found" not in ran.stderr


def test_what_is_there_needs_nobody(tools: Path) -> None:
    """Packages that are installed are no reason to stop."""
    ran = sourced(tools, "apt_install dpkg libc6")
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "done\n", "")
