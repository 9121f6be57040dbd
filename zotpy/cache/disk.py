"""Threads that wait for the disk of the cache."""

from collections.abc import Callable
from typing import TypeVar

import trio

T = TypeVar("T")
DISK = trio.CapacityLimiter(4)
"""Those that hash are others."""


async def on_disk(run: Callable[[], T]) -> T:
    """Run what waits for the disk in a thread."""
    return await trio.to_thread.run_sync(run, limiter=DISK)
