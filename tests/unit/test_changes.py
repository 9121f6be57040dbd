"""What counts as changed since the code that was tested before."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import pytest

from tests import changes

if TYPE_CHECKING:
    from pathlib import Path


class Repository:
    """A repository with one commit on its main branch."""

    def __init__(self, root: Path) -> None:
        """Make it in an empty directory."""
        self.root = root
        self("init", "--quiet", "--initial-branch=main")
        self.commit("core/one", "README")

    def __call__(self, *arguments: str) -> str:
        """Run git there."""
        who = ["-c", "user.name=t", "-c", "user.email=t@example.org"]
        ran = subprocess.run(["git", "-C", self.root, *who, *arguments], capture_output=True, text=True, check=True)
        return ran.stdout.strip()

    def write(self, *names: str) -> None:
        """Give files other content than they had."""
        for name in names:
            path = self.root / name
            path.parent.mkdir(exist_ok=True)
            path.write_text(path.read_text() + "more\n" if path.exists() else "text\n")

    def commit(self, *names: str) -> str:
        """Change files, commit that, and return the commit."""
        self.write(*names)
        self("add", "--all")
        self("commit", "--quiet", "--message", "a change")
        return self("rev-parse", "HEAD")

    def has_changed(self) -> bool:
        """Tell whether what is below `core` or `store` has changed."""
        return changes.have_changed(["core", "store"], self.root)


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Repository:
    """Return a new repository."""
    monkeypatch.delenv(changes.BASE, raising=False)
    return Repository(tmp_path)


def test_without_history_all_has_changed(repository: Repository) -> None:
    """The first commit, or one that was fetched without those before it, is compared with nothing."""
    assert repository.has_changed()


def test_on_the_main_branch_the_last_commit_counts(repository: Repository) -> None:
    """A change of other files does not count; one of these does."""
    repository.commit("README")
    assert not repository.has_changed()
    repository.commit("core/one")
    assert repository.has_changed()


def test_on_a_branch_all_its_commits_count(repository: Repository) -> None:
    """What the branch changed in any commit has changed, and what the main branch changed has not."""
    repository("checkout", "--quiet", "-b", "topic")
    repository.commit("store/new")
    repository.commit("README")
    assert repository.has_changed()
    repository("checkout", "--quiet", "-b", "other", "main")
    repository.commit("README")
    repository("checkout", "--quiet", "main")
    repository.commit("core/one")
    repository("checkout", "--quiet", "other")
    assert not repository.has_changed()


@pytest.mark.parametrize("name", ["core/one", "store/new"])
def test_what_is_not_committed_counts(repository: Repository, name: str) -> None:
    """A changed file and a new one are seen before they are committed."""
    repository.commit("README")
    repository.write(name)
    assert repository.has_changed()


def test_a_base_can_be_named(repository: Repository, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was tested last need not be the commit before; an unknown one is as none."""
    tested = repository.commit("README")
    repository.commit("core/one")
    repository.commit("README")
    assert not repository.has_changed()
    monkeypatch.setenv(changes.BASE, tested)
    assert repository.has_changed()
    monkeypatch.setenv(changes.BASE, "0" * 40)
    assert repository.has_changed()
