"""Directories for very many files, such as the root of a machine: in memory, if there is enough of it.

A file in memory is made with a third of the CPU, or less. A file system that was made without a journal, as those of
many virtual machines are, takes longer still after a tree was deleted: ext4 leaves each inode alone for a minute after
its file was deleted, and searches for another one.
"""

from __future__ import annotations

import os
import re
import subprocess
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

MOST_BYTES = 4 << 30
"""The most that such a directory can hold in memory. Two builds of the image take 1.7 GB, other users less."""
LEFT_BYTES = 6 << 30
"""What must remain for the rest of the tests if it is filled."""
MEMINFO = Path("/proc/meminfo")


@contextmanager
def scratch(name: str) -> Iterator[Path]:
    """Provide an empty directory with a short path. It is deleted at the end of the block.

    It is on the disk if we may not mount file systems, or if the machine has little memory left.
    """
    with tempfile.TemporaryDirectory(prefix=f"zotpy-{name}-") as made:
        directory = Path(made)
        is_mounted = may_be_in_memory() and _mount(directory)
        try:
            yield directory
        finally:
            if is_mounted:  # lazily: a program that has just been killed may still be there
                subprocess.run(["umount", "--lazy", directory], check=True)


def may_be_in_memory() -> bool:
    """Say whether we may mount, and have memory for all that such a directory can hold."""
    found = re.search(r"^MemAvailable: +(\d+) kB$", MEMINFO.read_text(), re.MULTILINE)
    return os.geteuid() == 0 and found is not None and int(found[1]) << 10 >= MOST_BYTES + LEFT_BYTES


def _mount(directory: Path) -> bool:
    """Mount a file system in memory there, if the kernel lets us: in a container it may not."""
    options = f"size={MOST_BYTES},mode=0755"
    command: list[str | Path] = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", directory]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0
