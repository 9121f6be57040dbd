"""How long zotpy *holds* a request if the store does not answer: it goes on trying, and the client waits.

Many clients end their push at the first error in a body or at a manifest, whatever its status. For other requests no
status helps all clients: skopeo repeats 429 alone, cosign all but 429, others nothing. So zotpy does not answer a
request at the first trouble. It repeats the request's calls to the store while the client waits: for minutes if the
request brings content, otherwise for seconds.

*Patience* is that time. It is measured from the client's side, because a balancer in front cuts by that. It ends
`limit_s` after the last byte of the body came, and a single call gets no more than `limit_s` either.

A request declares its patience once, at its beginning (`Holds.held`). Calls below find it in their context, also in
tasks that the request starts. Without it, or inside `impatient`, a failure is a failure.
"""

import random
from collections.abc import Awaitable, Callable
from contextlib import AbstractContextManager
from contextvars import ContextVar
from typing import TypeVar

import structlog
import trio

from zotpy.store.interface import Running, StoreError, StoreUnavailable

FIRST_PAUSE_S = 0.5
LONGEST_PAUSE_S = 10.0
"""Between the attempts of a held call, each of which the S3 client has already repeated: half of it to all of it."""

T = TypeVar("T")
log = structlog.get_logger()


class Holds:
    """The requests of one replica that may be held."""

    def __init__(self) -> None:
        """Hold nothing yet."""
        self.calls = 0
        """How many calls to the store are being repeated now."""

    def held(self, patience: "Patience") -> AbstractContextManager[None]:
        """Let calls inside be repeated with this patience."""
        return _With(patience)

    def patience(self, limit_s: float, is_gone: Callable[[], bool] = lambda: False) -> "Patience":
        """Return the patience of a request that begins now: `limit_s` seconds, 0 for none.

        It ends at once if `is_gone` says that the client has left.
        """
        return Patience(self, limit_s, is_gone)


class Patience:
    """The patience of one request."""

    def __init__(self, holds: Holds, limit_s: float, is_gone: Callable[[], bool]) -> None:
        self._holds = holds
        self._limit_s = limit_s
        self._is_gone = is_gone
        self._heard_at = trio.current_time()

    def renew(self) -> None:
        """Note that the client has sent something."""
        self._heard_at = trio.current_time()

    async def insist(
        self, operation: str, run: Callable[[], Awaitable[T]], recover: Callable[[StoreError], Awaitable[T]] | None
    ) -> T:
        """See `insist`."""
        heard_at, failures = self._heard_at, 0
        try:
            while True:
                try:
                    return await run()
                except (StoreUnavailable, trio.TooSlowError) as error:
                    pause_s = self._pause_s(heard_at, failures)
                    if pause_s is None:
                        raise
                    if not failures:
                        self._holds.calls += 1
                        log.warning("request_held", operation=operation, reason=str(error))
                    failures += 1
                except StoreError as error:
                    if not failures or recover is None:
                        raise
                    return await recover(error)
                await trio.sleep(pause_s)
        finally:
            self._holds.calls -= failures > 0

    def _pause_s(self, heard_at: float, failures: int) -> float | None:
        """Return how long to wait before the next attempt, or `None` if the patience would be over by then.

        What the client has sent since the call began, after `heard_at`, does not prolong the call.
        """
        ceiling = min(LONGEST_PAUSE_S, FIRST_PAUSE_S * 2.0**failures)
        pause_s = ceiling * random.uniform(0.5, 1.0)  # noqa: S311 - no secret
        if self._is_gone() or trio.current_time() + pause_s >= heard_at + self._limit_s:
            return None
        return pause_s


_patience: ContextVar[Patience | None] = ContextVar("patience", default=None)


def is_patient() -> bool:
    """Say whether the request under way may be held."""
    return _patience.get() is not None


class _With:
    """Sets the patience of what is called inside. It is no generator, which would take longer for each request."""

    __slots__ = ("_before", "_patience")

    def __init__(self, patience: Patience | None) -> None:
        self._patience = patience

    def __enter__(self) -> None:
        self._before = _patience.set(self._patience)

    def __exit__(self, *_: object) -> None:
        _patience.reset(self._before)


def impatient() -> AbstractContextManager[None]:
    """Let what is called inside fail at the first failure: it must end soon, or its loss does no harm."""
    return _With(None)


def insist(
    operation: str, run: Callable[[], Running[T]], recover: Callable[[StoreError], Awaitable[T]] | None = None
) -> Running[T]:
    """Run an operation again while it raises `StoreUnavailable` or `TooSlowError` and the request's patience lasts.

    A repeated operation may meet its own earlier attempt, which the store did although nobody learned of it. `recover`
    gets any other error that follows such a failure. It returns what that attempt must have returned, or raises the
    error.
    """
    patience = _patience.get()
    return run() if patience is None else patience.insist(operation, run, recover)
