"""The embedded store on a real SeaweedFS: what is written stays, whichever process is killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING

import pytest
import trio

from tests.processes import has_ended
from zotpy.embedded import EmbeddedStore, EmbeddedStoreError, embedded_store
from zotpy.embedded.ports import Ports, choose_ports
from zotpy.s3.client import Request, open_client
from zotpy.s3.errors import S3Error

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Mapping
    from pathlib import Path

DEADLINE_S = 60.0
OBJECTS = {"data/small": b"small", "data/large": os.urandom(9 << 20), "entries/a!/blobs/sha256/0": b"{}"}
MORE = {"data/more": b"written after the kill"}
HOLDER = """
import sys, trio
from pathlib import Path
from zotpy.embedded import embedded_store
from zotpy.telemetry.logs import configure_logs

async def main():
    async with embedded_store(Path(sys.argv[1])) as store:
        print(store.endpoint, store.access_key, store.secret_key, flush=True)
        await trio.sleep_forever()

configure_logs("info", "json", "stderr")
trio.run(main)
"""


async def write(store: EmbeddedStore, objects: Mapping[str, bytes]) -> None:
    """Write the objects, the store checking what it receives."""
    async with open_client(store.config()) as client:
        for key, body in objects.items():
            await client.call(Request("PutObject", "PUT", key, body=body, checksum=True))


async def read(store: EmbeddedStore, objects: Mapping[str, bytes]) -> dict[str, bytes]:
    """Read the objects of these keys."""
    async with open_client(store.config()) as client:
        return {key: (await client.call(Request("GetObject", "GET", key, most_bytes=2**30))).body for key in objects}


def weed_pid(root: Path) -> int:
    """Return the process id of the server that runs on the directory."""
    return int((root / "weed.pid").read_text())


async def until_ended(pid: int) -> None:
    """Wait until a process that is not our child has ended."""
    with trio.fail_after(DEADLINE_S):
        while not has_ended(pid):  # noqa: ASYNC110 - nobody tells us
            await trio.sleep(0.05)


async def until_written(store: EmbeddedStore, objects: Mapping[str, bytes]) -> None:
    """Write as soon as the store takes writes."""
    with trio.fail_after(DEADLINE_S):
        while True:
            try:
                return await write(store, objects)
            except S3Error:
                await trio.sleep(0.1)


async def until_restarted(root: Path, killed: int) -> None:
    """Wait until another server runs on the directory than the one that was killed."""
    path = root / "weed.pid"
    with trio.fail_after(DEADLINE_S):
        while not path.exists() or path.read_text().strip() in {"", str(killed)}:  # noqa: ASYNC110 - nobody tells us
            await trio.sleep(0.05)


@asynccontextmanager
async def other_zotpy(root: Path) -> AsyncIterator[tuple[subprocess.Popen[str], EmbeddedStore]]:
    """Run an embedded store in a process of its own, which is killed afterwards."""
    command = [sys.executable, "-c", HOLDER, str(root)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)  # noqa: ASYNC220 - it outlives no thread
    try:
        with trio.fail_after(DEADLINE_S):
            assert process.stdout is not None
            words = await trio.to_thread.run_sync(process.stdout.readline)
        endpoint, access_key, secret_key = words.split()
        yield process, EmbeddedStore(endpoint, access_key, secret_key, root / "data")
    finally:
        process.kill()
        process.communicate()


@contextmanager
def sleeper(argument: str) -> Iterator[subprocess.Popen[bytes]]:
    """Run a process with this argument in its command line."""
    program = "import time; print(flush=True); time.sleep(600)"
    with subprocess.Popen([sys.executable, "-c", program, argument], stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None
            process.stdout.readline()  # only now its command line is its own
            yield process
        finally:
            process.kill()


async def test_everything_is_there_after_a_restart(tmp_path: Path) -> None:
    """What was written is read back by the next run on the directory, with the same keys at the same place."""
    async with embedded_store(tmp_path) as first:
        pid = weed_pid(tmp_path)
        await write(first, OBJECTS)
    assert has_ended(pid)
    async with embedded_store(tmp_path) as second:
        assert second == first
        assert await read(second, OBJECTS) == OBJECTS


async def test_everything_is_there_where_the_ports_have_changed(tmp_path: Path) -> None:
    """The data does not depend on the ports: the next run takes others where another program has taken one."""
    async with embedded_store(tmp_path) as first:
        await write(first, OBJECTS)
    (tmp_path / "ports.json").unlink()
    async with embedded_store(tmp_path) as second:
        assert second.endpoint != first.endpoint
        assert await read(second, OBJECTS) == OBJECTS


async def test_a_killed_server_comes_back_with_everything(tmp_path: Path) -> None:
    """After kill -9 of the server the same endpoint answers again, with what was written, and takes writes."""
    async with embedded_store(tmp_path) as store:
        await write(store, OBJECTS)
        pid = weed_pid(tmp_path)
        os.kill(pid, signal.SIGKILL)
        await until_restarted(tmp_path, pid)
        await until_written(store, MORE)
        assert await read(store, OBJECTS | MORE) == OBJECTS | MORE


async def test_a_killed_zotpy_leaves_no_server_and_loses_nothing(tmp_path: Path) -> None:
    """After kill -9 of the process that runs it, the server ends, and the next run has everything."""
    async with other_zotpy(tmp_path) as (process, store):
        await write(store, OBJECTS)
        pid = weed_pid(tmp_path)
        process.kill()
        await until_ended(pid)
    async with embedded_store(tmp_path) as again:
        assert await read(again, OBJECTS) == OBJECTS


async def test_a_server_left_over_is_ended_first(tmp_path: Path) -> None:
    """A server that outlived its zotpy is known by the directory in its command line, and ended."""
    with sleeper(f"-dir={tmp_path / 'data'}") as left_over:
        (tmp_path / "weed.pid").write_text(f"{left_over.pid}\n")
        async with embedded_store(tmp_path):
            assert has_ended(left_over.pid)


async def test_a_process_id_used_again_is_left_alone(tmp_path: Path) -> None:
    """A process that only has the process id of an earlier server goes on."""
    with sleeper(f"-dir={tmp_path / 'other'}") as stranger:
        (tmp_path / "weed.pid").write_text(f"{stranger.pid}\n")
        async with embedded_store(tmp_path):
            assert not has_ended(stranger.pid)


async def test_a_directory_has_one_user(tmp_path: Path) -> None:
    """A second zotpy on the same directory is told which process uses it."""
    async with other_zotpy(tmp_path) as (process, _):
        with pytest.raises(EmbeddedStoreError, match=rf"{tmp_path}.*in use by the process {process.pid}\b"):
            async with embedded_store(tmp_path):
                pass  # pragma: no cover


async def test_keys_are_private(tmp_path: Path) -> None:
    """Only the owner of the directory reads the keys."""
    async with embedded_store(tmp_path / "root"):
        assert (tmp_path / "root" / "keys.json").stat().st_mode & 0o077 == 0


async def test_an_error_in_the_block_comes_out_as_it_is(tmp_path: Path) -> None:
    """The block's own error is not wrapped in a group, and the server ends."""

    async def fail() -> None:
        async with embedded_store(tmp_path):
            pids.append(weed_pid(tmp_path))
            raise ZeroDivisionError

    pids: list[int] = []
    with pytest.raises(ZeroDivisionError):
        await fail()
    assert all(map(has_ended, pids))


def test_ports_are_kept_while_they_are_free(tmp_path: Path) -> None:
    """The same ports are chosen again, unless the file that remembers them is damaged."""
    path = tmp_path / "ports.json"
    first = choose_ports(path)
    assert choose_ports(path) == first
    for damaged in ('{"s3": "none"}', "[" * 100_000, "[]"):
        path.write_text(damaged)
        assert isinstance(choose_ports(path), Ports)
