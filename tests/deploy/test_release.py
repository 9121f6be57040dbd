"""A release: built here and from a clone, byte for byte the same; installed from its files on a bare machine."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
from functools import partial
from typing import TYPE_CHECKING

import pytest

from tests.blackbox.registry_api import http_client, push_blob
from tests.deploy.bare import CHECKOUT, NO_NOTICE, BareRoot, is_ready
from tests.docs.pages import blocks
from tests.processes import free_port
from tests.scratch import scratch
from tests.unit.test_release import VERSION

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

BUILD_DEADLINE_S = 300.0
INSTALL_DEADLINE_S = 900.0
NAMES = [
    "SHA256SUMS",
    f"zotpy-{VERSION}-py3-none-any.whl",
    f"zotpy-{VERSION}-requirements.txt",
    f"zotpy-{VERSION}.tar.gz",
]

pytestmark = pytest.mark.timeout(2 * INSTALL_DEADLINE_S)


def build(checkout: Path, directory: Path, **environ: str) -> dict[str, bytes]:
    """Build a release there and return its files."""
    done = subprocess.run(
        ["sh", checkout / "deploy/release", directory],
        env={**os.environ, **environ},
        capture_output=True,
        text=True,
        timeout=BUILD_DEADLINE_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return {file.name: file.read_bytes() for file in sorted(directory.iterdir())}


def head() -> str:
    """Return the commit that is checked out."""
    asked = subprocess.run(["git", "rev-parse", "HEAD"], cwd=CHECKOUT, capture_output=True, text=True, check=True)
    return asked.stdout.strip()


@pytest.fixture(scope="module")
def directory() -> Iterator[Path]:
    """Return a directory with a release of this commit."""
    with scratch("release") as here:
        build(CHECKOUT, here / "dist", TMPDIR=str(here))
        yield here / "dist"


def test_the_same_commit_gives_the_same_files(directory: Path, tmp_path: Path) -> None:
    """Neither when nor where a release is built matters, nor the time zone, nor files that are not committed."""
    files = {file.name: file.read_bytes() for file in sorted(directory.iterdir())}
    assert list(files) == NAMES
    clone = tmp_path / "clone"
    subprocess.run(["git", "clone", "--quiet", "--no-hardlinks", CHECKOUT, clone], check=True)
    subprocess.run(["git", "-C", clone, "checkout", "--quiet", head()], check=True)
    (clone / "zotpy/stray.py").write_text("raise SystemExit\n")
    (clone / "pyproject.toml").write_text("of no use\n")
    with scratch("release") as here:
        environ = {"TZ": "Asia/Tokyo", "PYTHONHASHSEED": "1", "SOURCE_DATE_EPOCH": "1", "TMPDIR": str(here)}
        again = build(clone, tmp_path / "again", **environ)
    assert {name: hashlib.sha256(body).hexdigest() for name, body in again.items()} == {
        name: hashlib.sha256(body).hexdigest() for name, body in files.items()
    }


def test_sums_are_right(directory: Path) -> None:
    """`sha256sum --check` finds every file as it should be."""
    checked = subprocess.run(
        ["sha256sum", "--check", "--strict", "SHA256SUMS"], cwd=directory, capture_output=True, text=True, check=False
    )
    assert (checked.returncode, checked.stdout.splitlines()) == (0, [f"{name}: OK" for name in NAMES[1:]])


def test_sources_that_nothing_names_are_not_built(tmp_path: Path) -> None:
    """Without git, and with a placeholder in the place of the commit, no wheel comes that says `unknown`."""
    for name in ("pyproject.toml", "hatch_build.py", "README.md", "LICENSE"):
        shutil.copy(CHECKOUT / name, tmp_path)
    shutil.copytree(CHECKOUT / "zotpy", tmp_path / "zotpy")
    environ = {name: value for name, value in os.environ.items() if name != "ZOTPY_COMMIT"}
    hatchling = [sys.executable, "-m", "hatchling", "build", "--target", "wheel"]
    done = subprocess.run(hatchling, cwd=tmp_path, env=environ, capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert "which commit is this?" in done.stderr
    assert not (tmp_path / "dist").exists() or list((tmp_path / "dist").iterdir()) == []


def test_its_files_install_on_a_bare_machine(directory: Path, tmp_path: Path) -> None:
    """The page's commands, on a Debian with Python and nothing else: the program says its commit, and serves."""
    with scratch("bare") as here:
        machine = BareRoot(here)
        files = machine.path / "srv/release"
        shutil.copytree(directory, files)
        page = "docs/releases.md"
        commands = [command for block in blocks(page) for command in block.commands() if "sh deploy/" not in command]
        assert any("pip install" in command for command in commands)
        script = "\n".join(["set -eux", "apt-get update -qq", *commands, "exec /opt/registry/bin/zotpy serve"])
        port = free_port()
        there = ["env", f"ZOTPY_HTTP_PORT={port}", NO_NOTICE, "sh", "-c", f"cd /srv/release && {{ {script}\n}}"]
        program = machine.process(*there, log_path=tmp_path / "machine.log")
        url = f"http://127.0.0.1:{port}"

        try:
            program.start(partial(is_ready, url), INSTALL_DEADLINE_S)
            with http_client(url) as client:
                digest = push_blob(client, "team/app", b"from a release")
                assert client.get(f"/v2/team/app/blobs/{digest}").content == b"from a release"
                assert f'zotpy_build_info{{commit="{head()}",version="{VERSION}"}} 1.0' in client.get("/metrics").text
        finally:
            program.stop()
        said = re.findall(r"^zotpy \S+ \(commit \S+\)$", (tmp_path / "machine.log").read_text(), re.MULTILINE)
        assert said == [f"zotpy {VERSION} (commit {head()})"]
