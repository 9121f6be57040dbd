"""Threads for work that may take long, and that must not take CPU time from requests."""

import os
import sys
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from typing import TypeVar

import trio

Result = TypeVar("Result")
NICENESS = 15
"""Of 19. Linux gives such a thread what other threads and processes leave, and a little more."""


class Background:
    """A few threads of low priority. trio's own threads are shared with other work, so they keep their priority."""

    def __init__(self, threads: int) -> None:
        self._executor = ThreadPoolExecutor(threads, "background", _step_back)

    async def run(self, work: Callable[[], Result]) -> Result:
        """Do the work in one of the threads, and wait for it. It cannot be cancelled, so its time must be bounded."""
        token, done = trio.lowlevel.current_trio_token(), trio.Event()

        def tell(_: Future[Result]) -> None:
            with suppress(trio.RunFinishedError):
                token.run_sync_soon(done.set)

        future = self._executor.submit(work)
        future.add_done_callback(tell)
        with trio.CancelScope(shield=True):
            await done.wait()
        return future.result()


def _step_back() -> None:
    """Lower the priority of this thread. Only Linux knows priorities of threads."""
    if sys.platform == "linux":
        with suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICENESS)
