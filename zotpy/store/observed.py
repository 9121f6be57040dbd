"""A store that reports every operation to an observer: what it was, how long it took, how it ended."""

from collections.abc import Awaitable, Callable
from typing import Protocol, TypeVar

import trio

from zotpy.store.interface import (
    ConditionFailed,
    ContentRejected,
    KeyMissing,
    Store,
    StoreError,
    StoreFull,
    StoreRefused,
    StoreUnavailable,
)
from zotpy.store.wrapper import StoreWrapper
from zotpy.trio_clock import clock_reader

T = TypeVar("T")

OK = "ok"
MISSING = "missing"
CANCELLED = "cancelled"
FAILED = "failed"
OUTCOMES: dict[type[StoreError], str] = {
    KeyMissing: MISSING,
    ConditionFailed: "condition_failed",
    ContentRejected: "rejected",
    StoreUnavailable: "unavailable",
    StoreFull: "full",
    StoreRefused: "refused",
}
"""How an operation ended, for each error of the contract. Any other error is `FAILED`."""


class StoreObserver(Protocol):
    """Is called with each operation."""

    def on_call(self, operation: str, key: str, seconds: float, outcome: str) -> None:
        """Take note of one operation that ended. It must neither block nor raise.

        `operation` is the name of a method of `Store`. The seconds of `open` end when its bytes begin to come, so they
        do not measure the client. A stream that breaks off later is the operation `read`.
        """
        ...


class ObservedStore(StoreWrapper):
    """Reports each operation on `store` to `observer`."""

    def __init__(self, store: Store, observer: StoreObserver) -> None:
        """Stand in front of `store`."""
        super().__init__(store)
        self._observer = observer
        self._now = clock_reader()

    async def call(self, operation: str, key: str, run: Callable[[], Awaitable[T]]) -> T:
        """Run one operation and report it, however it ends."""
        started = self._now()
        try:
            result = await run()
        except (StoreError, trio.Cancelled) as error:
            self._observer.on_call(operation, key, self._now() - started, outcome_of(error))
            raise
        outcome = MISSING if result is None and operation == "get" else OK
        self._observer.on_call(operation, key, self._now() - started, outcome)
        return result

    async def read(self, key: str, receive: Callable[[], Awaitable[bytes]]) -> bytes:
        """Receive bytes, and report if the stream breaks off."""
        started = self._now()
        try:
            return await receive()
        except (StoreError, trio.Cancelled) as error:
            self._observer.on_call("read", key, self._now() - started, outcome_of(error))
            raise


def outcome_of(error: BaseException) -> str:
    """Name how an operation ended that raised `error`."""
    if isinstance(error, trio.Cancelled):
        return CANCELLED
    return next((outcome for kind, outcome in OUTCOMES.items() if isinstance(error, kind)), FAILED)
