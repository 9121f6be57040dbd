"""The audit log: one JSON object a line, in a file that only grows.

No request waits for the disk. A thread writes, and what it has not written yet is held in memory, up to a bound. Beyond
the bound lines are lost: that is counted, logged once, and said in the audit log as soon as it can be written again.
Refusals may take half of the memory, so that guesses, which cost nothing, do not crowd out what users do.

JSON escapes line ends and all other control characters, so no value can look like a line.
"""

import json
import os
import stat
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Self

import structlog
import trio

from zotpy.bell import Bell

LONGEST_FINISH_S = 5.0
"""How long the end of the process waits for lines that are not written yet."""
_STREAMS = {"stdout": 1, "stderr": 2}
_FULL, _FAILED = "full", "failed"

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class _Line:
    """A line that is to be written."""

    text: bytes
    lost: int = 0
    """How many lines it says are missing before it; 0: it is an entry."""

    @classmethod
    def of(cls, entry: Mapping[str, object], lost: int = 0) -> Self:
        """Write an entry."""
        return cls(json.dumps(entry).encode() + b"\n", lost)

    @classmethod
    def of_gap(cls, lost: int) -> Self:
        """Write what says that lines are missing."""
        now = datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
        return cls.of({"time": now, "event": "lost", "lines": lost}, lost)


class AuditLog:
    """Takes entries and writes them, in their order."""

    def __init__(self, output: str, memory_bytes: int, on_lost: Callable[[str, int], None]) -> None:
        """Open `output`, which is `stdout`, `stderr` or the path of a file. Raises `OSError`.

        `on_lost` is called with the reason, and with the number of lines.
        """
        self.output = output
        self._descriptor = _open(output)
        self._memory_bytes = memory_bytes
        self._on_lost = on_lost
        self._lines: list[_Line] = []
        self._held_bytes = 0
        self._lost_lines = 0
        """Since the last line that says so."""
        self._is_losing = False
        self._is_cut = False
        """Whether the file ends in the middle of a line, because the disk took no more of it."""
        self._wake, self._idle = trio.Event(), trio.Event()
        self._limiter = trio.CapacityLimiter(1)
        """A thread of its own: if the disk hangs, no other work waits for it."""

    def note(self, entry: Mapping[str, object]) -> None:
        """Take an entry. This never blocks."""
        line = _Line.of(entry)
        share = 2 if entry.get("decision") == "refused" else 1
        if self._held_bytes + len(line.text) > self._memory_bytes // share:
            self._lose(1, _FULL, "log.auditMemory is full")
            return
        if self._lost_lines:
            self._hold(_Line.of_gap(self._lost_lines))
            self._lost_lines = 0
        self._hold(line)
        self._wake.set()

    def _hold(self, line: "_Line") -> None:
        self._lines.append(line)
        self._held_bytes += len(line.text)

    async def keep_written(self, bell: Bell) -> None:
        """Write until cancelled. When the bell is rung, open the file again, which may have been moved away."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._keep_open, bell)
            while True:
                await self._wake.wait()
                self._wake = trio.Event()
                await self._write()

    async def write_last(self) -> None:
        """Wait until everything is written, but not for long: a disk that hangs must not hold the end of a process."""
        with trio.move_on_after(LONGEST_FINISH_S):
            while self._held_bytes:
                self._idle = trio.Event()
                await self._idle.wait()

    async def _keep_open(self, bell: Bell) -> None:
        while True:
            await bell.rung()
            if self.output in _STREAMS:
                continue
            try:
                opened = await trio.to_thread.run_sync(
                    _open, self.output, limiter=self._limiter, abandon_on_cancel=True
                )
            except OSError as error:
                log.error("audit_not_reopened", file=self.output, reason=error.strerror)  # noqa: TRY400 - a matter of the file
            else:
                before, self._descriptor = self._descriptor, opened
                await trio.to_thread.run_sync(os.close, before, limiter=self._limiter)  # after what is being written

    async def _write(self) -> None:
        lines, self._lines = self._lines, []
        texts = [line.text for line in lines]
        try:
            await trio.to_thread.run_sync(self._put, texts, limiter=self._limiter, abandon_on_cancel=True)
            self._is_losing = self._is_losing and bool(self._lines)
        except OSError as error:
            self._lost_lines += sum(line.lost for line in lines)  # they were counted, and are not said yet
            self._lose(sum(not line.lost for line in lines), _FAILED, error.strerror or str(error))
        finally:
            self._held_bytes -= sum(map(len, texts))
            self._idle.set()

    def _put(self, lines: list[bytes]) -> None:
        """Write lines, in a thread. A line of a pipe goes alone, so that those of others do not get into it."""
        descriptor = self._descriptor
        is_file = stat.S_ISREG(os.fstat(descriptor).st_mode)
        whole = [b"\n", *lines] if self._is_cut else lines
        for chunk in [b"".join(whole)] if is_file else whole:
            rest = memoryview(chunk)
            while rest:
                written = os.write(descriptor, rest)
                self._is_cut = rest[written - 1] != ord("\n")
                rest = rest[written:]

    def _lose(self, lines: int, reason: str, why: str) -> None:
        if not self._is_losing:
            self._is_losing = True
            log.error("audit_lines_lost", reason=why, file=self.output)
        self._lost_lines += lines
        self._on_lost(reason, lines)


def _open(output: str) -> int:
    """Return a descriptor to append to. A pipe that nobody reads is an error, not a wait. Raises `OSError`."""
    if output in _STREAMS:
        return os.dup(_STREAMS[output])
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOCTTY | os.O_NONBLOCK
    descriptor = os.open(output, flags, 0o640)
    os.set_blocking(descriptor, True)
    return descriptor
