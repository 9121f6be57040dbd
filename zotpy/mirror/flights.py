"""Work that is done once for all requests that wait for it.

It runs in a task of the process, so each of them may leave.
"""

from collections.abc import Awaitable, Callable, Hashable
from copy import copy
from functools import partial
from typing import Generic, TypeVar

import structlog
import trio

from zotpy.core.errors import RegistryError, TooManyRequests, Unavailable
from zotpy.services import LongWork
from zotpy.store.interface import StoreError
from zotpy.upstream.errors import UpstreamError

MOST = 1000
"""How many different things may be under way or wait for their turn in one replica."""
USUAL = (RegistryError, StoreError, UpstreamError, trio.TooSlowError)
"""Errors whose words say enough."""
T = TypeVar("T")
log = structlog.get_logger()


class Tasks:
    """The tasks of such work, up to as many as a replica may have."""

    def __init__(self) -> None:
        """Begin nothing before `run`."""
        self._work = LongWork()
        self._count = 0

    async def run(self) -> None:
        """Let work run until this is cancelled."""
        await self._work.run()

    def start(self, work: Callable[[], Awaitable[object]]) -> None:
        """Begin some work, which raises no `Exception`. Raises `TooManyRequests`, `Unavailable`."""
        if not self._work.may_begin:
            msg = "this replica is starting or stopping: try again"
            raise Unavailable(msg)
        if self._count >= MOST:
            msg = f"this replica already fetches {MOST} manifests and blobs from other registries: try again"
            raise TooManyRequests(msg)
        self._count += 1
        self._work.begin(partial(self._do, work))

    async def _do(self, work: Callable[[], Awaitable[object]]) -> None:
        try:
            await work()
        finally:
            self._count -= 1


class Flights(Generic[T]):
    """Calls under way, each with the same key for all who wait for its result."""

    def __init__(self, tasks: Tasks) -> None:
        """Let the calls run among these tasks."""
        self._tasks = tasks
        self._flights: dict[Hashable, _Flight[T]] = {}

    async def join(self, key: Hashable, call: Callable[[], Awaitable[T]]) -> T:
        """Return what the call with this key returns, or raise what it raises.

        If such a call is under way, wait for it.
        """
        flight = self._flights.get(key)
        if flight is None:
            flight = _Flight(call)
            self._tasks.start(lambda: self._fly(key, flight))
            self._flights[key] = flight
        await flight.done.wait()
        return flight.outcome()

    async def _fly(self, key: Hashable, flight: "_Flight[T]") -> None:
        try:
            await flight.run()
        finally:
            del self._flights[key]
            flight.done.set()


class _Flight(Generic[T]):
    """One call, and its result once `done` is set."""

    def __init__(self, call: Callable[[], Awaitable[T]]) -> None:
        self.done = trio.Event()
        self._call = call
        self._results: list[T] = []
        self._error: Exception | None = None

    async def run(self) -> None:
        try:
            self._results.append(await self._call())
        except Exception as error:
            self._error = error
            if (trace := traced(error)) is not None:
                log.warning("mirror_failed", exc_info=trace)

    def outcome(self) -> T:
        """Return the result. Raises the error, or `Unavailable` if the process is about to end."""
        if self._error is not None:
            raise copy_of(self._error)
        if not self._results:
            msg = "this replica is stopping: try again"
            raise Unavailable(msg)
        return self._results[0]


def traced(error: Exception) -> Exception | None:
    """Return an error whose traceback belongs into the log of the task where it happened: it is none of the `USUAL`.

    Those who wait raise a copy, which has a traceback of its own.
    """
    return None if isinstance(error, USUAL) else error


def copy_of(error: Exception) -> Exception:
    """Return a copy of an error, to be raised in another task: a traceback holds the frames of one task."""
    try:
        other = copy(error)
    except TypeError:  # it needs more than its message
        return error
    other.__cause__ = error.__cause__
    return other
