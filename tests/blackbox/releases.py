"""The code of an earlier release, out of the history of this checkout, run with the packages of this one."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from subprocess import run

from tests.processes import find_program, missing

EARLIER = {
    "before least": "511488334ff54f69c2491a193baeb18a54209c37",
    "before kept chunks": "de51635eb6945a57c726147b189484521631ba59",
}
"""One whose replicas want `layout` to be what they know, and do not ask for `least`: nor is DELETE the same since. And
one that leaves all of a chunk below a part in the upload's state."""
CHECKOUT = Path(__file__).parents[2]


def earlier_source(release: str, directory: Path) -> Path:
    """Put the package of an earlier release into the directory, and return what to import it from."""
    commit = EARLIER[release]
    git = find_program("git", "apt-get install git")
    command = [str(git), "-C", str(CHECKOUT), "archive", "--format=tar", commit, "zotpy"]
    archive = run(command, capture_output=True, check=False)
    if archive.returncode != 0:
        reason = archive.stderr.decode(errors="replace").strip()
        missing(f"commit {commit[:7]} of the history is needed: git fetch --unshallow ({reason})")
    run(["tar", "--extract", "--directory", directory], input=archive.stdout, check=True)  # tarfile: 3.11.4 or later
    assert imported_from(directory) == directory / "zotpy"
    return directory


def imported_from(source: Path) -> Path:
    """Return where a replica that is run from this source has its code from."""
    command = [sys.executable, "-c", "import zotpy; print(zotpy.__path__[0])"]
    env = {**os.environ, "PYTHONPATH": str(source)}
    return Path(run(command, cwd=source, env=env, capture_output=True, check=True, text=True).stdout.strip())
