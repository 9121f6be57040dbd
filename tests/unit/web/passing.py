"""Time on a mock clock, for replicas on real sockets: it passes whenever all tasks wait, on a slow machine as well."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import trio
from trio.testing import wait_all_tasks_blocked

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from trio.testing import MockClock


@asynccontextmanager
async def passing_time(clock: MockClock, step_s: float) -> AsyncIterator[None]:
    """Let time pass in such steps until the block ends."""

    async def pass_time() -> None:
        while True:
            await wait_all_tasks_blocked()
            clock.jump(step_s)

    async with trio.open_nursery() as passing:
        passing.start_soon(pass_time)
        yield
        passing.cancel_scope.cancel()
