"""Which version this program has, and which commit it was built from: `zotpy --version` says it where git cannot.

`commit.txt` beside this module holds it in everything that is built: `hatch_build.py` writes it into sdists and wheels,
and so into images; `git archive` writes it into an archive of the sources (`.gitattributes`). In a checkout the file
holds a placeholder, and git is asked.
"""

import subprocess
from functools import cache
from pathlib import Path

UNKNOWN = "unknown"
"""Said of a copy of the sources that came without git's data: by `cp`, not by `git archive`."""
_PACKAGE = Path(__file__).parent
_PLACEHOLDER = "$Format"
_DESCRIBE = ("describe", "--always", "--dirty", "--abbrev=40", "--exclude=*")
"""The commit's full name, with `-dirty` behind it if files differ from it that git knows."""


@cache
def version() -> str:
    """Return the version that was installed."""
    from importlib.metadata import PackageNotFoundError, version  # noqa: PLC0415 - `verify` does without

    try:
        return version("zotpy")
    except PackageNotFoundError:  # run from a checkout that was never installed
        return "0+unknown"


@cache
def commit(package: Path = _PACKAGE) -> str:
    """Return the commit's full name, with `-dirty` behind it if the sources were changed, or `UNKNOWN`."""
    try:
        written = (package / "commit.txt").read_text(encoding="ascii").strip()
    except (OSError, ValueError):
        written = ""
    if written and not written.startswith(_PLACEHOLDER):
        return written
    checkout = package.parent
    if not (checkout / ".git").exists():  # a repository further up is another project's
        return UNKNOWN
    git = ("git", "-c", f"safe.directory={checkout}", "-C", str(checkout))
    try:
        asked = subprocess.run(  # noqa: S603 - fixed words and our own path
            [*git, *_DESCRIBE], capture_output=True, text=True, check=True
        )
    except (OSError, subprocess.CalledProcessError):
        return UNKNOWN
    return asked.stdout.strip() or UNKNOWN
