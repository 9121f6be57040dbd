"""A clock that stands still beside real sockets: time passes when a test says so, however busy the machine is."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import trio
import trio.testing

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

STEP_S = 0.1
STILL_S = 0.01
"""How long, in real time, all tasks must have waited before a step: what the system hands on arrives first."""


async def let_pass(clock: trio.testing.MockClock, seconds: float) -> None:
    """Let this time pass in steps, each of them once all tasks wait."""
    for _ in range(round(seconds / STEP_S)):
        await trio.testing.wait_all_tasks_blocked(STILL_S)
        clock.jump(STEP_S)


@asynccontextmanager
async def passing(clock: trio.testing.MockClock) -> AsyncIterator[None]:
    """Let time pass in the block, in steps, each of them once all tasks wait."""

    async def go_on() -> None:
        while True:
            await let_pass(clock, STEP_S)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(go_on)
        yield
        nursery.cancel_scope.cancel()
