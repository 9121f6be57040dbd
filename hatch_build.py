"""Writes the commit into every sdist and wheel, for `zotpy --version` (see `zotpy/release.py`)."""

import os
import runpy
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

EDITABLE = "editable"
_WHERE_FROM = (
    "which commit is this? Build from a git checkout, from what `git archive` gives or from an sdist, "
    "or name the commit: ZOTPY_COMMIT=..."
)


class CommitHook(BuildHookInterface[Any]):
    """Lays `commit.txt` with the commit in the place of the one with a placeholder."""

    PLUGIN_NAME = "custom"

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Put the file into what is built. Raises `RuntimeError` if nothing tells the commit."""
        if version == EDITABLE:  # it goes on with the checkout, and asks git
            return
        package = Path(self.root, "zotpy")
        release = runpy.run_path(str(package / "release.py"))
        commit: str = os.environ.get("ZOTPY_COMMIT") or release["commit"](package)
        if commit == release["UNKNOWN"]:
            raise RuntimeError(_WHERE_FROM)
        self._directory = tempfile.TemporaryDirectory(prefix="zotpy-commit-")
        written = Path(self._directory.name, "commit.txt")
        written.write_text(f"{commit}\n", encoding="ascii")
        written.chmod(0o644)
        build_data["force_include"][str(written)] = "zotpy/commit.txt"

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        """Take the file away."""
        del build_data, artifact_path
        if version != EDITABLE:
            self._directory.cleanup()
