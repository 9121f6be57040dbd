"""Doing several things at once, and failing as if they had been done one by one."""

import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from types import TracebackType
from typing import Generic, Self, TypeVar

import structlog
import trio

from zotpy.core.errors import RegistryError, TryAgain
from zotpy.core.framing import FramingError
from zotpy.store.holds import impatient
from zotpy.store.interface import StoreError

CLEANUP_S = 20.0
"""How long cleaning up after a failure may take before it is left to the collector."""
TURN_S = 0.01
"""How long one task computes before others get a turn."""
MANY = 1000
"""How many items a function may look at that gives others no turn."""
clock = time.perf_counter
"""Tells how long that has taken; a test replaces it."""
_OF_CONTENT_OR_STORE = (RegistryError, StoreError, FramingError, trio.TooSlowError)
_OF_SYSTEM = (OSError, MemoryError, trio.BrokenResourceError, trio.ClosedResourceError)
_NO_THREAD = "can't start new thread"
"""What Python says if the system gives it no further thread; its error has no class of its own."""
MOST_TRACEBACKS, MOST_TEXTS = 3, 10
"""How much one failure may write to the log about other failures beside it."""

log = structlog.get_logger()
T = TypeVar("T")
R = TypeVar("R")


def is_foreseen(error: BaseException) -> bool:
    """Say whether a client, the store or the system may cause this error at any time."""
    return isinstance(error, _OF_CONTENT_OR_STORE) or is_of_system(error)


def is_of_system(error: BaseException) -> bool:
    """Say whether the system has refused something, or has ended a connection: no fault of the program."""
    return isinstance(error, _OF_SYSTEM) or (isinstance(error, RuntimeError) and str(error) == _NO_THREAD)


def first_cause(error: BaseException) -> BaseException:
    """Return the one exception that says why a nursery failed: nurseries wrap even a single one in a group.

    An unforeseen error comes before errors that a store or a client may cause at any time: it is a fault of ours, and
    the other may be its consequence. Of several alike the first counts. Cancellation is the cause only if nothing else
    is.
    """
    return min(leaves(error), key=_rank)


def leaves(error: BaseException) -> Iterator[BaseException]:
    """Yield the exceptions in a group, and in groups inside it, or the one that is not a group."""
    if isinstance(error, BaseExceptionGroup):
        for inner in error.exceptions:
            yield from leaves(inner)
    else:
        yield error


def _rank(error: BaseException) -> int:
    if isinstance(error, trio.Cancelled):
        return 3
    if is_foreseen(error):
        return 2
    return 1 if isinstance(error, Exception) else 0  # Ctrl-C and its like come before all


def log_others(error: BaseException, cause: BaseException) -> None:
    """Log what a group holds beside its cause, which is raised or answered alone. Cancellations are not logged.

    An unforeseen error is logged with its traceback.
    """
    others = [other for other in leaves(error) if other is not cause and not isinstance(other, trio.Cancelled)]
    try:
        for other in [other for other in others if not is_foreseen(other)][:MOST_TRACEBACKS]:
            log.error("also_failed", beside=type(cause).__name__, exc_info=other)
        foreseen = Counter(f"{type(other).__name__}: {other}" for other in others if is_foreseen(other))
        if foreseen:
            what = [f"{count} times {text}" if count > 1 else text for text, count in foreseen.most_common(MOST_TEXTS)]
            more = len(foreseen) - len(what)
            clients = all(isinstance(other, RegistryError) for other in others)
            say = log.debug if clients else log.warning
            say("also_failed", beside=type(cause).__name__, errors=what, **({"more": more} if more else {}))
    finally:
        del others, error, cause  # their frames hold bytes, and this one is in a traceback that outlives the request


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
        log_others(error, cause)
        try:
            raise cause from cause.__cause__
        finally:
            cause.__context__ = None
            del cause, error, traceback


def plain_errors() -> AbstractContextManager[None]:
    """Raise the one cause instead of the group that a nursery inside makes of it. Other failures are logged."""
    return _PlainErrors()


async def gather(*calls: Callable[[], Awaitable[T]], limit: int = 64) -> Sequence[T]:
    """Run the calls at once, at most `limit` at a time. Return their results in order. The first failure ends all.

    It starts no more tasks than `limit`, however long a list a client has sent.
    """
    if len(calls) <= 1:
        return [await call() for call in calls]
    results: dict[int, T] = {}
    waiting = enumerate(calls)

    async def work() -> None:
        for index, call in waiting:
            results[index] = await call()

    with plain_errors():
        async with trio.open_nursery() as nursery:
            for _ in range(min(limit, len(calls))):
                nursery.start_soon(work)
    return [results[index] for index in range(len(calls))]


class taking_turns(Generic[T]):  # noqa: N801 - used like a function; a generator left half way would wait for its end
    """Iterates over items. Between two of them others get a turn if those before have taken `TURN_S`."""

    __slots__ = ("_began_s", "_items")

    def __init__(self, items: Iterable[T]) -> None:
        self._items = iter(items)
        self._began_s = clock()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> T:
        if clock() - self._began_s > TURN_S:
            await trio.lowlevel.checkpoint()
            self._began_s = clock()
        try:
            return next(self._items)
        except StopIteration:
            raise StopAsyncIteration from None


async def in_turns(items: Iterable[T], call: Callable[[T], R]) -> list[R]:
    """Return what `call` returns for each item. Others get turns between them."""
    return [call(item) async for item in taking_turns(items)]


async def apart(count: int, call: Callable[[], R]) -> R:
    """Return what a function returns that looks at so many items: of many, in a thread, beside the event loop."""
    return call() if count < MANY else await trio.to_thread.run_sync(call)


async def beside(main: Callable[[], Awaitable[T]], *others: Callable[[], Awaitable[object]]) -> T:
    """Run all calls at once and return the result of the first; any failure ends all."""
    results: list[T] = []

    async def run_main() -> None:
        results.append(await main())

    await gather(run_main, *others)
    return results[0]


async def watched(watch: Callable[[], Awaitable[object]], call: Callable[[], Awaitable[T]]) -> T:
    """Run `call` and return its result, unless `watch` raises an error before: then that ends it."""
    with plain_errors():
        async with trio.open_nursery() as nursery:
            nursery.start_soon(watch)
            result = await call()
            nursery.cancel_scope.cancel()
    return result


class within_deadline:  # noqa: N801 - a context manager; generators would take longer for each request
    """Gives up what relies on a reference read at the beginning, before the collector may delete it.

    Raises `TryAgain` then, also in place of a `trio.TooSlowError` of what is inside.
    """

    __slots__ = ("_limit", "_scope")

    def __init__(self, deadline_s: float) -> None:
        """Give up after so many seconds from now on."""
        self._limit = trio.move_on_after(deadline_s)

    def __enter__(self) -> None:
        """Begin."""
        self._scope = self._limit.__enter__()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """End the scope, and raise what it says."""
        self._limit.__exit__(kind, error, traceback)
        if self._scope.cancelled_caught or isinstance(error, trio.TooSlowError):
            msg = "the store did not answer within the deadline: try again"
            raise TryAgain(msg) from (error if isinstance(error, trio.TooSlowError) else None)


@contextmanager
def cleaning_up() -> Iterator[None]:
    """Clean up, shielded and bounded in time. The collector does what the store does not. No error is hidden."""
    try:
        with trio.move_on_after(CLEANUP_S, shield=True), impatient():
            yield
    except StoreError as error:
        log.warning("not_cleaned_up", reason=str(error))
