"""Builds the Go clients of `clients.txt` that are not kept yet, and prints the directory in which all of them are.

    python -m tests.programs

They are built before any test begins, one after another (a build uses every core), and what is going on is shown. A
program is built once for each version, whatever else the list names. Of several runs at once, one builds.
"""

from __future__ import annotations

import hashlib
import os
import sys
from pathlib import Path

from rich.console import Console

from bench.servers import programs
from bench.servers.processes import ProgramMissing

LIST = Path(__file__).with_name("clients.txt")


def modules() -> list[str]:
    """Return what the list names, each as `path@version`."""
    return LIST.read_text().split()


def gather(console: Console) -> Path:
    """Build what is missing, and return a directory with a link to each program. Raises `ProgramMissing`."""
    wanted = modules()
    missing = [module for module in wanted if not programs.kept(module).exists()]
    for number, module in enumerate(missing, 1):
        programs.build(module, console, f"({number} of {len(missing)})")
    directory = programs.cache() / "clients" / hashlib.sha256("\n".join(wanted).encode()).hexdigest()[:16]
    directory.mkdir(parents=True, exist_ok=True)
    for module in wanted:
        link = directory / programs.name_of(module)
        if not link.exists():
            unnamed = link.with_name(f".{link.name}.{os.getpid()}")
            unnamed.symlink_to(programs.kept(module))
            unnamed.replace(link)  # in one step: another run may make or use it just now
    return directory


if __name__ == "__main__":
    try:
        print(gather(Console(stderr=True)))  # noqa: T201 - what a shell script reads
    except ProgramMissing as error:
        sys.exit(str(error))
