"""The work of a command on the bucket, which tells at its end what it did, whatever ended it."""

from collections.abc import Awaitable, Callable
from functools import partial
from typing import TypeVar

from zotpy.commands.shared import look_at_bucket
from zotpy.commands.stopping import stoppable

T = TypeVar("T")


def run_told(
    work: Callable[[], Awaitable[T]], tell: Callable[[T | None], object], fail: Callable[[str], None], next_step: str
) -> tuple[T | None, int]:
    """Run the work, and call `tell` with its result, or with `None` if the store failed or SIGTERM or Ctrl-C came.

    Return that, and the exit code of the signal, 0 without one. Before, `fail` is called with a sentence that says why
    there is no result; after a signal the sentence ends with `next_step`.
    """
    with stoppable() as stop:
        done = None
        try:
            done = look_at_bucket(partial(stop.run, work), fail)
            if stop.said:
                fail(f"it was stopped by {stop.said}: {next_step}")
        finally:
            tell(done)
        return done, stop.exit_code
