"""How long a connection waits, and the errors that it raises in place of trio's and the system's."""

from types import TracebackType

import trio

from zotpy.s3.transport_errors import TransportError

TOO_SLOW = "nothing happened for too long"


class time_limit:  # noqa: N801 - a context manager; as a generator it takes three times as long, for each read and write
    """A time limit, and our errors in place of trio's and the system's."""

    def __init__(self, too_slow: type[TransportError], broken: type[TransportError], timeout_s: float) -> None:
        """Raise `too_slow` after the time, and `broken` if the connection breaks."""
        self._too_slow = too_slow
        self._broken = broken
        self._scope = trio.CancelScope(deadline=trio.current_time() + timeout_s)

    def __enter__(self) -> trio.CancelScope:
        return self._scope.__enter__()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._scope.__exit__(kind, error, traceback)
        if self._scope.cancelled_caught:
            raise self._too_slow(TOO_SLOW) from None
        if isinstance(error, OSError | trio.BrokenResourceError | trio.ClosedResourceError):
            raise self._broken(str(error) or str(error.__cause__ or "")) from error  # the cause: what TLS reported
