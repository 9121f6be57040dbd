"""A disk whose power can be cut: what it holds at a moment, without anything that is only in the kernel's memory.

A file system on a loop device keeps in the kernel's memory what programs have written, as on any disk. It writes it to
the device when a program syncs, or when it likes. The device is a file. So that file, copied at one moment, is what a
power cut would leave. For that moment the file system that the file lies on is frozen, which stops the device and not
the programs: nothing is synced for the copy.

    /              the machine's own
    └── host       a file system in a file, frozen for each copy
        └── device     the disk: a file system in a file on that one; programs write here
"""

from __future__ import annotations

import os
import shutil
import subprocess
from contextlib import contextmanager
from typing import TYPE_CHECKING

from tests.processes import missing, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

MIB = 1 << 20
PROGRAMS = ("mkfs.ext4", "mount", "umount", "fsfreeze")


def run(*command: str | Path) -> None:
    """Run a program that must succeed."""
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{command}: {done.stderr}"


@contextmanager
def mounted(image: Path, at: Path) -> Iterator[Path]:
    """Mount the file system in a file while the block runs."""
    at.mkdir(exist_ok=True)
    run("mount", "-o", "loop", image, at)
    try:
        yield at
    finally:
        # A device that lies on it is let go of a moment after its own file system.
        wait_until(lambda: not subprocess.run(["umount", at], capture_output=True, check=False).returncode, "unmounted")


def made(image: Path, size_bytes: int) -> Path:
    """Make a file system in a new file."""
    with image.open("wb") as file:
        file.truncate(size_bytes)
    run("mkfs.ext4", "-q", "-E", "lazy_itable_init=0,lazy_journal_init=0", image)
    return image


def needs_mounts() -> None:
    """Skip the test where file systems cannot be mounted."""
    if os.geteuid() != 0 or not all(map(shutil.which, PROGRAMS)):
        missing(f"only root can mount, with {', '.join(PROGRAMS)}")


class Disk:
    """A disk of its own."""

    def __init__(self, root: Path, device: Path, host: Path) -> None:
        """Of a device, a file on the file system mounted at `host`."""
        self.root = root
        """Where it is mounted."""
        self._device, self._host = device, host

    @classmethod
    @contextmanager
    def plugged_in(cls, directory: Path, size_bytes: int) -> Iterator[Disk]:
        """Have a disk while the block runs."""
        needs_mounts()
        with mounted(made(directory / "host.img", size_bytes * 2 + 64 * MIB), directory / "host") as host:
            device = made(host / "device.img", size_bytes)
            with mounted(device, directory / "disk") as root:
                yield cls(root, device, host)
        (directory / "host.img").unlink()

    def cut(self, copy: Path) -> None:
        """Copy what a power cut at this moment would leave."""
        run("fsfreeze", "--freeze", self._host)
        try:
            run("cp", "--sparse=always", self._device, copy)
        finally:
            run("fsfreeze", "--unfreeze", self._host)
