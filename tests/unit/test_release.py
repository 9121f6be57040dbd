"""Version and commit: one number in all files, and a commit in all that is built."""

from __future__ import annotations

import re
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest

from zotpy import release

CHECKOUT = Path(release.__file__).parents[1]
VERSION: str = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())["project"]["version"]
NAMED = re.compile(r"(?:newTag: |/zotpy:|ref=v|zotpy |zotpy-)(\d+\.\d+\.\d+)")


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """Return a copy of `commit.txt` as a checkout has it, and no repository around it."""
    path = tmp_path / "checkout" / "zotpy"
    path.mkdir(parents=True)
    shutil.copy(CHECKOUT / "zotpy/commit.txt", path)
    return path


def git(checkout: Path, *arguments: str) -> str:
    """Run git there, as somebody."""
    command: list[str | Path] = [
        "git",
        "-c",
        "user.name=somebody",
        "-c",
        "user.email=somebody@example.com",
        "-C",
        checkout,
        *arguments,
    ]
    return str(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


@pytest.fixture
def repository(package: Path) -> Path:
    """Return a repository of one commit with that file, and with the attributes of this one."""
    checkout = package.parent
    shutil.copy(CHECKOUT / ".gitattributes", checkout)
    git(checkout, "init", "--quiet")
    git(checkout, "add", "--all")
    git(checkout, "commit", "--quiet", "--message", "the first one")
    return checkout


def test_what_was_built_says_its_commit(package: Path) -> None:
    """The file that a build has written counts, and no git is asked."""
    (package / "commit.txt").write_text("0123456789012345678901234567890123456789\n")
    assert release.commit(package) == "0123456789012345678901234567890123456789"


def test_a_copy_of_the_sources_is_unknown(package: Path) -> None:
    """Neither a file that a build wrote nor a repository: also below a repository that is another project's."""
    git(package.parent.parent, "init", "--quiet")
    assert release.commit(package) == release.UNKNOWN


def test_a_checkout_asks_git(repository: Path) -> None:
    """The commit is the one that is checked out; changes of files are said."""
    head = git(repository, "rev-parse", "HEAD").strip()
    assert release.commit(repository / "zotpy") == head
    release.commit.cache_clear()
    (repository / ".gitattributes").write_text("")
    assert release.commit(repository / "zotpy") == f"{head}-dirty"


def test_an_archive_of_the_sources_says_its_commit(repository: Path, tmp_path: Path) -> None:
    """`git archive` writes it into the file."""
    head = git(repository, "rev-parse", "HEAD").strip()
    there = tmp_path / "unpacked"
    there.mkdir()
    git(repository, "archive", "--output", str(tmp_path / "archive.tar"), "HEAD")
    subprocess.run(["tar", "--extract", "--file", tmp_path / "archive.tar", "--directory", there], check=True)
    assert release.commit(there / "zotpy") == head


def test_files_name_this_version() -> None:
    """Manifests, and commands of pages, are about this release: none says `latest`, none an older one."""
    pages = [CHECKOUT / "README.md", *(CHECKOUT / "docs").glob("*.md")]
    manifests = list((CHECKOUT / "deploy").rglob("*.yaml"))
    named = {file.name: set(NAMED.findall(file.read_text())) - {VERSION} for file in (*pages, *manifests)}
    assert {name: versions for name, versions in named.items() if versions} == {}
    tags = [tag for file in manifests for tag in re.findall(r"newTag: (\S+)", file.read_text())]
    assert tags == [VERSION] * len(tags)
    assert len(tags) >= 5


def test_the_changelog_tells_of_this_version() -> None:
    """Its notes have a date; what is not released stands above them."""
    heads = re.findall(r"^## (.*)$", (CHECKOUT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert heads[0] == "Unreleased"
    assert re.fullmatch(rf"{re.escape(VERSION)} - \d{{4}}-\d\d-\d\d", heads[1])
