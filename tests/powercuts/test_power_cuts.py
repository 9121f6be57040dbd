"""The embedded store after power cuts at random moments: what was acknowledged is there, the rest hinders nothing."""

from __future__ import annotations

import os
import random
import time
from contextlib import contextmanager
from threading import Event, Thread
from typing import TYPE_CHECKING

import pytest

from tests.integration.test_commands import Site
from tests.powercuts.disk import MIB, Disk, mounted
from tests.powercuts.pushing import Acknowledged, Pushing

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

CUTS = int(os.environ.get("ZOTPY_POWER_CUTS", "2"))
"""How many, with one process and with several each; 25 take ten minutes."""
CUTS_PER_DISK = 10
DISK_BYTES = 1536 * MIB
CLIENTS = 3
BETWEEN_S = (0.5, 3.0)
WRITTEN_BACK_S = 0.02


@contextmanager
def written_back_at_random(data: Path, seed: int) -> Iterator[None]:
    """Have the kernel bring to the disk now this file, now that, as it may in any order."""

    def write_back() -> None:
        source = random.Random(seed)
        while not enough.wait(WRITTEN_BACK_S):
            files = sorted(f"{place}/{name}" for place, _, names in os.walk(data) for name in names)
            try:
                descriptor = os.open(source.choice(files), os.O_RDONLY | os.O_NOFOLLOW)
            except OSError:  # gone meanwhile, or a socket
                continue
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)

    enough = Event()
    thread = Thread(target=write_back)
    thread.start()
    try:
        yield
    finally:
        enough.set()
        thread.join()


@contextmanager
def pushing(site: Site, may_push: Event) -> Iterator[list[Pushing]]:
    """Have clients that push while the block runs, and only while they may."""
    enough = Event()
    clients = [Pushing(site.url, f"client{number}") for number in range(CLIENTS)]
    threads = [Thread(target=client.run, args=(enough, may_push)) for client in clients]
    for thread in threads:
        thread.start()
    try:
        yield clients
    finally:
        enough.set()
        may_push.set()
        for thread in threads:
            thread.join()


@contextmanager
def started(root: Path, log: Path, workers: int = 1) -> Iterator[Site]:
    """Have a registry with its store in this directory."""
    site = Site(root, log, {"ZOTPY_HTTP_WORKERS": str(workers)})
    try:
        site.process.start(lambda: site.url != "")
        yield site
    finally:
        site.process.stop()


@pytest.mark.timeout(120 + 60 * CUTS)
@pytest.mark.parametrize("workers", [1, 2])
def test_power_cuts_lose_nothing_that_was_acknowledged(tmp_path: Path, workers: int) -> None:
    """After each cut the store starts, all that was acknowledged is there, and fsck goes through to its end."""
    for first in range(0, CUTS, CUTS_PER_DISK):
        may_push = Event()
        with (
            Disk.plugged_in(tmp_path, DISK_BYTES) as disk,
            started(disk.root / "zotpy", tmp_path / f"replica-{first}.log", workers) as site,
            pushing(site, may_push) as clients,
            written_back_at_random(disk.root, first),
        ):
            for number in range(first, min(first + CUTS_PER_DISK, CUTS)):
                may_push.set()
                time.sleep(random.Random(number).uniform(*BETWEEN_S))  # when the cut comes, not what it waits for
                acknowledged = Acknowledged.by(clients)
                copy = tmp_path / "copy.img"
                disk.cut(copy)
                may_push.clear()
                assert wrong_after(copy, tmp_path, number, acknowledged, clients) == []


def wrong_after(
    copy: Path, directory: Path, number: int, acknowledged: Acknowledged, clients: list[Pushing]
) -> list[str]:
    """Start a registry on what a cut has left, and return what is wrong with it."""
    later = Acknowledged.by(clients)
    with mounted(copy, directory / "after") as root, started(root / "zotpy", directory / f"after-{number}.log") as site:
        wrong = acknowledged.lost(site.url, later)
        checked = site.run("fsck", "--read", "all")
    copy.unlink()
    if "problems" not in checked.stdout:
        wrong.append(f"fsck was aborted: {checked.stderr}")
    return wrong
