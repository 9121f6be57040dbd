"""The embedded store as the server sees it: it runs for as long as a block, and is started again if it dies."""

import os
import shutil
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import structlog
import trio

from zotpy.concurrency import plain_errors
from zotpy.embedded.directory import Directory, key_pair, locked
from zotpy.embedded.errors import EmbeddedStoreError
from zotpy.embedded.filer import sync_bytes_first
from zotpy.embedded.ports import choose_ports, ports_of_last_run
from zotpy.embedded.privacy import lock_services
from zotpy.embedded.weed import POLL_S, end_leftover, ended, find_weed, mend_after_power_cut, running
from zotpy.restarts import Restarts
from zotpy.s3.client import Request, S3Client, open_client
from zotpy.s3.config import S3Config
from zotpy.s3.errors import S3Error, S3Refused
from zotpy.s3.wire.retry import RetryPolicy

START_TIMEOUT_S = 120.0
START_ATTEMPTS = 5
LOG_LIMIT_BYTES = 64 * 1024 * 1024
LOG_CHECK_INTERVAL_S = 60.0
PROBE_KEY = "meta/probe-embedded"

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class EmbeddedStore:
    """How to reach the running store."""

    endpoint: str
    access_key: str
    secret_key: str = field(repr=False)
    disk: Path
    """The directory that holds all of its data."""
    bucket: str = "zotpy"
    region: str = "us-east-1"

    def config(self) -> S3Config:
        """Return how our client reaches it."""
        return S3Config(
            bucket=self.bucket,
            region=self.region,
            endpoint=self.endpoint,
            force_path_style=True,
            access_key=self.access_key,
            secret_key=self.secret_key,
        )


@asynccontextmanager
async def embedded_store(root_directory: Path) -> AsyncIterator[EmbeddedStore]:
    """Run SeaweedFS on the directory while the block runs. Raises `EmbeddedStoreError`. For the main thread only.

    The directory is locked. SeaweedFS ends with the block, and with zotpy however that ends.
    """
    with plain_errors(), locked(root_directory) as directory:
        log.info("store_starting", directory=str(directory.root))
        await end_leftover(directory)
        async with trio.open_nursery() as nursery:
            store = await nursery.start(_keep_running, directory)
            nursery.start_soon(_bound_log, directory)
            yield store
            nursery.cancel_scope.cancel()


def check_store(root_directory: Path) -> None:
    """Raise `EmbeddedStoreError` unless a store has run on the directory before. It creates nothing."""
    try:
        if Directory(root_directory.absolute()).keys.is_file():
            return
        why = "holds no store" if root_directory.exists() else "does not exist"
    except OSError as error:
        why = f"cannot be used: {error.strerror}"
    advice = "name the registry's directory with --root or storage.rootDirectory"
    msg = f"the data directory {root_directory} {why}: {advice}"
    raise EmbeddedStoreError(msg)


def running_elsewhere(root_directory: Path) -> EmbeddedStore:
    """Return how to reach the store that another process runs on the directory. Raises `EmbeddedStoreError`."""
    directory = Directory(root_directory.absolute())
    try:
        ports = ports_of_last_run(directory.ports)
    except (OSError, ValueError, TypeError) as error:
        msg = f"the store in {root_directory} is still starting, or was never started: try again"
        raise EmbeddedStoreError(msg) from error
    access_key, secret_key = key_pair(directory.keys)
    return EmbeddedStore(f"http://127.0.0.1:{ports.s3}", access_key, secret_key, directory.data)


async def _keep_running(directory: Directory, task_status: trio.TaskStatus[EmbeddedStore]) -> None:
    """Start SeaweedFS, report it once it accepts writes, and start it again on the same ports whenever it dies."""
    weed = find_weed()
    access_key, secret_key = key_pair(directory.keys)
    lock_services(directory)
    await trio.to_thread.run_sync(mend_after_power_cut, weed, directory)
    _empty(directory.log)
    for _ in range(START_ATTEMPTS):
        ports = choose_ports(directory.ports)
        store = EmbeddedStore(f"http://127.0.0.1:{ports.s3}", access_key, secret_key, directory.data)
        async with running(weed, directory, ports) as process:
            if await _takes_writes(process, store, directory):
                await sync_bytes_first(directory.filer_socket)
                task_status.started(store)
                await ended(process)
                break
        if "address already in use" not in directory.last_log_lines():  # another program was faster: other ports
            raise EmbeddedStoreError(_failure("SeaweedFS ended during its start", directory))
    else:
        raise EmbeddedStoreError(_failure("SeaweedFS found no free ports", directory))
    restarts, started = Restarts(), trio.current_time()
    while True:
        delay_s = restarts.delay_s(trio.current_time() - started)
        log.error("embedded store ended", status=process.returncode, restart_in_s=delay_s, log=str(directory.log))
        await trio.sleep(delay_s)
        started = trio.current_time()
        async with running(weed, directory, ports) as process:
            log.info("embedded store started again", pid=process.pid)
            await ended(process)


def _empty(log_file: Path) -> None:
    """Begin a log that only our user reads."""
    log_file.unlink(missing_ok=True)
    os.close(os.open(log_file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))


async def _bound_log(directory: Directory) -> None:
    """Keep the log from filling the disk: SeaweedFS writes a line for each delete."""
    while True:
        await trio.sleep(LOG_CHECK_INTERVAL_S)
        if directory.log.stat().st_size > LOG_LIMIT_BYTES:
            os.truncate(directory.log, 0)  # SeaweedFS appends, and so continues at the beginning


async def _takes_writes(process: subprocess.Popen[bytes], store: EmbeddedStore, directory: Directory) -> bool:
    """Wait until a write succeeds and the bucket exists; `False`: the process ended first.

    Raises `EmbeddedStoreError`.
    """
    config = replace(store.config(), deadline_s=START_TIMEOUT_S, retry=RetryPolicy(attempts=1))
    failure = "no answer"
    async with open_client(config) as client:
        with trio.move_on_after(START_TIMEOUT_S):
            while process.poll() is None:
                try:
                    await _write(client)
                except S3Error as error:
                    failure = str(error)
                    await trio.sleep(POLL_S)
                else:
                    return True
            return False
    raise EmbeddedStoreError(_failure(f"SeaweedFS took no write in {START_TIMEOUT_S:g} s ({failure})", directory))


async def _write(client: S3Client) -> None:
    try:
        await client.call(Request("CreateBucket", "PUT"))
    except S3Refused as error:
        if error.code not in {"BucketAlreadyOwnedByYou", "BucketAlreadyExists"}:
            raise
    await client.call(Request("PutObject", "PUT", PROBE_KEY, body=b"ready"))
    await client.call(Request("DeleteObject", "DELETE", PROBE_KEY))


def _failure(what: str, directory: Directory) -> str:
    free_mib = shutil.disk_usage(directory.root).free >> 20
    return f"{what}; {free_mib} MiB are free on its disk; its log, {directory.log}, ends:\n{directory.last_log_lines()}"
