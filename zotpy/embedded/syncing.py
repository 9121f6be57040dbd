"""Waiting until what was written is on the disk, so that a power cut cannot take it.

SeaweedFS answers a write when the kernel has it. A kill of the process then loses nothing, but a power cut loses up to
half a minute of pushes. Its own option to sync covers the volumes, but neither their indexes nor the filer's metadata.
So zotpy syncs the whole file system from outside (`syncfs`), which covers every file in it.

One sync serves all waiting requests: it covers all writes that returned before it began. Requests that come while it
runs share the next one. A busy registry syncs as often as its disk can, and no more.
"""

import ctypes
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import trio

Sync = Callable[[int], None]
"""Puts on the disk what was written to the file system of a descriptor. Raises `OSError`."""


def syncfs(descriptor: int) -> None:
    """Sync one file system (Linux), otherwise all. A kernel before 5.8 reports no errors. Raises `OSError`."""
    if sys.platform != "linux":
        os.sync()
        return
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.syncfs(descriptor) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


class DiskSync:
    """Syncs the file system of one directory, one sync at a time, for all who wait."""

    def __init__(self, descriptor: int, sync: Sync = syncfs) -> None:
        """`descriptor`: the open directory. It stays open: the kernel reports an error once to each open file."""
        self._descriptor = descriptor
        self._sync = sync
        self._lock = trio.Lock()
        self._asked = 0
        self._covered = 0
        self._failure: OSError | None = None

    async def wait(self) -> None:
        """Return when everything that was written before this call is on the disk. Raises `OSError`.

        Once the disk has failed, every call fails. The kernel drops what it could not write, and tells it only once, so
        nobody can know any more what is on the disk.
        """
        self._asked += 1
        mine = self._asked
        async with self._lock:
            if self._failure is not None:
                raise OSError(self._failure.errno, self._failure.strerror)
            if self._covered >= mine:
                return
            covers = self._asked
            try:
                await trio.to_thread.run_sync(self._sync, self._descriptor)
            except OSError as error:
                self._failure = error
                raise
            self._covered = covers


@contextmanager
def disk_sync(directory: Path) -> Iterator[DiskSync]:
    """Sync the file system of a directory for as long as the block runs. Raises `OSError`."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield DiskSync(descriptor)
    finally:
        os.close(descriptor)
