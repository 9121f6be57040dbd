"""One sync of the disk for all who wait, and never one that began before they wrote."""

from __future__ import annotations

import errno
import os
import threading
from typing import TYPE_CHECKING

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from zotpy.embedded.syncing import DiskSync, disk_sync

if TYPE_CHECKING:
    from pathlib import Path


class Disk:
    """A disk whose syncs take until they are let go; it notes what had been written when each began."""

    def __init__(self) -> None:
        self.written = 0
        self.began_with: list[int] = []
        self.go_on = threading.Semaphore(0)
        self.began = threading.Semaphore(0)
        self.error: OSError | None = None

    def sync(self, descriptor: int) -> None:
        """Sync."""
        del descriptor
        self.began_with.append(self.written)
        self.began.release()
        self.go_on.acquire()
        if self.error is not None:
            raise self.error


async def test_those_who_come_during_a_sync_share_the_next_one() -> None:
    """A hundred writes while one sync runs cost one more, which begins after all of them."""
    disk = Disk()
    sync = DiskSync(-1, disk.sync)
    done: list[int] = []

    async def write(number: int) -> None:
        disk.written += 1
        await sync.wait()
        done.append(number)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(write, 0)
        await trio.to_thread.run_sync(disk.began.acquire)
        for number in range(1, 101):
            nursery.start_soon(write, number)
        await wait_all_tasks_blocked()
        assert done == []
        disk.go_on.release()
        await trio.to_thread.run_sync(disk.began.acquire)
        assert done == [0]
        disk.go_on.release()
    assert sorted(done) == list(range(101))
    assert disk.began_with == [1, 101]


async def test_a_disk_that_failed_once_is_trusted_no_more() -> None:
    """The kernel tells of lost writes once: every later write fails, too, though its own sync might succeed."""
    disk = Disk()
    disk.error = OSError(errno.EIO, "Input/output error")
    sync = DiskSync(-1, disk.sync)
    disk.go_on.release(10)
    for _ in range(2):
        with pytest.raises(OSError, match="Input/output error"):
            await sync.wait()
        disk.error = None
    assert len(disk.began_with) == 1


async def test_a_real_file_system_is_synced(tmp_path: Path) -> None:
    """The system call succeeds on a directory, and fails on anything else."""
    with disk_sync(tmp_path) as sync:
        await sync.wait()
    reading, writing = os.pipe()
    os.close(reading)
    os.close(writing)
    with pytest.raises(OSError, match="Bad file descriptor"):
        await DiskSync(reading).wait()
