"""Reading documents that clients wrote, beside the event loop if they are long: other requests go on meanwhile."""

from collections.abc import Callable
from typing import TypeVar

import trio

from zotpy.registry.settings import KIB

THREAD_LIMIT_BYTES = 32 * KIB
"""Less is read on the spot, which takes some milliseconds at worst."""
_T = TypeVar("_T")
_ONE_AT_A_TIME = trio.CapacityLimiter(1)
"""Threads take turns with the event loop: with several of them it would have its turn less often.

And what a document takes in memory when it was read, ten times its length at worst, is there once.
"""


async def read_apart(size_bytes: int, read: Callable[[], _T]) -> _T:
    """Return what `read` makes of a document of `size_bytes` bytes; raises what it raises."""
    if size_bytes < THREAD_LIMIT_BYTES:
        return read()
    return await trio.to_thread.run_sync(read, limiter=_ONE_AT_A_TIME)
