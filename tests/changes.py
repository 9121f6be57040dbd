"""What has changed since the code that was tested before, as far as git knows."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

ROOT = Path(__file__).parents[1]
BASE = "ZOTPY_BASE"
"""The environment variable that names the commit to compare with: a CI that skips commits names the last it tested."""
BRANCHES = ("origin/main", "main")


def have_changed(paths: Iterable[str], root: Path = ROOT) -> bool:
    """Tell whether files below any of the paths differ from the base, committed or not.

    Without a base (no git, no history, an unknown commit) they count as changed.
    """
    base = os.environ.get(BASE) or _base(root)
    if base is None:
        return True
    asked = ["--", *paths]
    if _git(root, "diff", "--quiet", base, *asked) is None:
        return True
    return _git(root, "ls-files", "--others", "--exclude-standard", *asked) != ""


def _base(root: Path) -> str | None:
    """Return where this branch left the main one; on the main one itself, the commit before."""
    head = _git(root, "rev-parse", "HEAD")
    for branch in BRANCHES:
        left = _git(root, "merge-base", "HEAD", branch)
        if left is not None and left != head:
            return left
    return _git(root, "rev-parse", "--verify", "HEAD^")


def _git(root: Path, *arguments: str) -> str | None:
    """Return what git prints, or `None` if it fails or is not there."""
    try:
        ran = subprocess.run(["git", "-C", root, *arguments], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return ran.stdout.strip()
