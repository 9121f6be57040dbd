"""Reading documents that clients wrote, beside the event loop if they are long: other requests go on meanwhile."""

from collections.abc import Callable
from typing import TypeVar

import trio

from zotpy.core.errors import RegistryError
from zotpy.core.units import KIB

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
    found, error = await trio.to_thread.run_sync(_outcome, read, limiter=_ONE_AT_A_TIME)
    if error is not None:
        try:
            raise error
        finally:
            del (
                error,
                read,
            )  # this frame is in the error's traceback: it would hold the error, and the document, for ever
    [result] = found
    return result


def _outcome(read: Callable[[], _T]) -> tuple[list[_T], RegistryError | None]:
    """Return a result, or the refusal of a document without the frames that it came through: they hold the document."""
    try:
        return [read()], None
    except RegistryError as error:
        error.__context__ = error.__cause__ = None
        return [], error.with_traceback(None)
