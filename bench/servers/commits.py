"""This program as it was at a commit, to be measured beside what it is now."""

import hashlib
import subprocess
import sys
import tempfile
from pathlib import Path

from bench.servers.processes import CHECKOUT
from bench.servers.programs import cache
from bench.servers.registries import Build

LOCK = "requirements/serve.txt"


def short_hash(revision: str) -> str:
    """Return the short hash of a revision of this checkout. Raises `ValueError` if there is none."""
    try:
        return _git("rev-parse", "--verify", "--quiet", "--short", f"{revision}^{{commit}}").decode().strip()
    except subprocess.CalledProcessError as error:
        msg = f"no commit in {CHECKOUT}: {revision}"
        raise ValueError(msg) from error


def build_of(commit: str, directory: Path) -> Build:
    """Lay out a commit below a directory; it leaves no trace in the checkout.

    It runs in our environment if it locks the same packages, else in one of its own, which is made once.
    """
    checkout = directory / f"commit-{commit}"
    checkout.mkdir()
    # not `tarfile`: with Debian's Python 3.11.2 it does not know the filter that later versions ask for
    subprocess.run(["tar", "-x", "-C", checkout], input=_git("archive", "--format=tar", commit), check=True)
    lock = (checkout / LOCK).read_bytes()
    is_ours = lock == (CHECKOUT / LOCK).read_bytes()
    return Build(checkout, Path(sys.executable) if is_ours else _environment(checkout / LOCK))


def _environment(lock: Path) -> Path:
    """Return the Python of an environment with what a lock file names."""
    kept = cache() / "commits" / hashlib.sha256(lock.read_bytes()).hexdigest()[:16]
    if not kept.exists():
        kept.parent.mkdir(parents=True, exist_ok=True)
        made = Path(tempfile.mkdtemp(prefix=".making-", dir=kept.parent))
        subprocess.run([sys.executable, "-m", "venv", made], check=True)
        install = ["-m", "pip", "install", "--quiet", "--require-hashes", "-r", str(lock)]
        subprocess.run([made / "bin" / "python", *install], check=True)
        made.rename(kept)
    return kept / "bin" / "python"


def _git(*words: str) -> bytes:
    return subprocess.run(["git", "-C", CHECKOUT, *words], capture_output=True, check=True).stdout
