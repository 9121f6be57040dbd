"""A worker as its supervisor sees it: a process, and the link to it."""

import json
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import trio

from zotpy.listening import STOP_SIGNALS
from zotpy.workers.orders import BEAT, STOP, Lines, Order, Reload, Report

_START = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[2]);"
    " from zotpy.garbage import collect_late; collect_late();"
    " from zotpy.workers.worker import main; main(int(sys.argv[1]))"
)
"""A worker imports what we import, from the same places, whatever its current directory contains."""
TELL_WHERE = signal.SIGQUIT
"""A worker writes the stack of each thread to its standard error at this signal."""
TELLING_S = 1.0
SAYING_S = 10.0
_RECEIVE_BYTES = 64 * 1024


class Worker:
    """A worker that was started."""

    def __init__(self, process: subprocess.Popen[bytes], link: trio.SocketStream) -> None:
        self._process = process
        self._link = link
        self._lines = Lines(self._receive)
        self._saying = trio.Lock()
        self.beats = 0
        """How many beats its event loop has sent. They are counted while `report` or `ended` wait."""

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    async def order(self, order: Order) -> None:
        """Send it the order. It may be dead already."""
        with suppress(trio.BrokenResourceError):
            await self._link.send_all(order.encode())

    async def report(self) -> Report:
        """Wait until it listens, has failed, or has died, which is an empty report."""
        async for line in self._lines:
            if line != BEAT:
                return Report.decode(line)
            self.beats += 1
        return Report()

    async def stop(self) -> None:
        """Tell it to drain, or to give up its start, and end."""
        await self._say(STOP)

    async def reload(self, reload: Reload) -> bool:
        """Tell it what holds from now on. Return whether it was told, or is dead."""
        return await self._say(reload.encode())

    async def ended(self) -> int:
        """Wait for its end and return its exit code, or the signal that killed it as a negative number.

        Call `report` before.
        """
        async for _ in self._lines:
            self.beats += 1
        return await trio.to_thread.run_sync(self._process.wait, abandon_on_cancel=True)

    async def end_hung(self) -> None:
        """Let it write where it hangs, if it still can, and kill it."""
        self._process.send_signal(TELL_WHERE)
        await trio.sleep(TELLING_S)
        self._process.kill()

    async def _say(self, line: bytes) -> bool:
        """Send a line. The worker may be dead, or may not read any more, which is `False`."""
        with suppress(trio.BrokenResourceError), trio.move_on_after(SAYING_S) as saying:
            async with self._saying:
                await self._link.send_all(line + b"\n")
        return not saying.cancelled_caught

    async def _receive(self) -> bytes:
        try:
            return await self._link.receive_some(_RECEIVE_BYTES)
        except trio.BrokenResourceError:  # it died with something unread
            return b""


@asynccontextmanager
async def running(order: Order) -> AsyncIterator[Worker]:
    """Start a worker and give it its order; kill it after the block if it still runs. Raises `OSError`."""
    ours, theirs = socket.socketpair()
    with ours:
        with theirs:
            process = _launch(theirs.fileno(), order.listener)
        try:
            link = trio.SocketStream(trio.socket.from_stdlib_socket(ours))
            worker = Worker(process, link)
            await worker.order(order)
            yield worker
        finally:
            process.kill()
            process.wait()


def _launch(link: int, listener: int) -> subprocess.Popen[bytes]:
    """Start a process in which signals wait until it can handle them: Ctrl-C reaches it, too."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, (*STOP_SIGNALS, signal.SIGHUP))
    try:
        return subprocess.Popen(  # noqa: S603 - our own program
            [sys.executable, "-P", "-c", _START, str(link), json.dumps(sys.path)],
            stdin=subprocess.DEVNULL,
            pass_fds=(link, listener),
        )
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
