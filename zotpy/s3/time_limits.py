"""How long a connection waits, and the errors that a transport of httpx raises."""

from types import TracebackType

import httpx
import trio

TOO_SLOW = "nothing happened for too long"


class time_limit:  # noqa: N801 - a context manager; as a generator it takes three times as long, for each read and write
    """A time limit, and httpx's errors in place of trio's and the system's."""

    def __init__(
        self, too_slow: type[httpx.TransportError], broken: type[httpx.TransportError], timeout_s: float
    ) -> None:
        """Raise `too_slow` after the time, and `broken` if the connection breaks."""
        self._too_slow = too_slow
        self._broken = broken
        self._scope = trio.CancelScope(deadline=trio.current_time() + timeout_s)

    def __enter__(self) -> trio.CancelScope:
        return self._scope.__enter__()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> bool:
        goes_on = self._scope.__exit__(kind, error, traceback)
        if self._scope.cancelled_caught:
            raise self._too_slow(TOO_SLOW) from None
        if isinstance(error, OSError | trio.BrokenResourceError | trio.ClosedResourceError):
            raise self._broken(str(error) or str(error.__cause__ or "")) from error  # the cause: what TLS reported
        return goes_on
