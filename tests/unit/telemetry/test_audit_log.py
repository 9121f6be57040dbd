"""The audit log's file: lines are whole, no request waits for the disk, and what is lost is counted and said."""

from __future__ import annotations

import json
import os
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest
import trio

from zotpy.bell import Bell
from zotpy.telemetry.audit_log import AuditLog

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

MEMORY_BYTES = 64 * 1024
REFUSED = {"decision": "refused", "path": "x" * 1000}
ALLOWED = {"decision": "allowed", "path": "x" * 1000}


class Lost(Counter[str]):
    """How many lines were lost, by reason."""

    def note(self, reason: str, lines: int) -> None:
        """Count some."""
        self[reason] += lines


def entries(file: Path) -> list[dict[str, Any]]:
    """Read a file of lines."""
    return [json.loads(line) for line in file.read_text().splitlines()]


async def until_written(audit: AuditLog) -> None:
    """Wait until nothing is held any more."""
    with trio.fail_after(60):
        while audit._held_bytes:  # on a busy machine it may give up before
            await audit.write_last()


async def test_a_value_never_looks_like_a_line(tmp_path: Path, nursery: trio.Nursery) -> None:
    """Whatever a client or an issuer puts into a name, each entry stays one line, and says what it said."""
    audit = AuditLog(str(tmp_path / "audit"), MEMORY_BYTES, Lost().note)
    nursery.start_soon(audit.keep_written, Bell())
    noted = [{"user": text} for text in ('a"}\n{"user": "root"}', "\r\n\x00\x1b[2J", "\u2028\u2029\x85", "ä\udc80")]
    for entry in noted:
        audit.note(entry)
    await until_written(audit)
    assert (tmp_path / "audit").read_bytes().count(b"\n") == len(noted)
    assert (tmp_path / "audit").read_bytes().isascii()
    assert entries(tmp_path / "audit") == noted


@pytest.fixture
def pipe(tmp_path: Path) -> Iterator[tuple[str, int]]:
    """Return the path of a pipe that holds some lines and then hangs, and a descriptor that could read it."""
    path = str(tmp_path / "pipe")
    os.mkfifo(path)
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    yield path, reader
    os.close(reader)


async def read_lines(reader: int, until: str) -> list[dict[str, Any]]:
    """Read what a pipe gives until an event of this name has come."""
    received = b""
    with trio.fail_after(60):
        while f'"event": "{until}"'.encode() not in received or not received.endswith(b"\n"):
            await trio.lowlevel.wait_readable(reader)
            received += os.read(reader, 1 << 20)
    return [json.loads(line) for line in received.splitlines()]


async def test_a_disk_that_hangs_holds_nobody_up(pipe: tuple[str, int], nursery: trio.Nursery) -> None:
    """Lines beyond the memory are lost and counted, and the log says how many as soon as it is written again."""
    path, reader = pipe
    lost = Lost()
    audit = AuditLog(path, MEMORY_BYTES, lost.note)
    nursery.start_soon(audit.keep_written, Bell())
    for number in range(1000):
        audit.note(ALLOWED | {"number": number})
    assert 0 < lost["full"] < 1000
    kept = 1000 - lost["full"]
    assert kept * 1000 < MEMORY_BYTES
    await read_lines_of(reader, kept)
    await until_written(audit)
    audit.note({"event": "next"})
    rest = await read_lines(reader, "next")
    assert [entry["event"] for entry in rest] == ["lost", "next"]
    assert rest[0]["lines"] == lost["full"]


async def read_lines_of(reader: int, count: int) -> None:
    """Read so many lines of a pipe, which come in order."""
    received = b""
    with trio.fail_after(60):
        while received.count(b"\n") < count:
            await trio.lowlevel.wait_readable(reader)
            received += os.read(reader, 1 << 20)
    assert [json.loads(line)["number"] for line in received.splitlines()] == list(range(count))


async def test_guesses_leave_room_for_what_users_do(tmp_path: Path) -> None:
    """Refusals take half of the memory at most: they cost their callers nothing."""
    lost = Lost()
    audit = AuditLog(str(tmp_path / "audit"), MEMORY_BYTES, lost.note)
    for _ in range(1000):
        audit.note(REFUSED)
    refused = 1000 - lost["full"]
    for _ in range(1000):
        audit.note(ALLOWED)
    allowed = 2000 - lost["full"] - refused
    assert refused == pytest.approx(allowed, abs=1)


async def test_a_disk_that_is_full_is_told(nursery: trio.Nursery) -> None:
    """Lines that cannot be written are counted, and the replica goes on."""
    lost = Lost()
    audit = AuditLog("/dev/full", MEMORY_BYTES, lost.note)
    nursery.start_soon(audit.keep_written, Bell())
    for _ in range(3):
        audit.note(ALLOWED)
    await until_written(audit)
    assert lost == {"failed": 3}
    audit.note(ALLOWED)
    await until_written(audit)
    assert lost == {"failed": 4}


async def test_the_file_is_opened_again(tmp_path: Path, nursery: trio.Nursery) -> None:
    """After the bell a new file gets the lines, and the one that was moved away has all those before."""
    file, bell = tmp_path / "audit", Bell()
    audit = AuditLog(str(file), MEMORY_BYTES, Lost().note)
    nursery.start_soon(audit.keep_written, bell)
    await trio.testing.wait_all_tasks_blocked()
    audit.note({"number": 1})
    await until_written(audit)
    file.rename(tmp_path / "audit.1")
    audit.note({"number": 2})
    await until_written(audit)
    bell.ring()
    with trio.fail_after(60):
        while not file.exists():
            await trio.testing.wait_all_tasks_blocked()
    audit.note({"number": 3})
    await until_written(audit)
    assert entries(tmp_path / "audit.1") == [{"number": 1}, {"number": 2}]
    assert entries(file) == [{"number": 3}]
    assert file.stat().st_mode & 0o007 == 0


async def test_a_file_that_cannot_be_opened_again_is_kept(tmp_path: Path, nursery: trio.Nursery) -> None:
    """The lines go on to where they went."""
    directory, bell = tmp_path / "logs", Bell()
    directory.mkdir()
    audit = AuditLog(str(directory / "audit"), MEMORY_BYTES, Lost().note)
    nursery.start_soon(audit.keep_written, bell)
    await trio.testing.wait_all_tasks_blocked()
    directory.rename(tmp_path / "moved")
    bell.ring()
    await trio.testing.wait_all_tasks_blocked()
    audit.note({"number": 1})
    await until_written(audit)
    assert entries(tmp_path / "moved" / "audit") == [{"number": 1}]


def test_a_pipe_that_nobody_reads_is_an_error(tmp_path: Path) -> None:
    """Otherwise the start would wait for a reader for ever."""
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(OSError, match="No such device"):
        AuditLog(str(tmp_path / "pipe"), MEMORY_BYTES, Lost().note)
