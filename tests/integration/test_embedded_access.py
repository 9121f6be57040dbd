"""What other users of the machine can do with an embedded store: nothing without its keys."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import trio

from tests.integration.test_embedded import OBJECTS, read, weed_pid, write
from tests.processes import missing
from zotpy.embedded import embedded_store

if TYPE_CHECKING:
    from collections.abc import Iterator

VISITOR = Path(__file__).with_name("visitor.py")
NOBODY = 65534
DEADLINE_S = 300.0
SERVICES, SOCKETS = 8, 4
"""S3, filer, master and volume server each have a port for HTTP and one for gRPC, and this many sockets at least."""


def listening(pid: int) -> tuple[list[int], list[str]]:
    """Return the TCP ports and the paths of the sockets on which a process takes connections (Linux)."""
    links = [name for link in Path(f"/proc/{pid}/fd").iterdir() if (name := target(link)) is not None]
    inodes = {match[1] for link in links if (match := re.fullmatch(r"socket:\[(\d+)\]", link))}
    tables = [Path(f"/proc/{pid}/net/{table}").read_text().splitlines() for table in ("tcp", "tcp6")]
    rows = [line.split() for table in tables for line in table]
    ports = [int(row[1].rpartition(":")[2], 16) for row in rows if row[3] == "0A" and row[9] in inodes]
    local = [line.split() for line in Path(f"/proc/{pid}/net/unix").read_text().splitlines()]
    paths = [row[7] for row in local if row[3] == "00010000" and row[6] in inodes]
    return sorted(ports), sorted(paths)


def target(link: Path) -> str | None:
    """Return where a link leads; `None`: the process has closed that file since it was listed."""
    try:
        return str(link.readlink())
    except FileNotFoundError:
        return None


@contextmanager
def open_directory() -> Iterator[Path]:
    """Return a new directory that every user can enter, and make ours no more careful than that."""
    directory = Path(tempfile.mkdtemp(prefix="zotpy-access-"))
    before = os.umask(0)
    try:
        directory.chmod(0o755)
        (directory / "root").mkdir(0o755)
        yield directory / "root"
    finally:
        os.umask(before)
        shutil.rmtree(directory)


def visit(what: object) -> subprocess.CompletedProcess[str]:
    """Be another user, and say what that one gets."""
    with tempfile.TemporaryDirectory(prefix="zotpy-visitor-") as directory:
        Path(directory).chmod(0o755)
        visitor = Path(shutil.copy(VISITOR, directory))
        visitor.chmod(0o644)
        changed = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"]
        command = [*changed, "/usr/bin/python3", str(visitor), json.dumps(what)]
        return subprocess.run(command, capture_output=True, text=True, check=False, cwd="/", timeout=DEADLINE_S)


async def test_another_user_gets_nothing() -> None:
    """Every port and socket of every service refuses clients without keys. Others can read no file of the directory."""
    if os.geteuid() != 0 or shutil.which("setpriv") is None:
        missing("only root can try it as another user")
    with open_directory() as root:
        async with embedded_store(root) as store:
            await write(store, OBJECTS)
            ports, sockets = listening(weed_pid(root))
            assert len(ports) >= SERVICES
            assert len(sockets) >= SOCKETS
            absolute = [str(root / path) for path in sockets]
            done = await trio.to_thread.run_sync(visit, {"ports": ports, "sockets": absolute, "directory": str(root)})
            assert done.stderr == ""
            assert done.stdout == f"visited {len(ports)} ports and {len(sockets)} sockets\n"
            assert await read(store, OBJECTS) == OBJECTS
