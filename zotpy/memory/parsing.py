"""Reading documents that clients wrote. Long ones are read beside the event loop, so that other requests go on."""

from collections.abc import Callable
from typing import TypeVar

import trio

from zotpy.core.errors import RegistryError
from zotpy.core.units import KIB

THREAD_LIMIT_BYTES = 32 * KIB
"""Shorter ones are read on the spot, which takes some milliseconds at worst."""
_T = TypeVar("_T")
_ONE_AT_A_TIME = trio.CapacityLimiter(1)
"""Threads take turns with the event loop: with several of them it would get its turn less often.

One at a time also bounds memory: a document takes up to ten times its length when it was read.
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
    """Return a result, or a refusal without the frames that it came through: they hold the document."""
    try:
        return [read()], None
    except RegistryError as error:
        error.__context__ = error.__cause__ = None
        return [], error.with_traceback(None)
