"""Threads of low priority."""

from __future__ import annotations

import os
import sys
import threading

import pytest
import trio

from zotpy.auth.background import NICENESS, Background


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux knows priorities of threads")
async def test_the_work_leaves_the_cpu_to_requests() -> None:
    """Its threads have a lower priority, and all others of the process keep theirs."""
    before = os.getpriority(os.PRIO_PROCESS, 0)

    def priority() -> int:
        return os.getpriority(os.PRIO_PROCESS, threading.get_native_id())

    assert await Background(1).run(priority) == NICENESS
    assert await trio.to_thread.run_sync(priority) == before
    assert os.getpriority(os.PRIO_PROCESS, 0) == before


async def test_what_the_work_raises_reaches_the_caller() -> None:
    """The thread then goes on with the next work."""
    background = Background(1)
    with pytest.raises(ZeroDivisionError):
        await background.run(lambda: 1 // 0)
    assert await background.run(lambda: 1) == 1


async def test_a_caller_that_is_cancelled_waits_for_the_work() -> None:
    """So no more work is under way than callers wait for."""
    ended = threading.Event()
    with trio.CancelScope() as scope:
        scope.cancel()
        await Background(1).run(ended.set)
    assert ended.is_set()
