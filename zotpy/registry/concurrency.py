"""Doing several things at once, and failing as if they had been done one by one."""

from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from types import TracebackType
from typing import TypeVar

import structlog
import trio

from zotpy.core.errors import Unavailable
from zotpy.store.interface import StoreError

CLEANUP_S = 20.0
"""How long cleaning up after a failure may take before it is left to the collector."""

log = structlog.get_logger()
T = TypeVar("T")


def first_cause(error: BaseException) -> BaseException:
    """Return the one exception that says why a nursery failed: nurseries wrap even a single one in a group.

    Cancellation is nobody's cause as long as there is another.
    """
    while isinstance(error, BaseExceptionGroup):
        causes = [e for e in error.exceptions if not isinstance(e, trio.Cancelled)]
        error = causes[0] if causes else error.exceptions[0]
    return error


class _PlainErrors:
    """No generator: its frame, in the traceback, would hold the group, which has the cause, whose frames hold bytes."""

    def __enter__(self) -> None:
        pass

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if not isinstance(error, BaseExceptionGroup):
            return
        cause = first_cause(error)
        if isinstance(cause, trio.Cancelled):
            return
        try:
            raise cause from cause.__cause__
        finally:
            cause.__context__ = None
            del cause, error, traceback


def plain_errors() -> AbstractContextManager[None]:
    """Raise the one cause instead of the group that a nursery inside makes of it."""
    return _PlainErrors()


async def gather(*calls: Callable[[], Awaitable[T]], limit: int = 64) -> Sequence[T]:
    """Run the calls at once, at most `limit` at a time; return their results in order. The first failure ends all."""
    if len(calls) <= 1:
        return [await call() for call in calls]
    results: dict[int, T] = {}
    slots = trio.CapacityLimiter(limit) if len(calls) > limit else nullcontext()

    async def run(index: int, call: Callable[[], Awaitable[T]]) -> None:
        async with slots:
            results[index] = await call()

    with plain_errors():
        async with trio.open_nursery() as nursery:
            for index, call in enumerate(calls):
                nursery.start_soon(run, index, call)
    return [results[index] for index in range(len(calls))]


async def beside(main: Callable[[], Awaitable[T]], *others: Callable[[], Awaitable[object]]) -> T:
    """Run all calls at once and return the result of the first; any failure ends all."""
    results: list[T] = []

    async def run_main() -> None:
        results.append(await main())

    await gather(run_main, *others)
    return results[0]


@contextmanager
def within_deadline(deadline_s: float, *, shield: bool = False) -> Iterator[None]:
    """Give up what relies on a reference read at the beginning, before the collector may count it as gone."""
    try:
        with trio.fail_after(deadline_s, shield=shield):
            yield
    except trio.TooSlowError as error:
        msg = "the store was too slow to answer within the deadline: try again"
        raise Unavailable(msg) from error


@contextmanager
def cleaning_up() -> Iterator[None]:
    """Clean up, shielded and bounded in time. What the store does not do is the collector's, and hides no error."""
    try:
        with trio.move_on_after(CLEANUP_S, shield=True):
            yield
    except StoreError as error:
        log.warning("not_cleaned_up", reason=str(error))
