"""The embedded store as the server sees it: running for as long as a block, and back when it dies."""

import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import structlog
import trio

from zotpy.embedded.directory import Directory, key_pair, locked
from zotpy.embedded.errors import EmbeddedStoreError
from zotpy.embedded.ports import Ports, choose_ports
from zotpy.embedded.weed import POLL_S, end, end_leftover, find_weed, launch
from zotpy.registry.concurrency import plain_errors
from zotpy.s3.client import Request, S3Client, open_client
from zotpy.s3.config import S3Config
from zotpy.s3.errors import S3Error
from zotpy.s3.wire.retry import RetryPolicy

START_TIMEOUT_S = 60.0
START_ATTEMPTS = 5
FIRST_RESTART_DELAY_S = 0.2
LONGEST_RESTART_DELAY_S = 10.0
CALM_S = 60.0
"""After this long without an end, the next end is the first again."""
LOG_LIMIT_BYTES = 64 * 1024 * 1024
OWNED = frozenset({"BucketAlreadyOwnedByYou", "BucketAlreadyExists"})

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class EmbeddedStore:
    """How to reach the store that runs."""

    endpoint: str
    access_key: str
    secret_key: str = field(repr=False)
    bucket: str = "zotpy"
    region: str = "us-east-1"


@asynccontextmanager
async def embedded_store(root_directory: Path) -> AsyncIterator[EmbeddedStore]:
    """Run SeaweedFS on the directory while the block runs. Raises `EmbeddedStoreError`. For the main thread only.

    Resource handling: the directory is locked, the process ends with the block, and with this process however that ends.
    """
    with plain_errors(), locked(root_directory) as directory:
        await end_leftover(directory)
        async with trio.open_nursery() as nursery:
            yield await nursery.start(_keep_running, directory)
            nursery.cancel_scope.cancel()


async def _keep_running(directory: Directory, task_status: trio.TaskStatus[EmbeddedStore]) -> None:
    """Start SeaweedFS, report it once it takes writes, and start it again on the same ports whenever it dies."""
    weed = find_weed()
    directory.log.write_bytes(b"")
    process, ports, store = await _start(weed, directory)
    delay_s = FIRST_RESTART_DELAY_S
    try:
        task_status.started(store)
        while True:
            since = trio.current_time()
            await _ended(process, directory)
            if trio.current_time() - since > CALM_S:
                delay_s = FIRST_RESTART_DELAY_S
            log.error("embedded store ended", status=process.returncode, restart_in_s=delay_s, log=str(directory.log))
            await trio.sleep(delay_s)
            delay_s = min(2 * delay_s, LONGEST_RESTART_DELAY_S)
            process = launch(weed, directory, ports)
            log.info("embedded store started again", pid=process.pid)
    finally:
        with trio.CancelScope(shield=True):  # `end` is bounded
            await end(process)


async def _start(weed: Path, directory: Directory) -> tuple[subprocess.Popen[bytes], Ports, EmbeddedStore]:
    """Start SeaweedFS and wait until it takes writes; with other ports where another program was faster."""
    access_key, secret_key = key_pair(directory.keys)
    for _ in range(START_ATTEMPTS):
        ports = choose_ports(directory.ports)
        store = EmbeddedStore(f"http://127.0.0.1:{ports.s3}", access_key, secret_key)
        process = launch(weed, directory, ports)
        try:
            await _takes_writes(process, store)
        except BaseException as error:
            with trio.CancelScope(shield=True):
                await end(process)
            if not isinstance(error, _EndedEarlyError):
                raise
        else:
            return process, ports, store
    raise AssertionError


async def _ended(process: subprocess.Popen[bytes], directory: Directory) -> None:
    """Wait for the end, and keep the log from filling the disk meanwhile."""
    while process.poll() is None:
        await trio.sleep(POLL_S)
