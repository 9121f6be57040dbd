"""How long a connection waits, and the errors that it raises in place of trio's and the system's."""

from types import TracebackType

import trio

from zotpy.http.client.transport_errors import TransportError

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


class AttemptTime:
    """The time of one attempt of a call, in one cancel scope: up to the call's deadline, and no silence meanwhile.

    A scope costs as much as all that is written and read for a small call, so the connection has none of its own. Its
    deadline is the end of the first silence, as if the request left at once and the answer were awaited. What has to
    wait for something else before says so, and what waits for more of the answer.
    """

    __slots__ = ("_is_due", "_silence_s", "_until", "scope")

    def __init__(self, silence_s: float, now: float, until: float) -> None:
        """Begin now. `until` is the call's deadline, both on trio's clock, and `silence_s` the longest silence."""
        self._silence_s = silence_s
        self._until = until
        self._is_due = True
        """The deadline is right for a wait that begins now."""
        self.scope = trio.CancelScope(deadline=min(until, now + silence_s))

    @property
    def is_over(self) -> bool:
        """Whether the call's deadline has passed."""
        return trio.current_time() >= self._until

    def wait_for_others(self) -> None:
        """Let the attempt wait, up to the call's deadline, for what is no answer of the service."""
        self._is_due = False
        if self.scope.deadline != self._until:
            self.scope.deadline = self._until

    def wait_for_answer(self) -> None:
        """Let the attempt wait for the next bytes of the answer."""
        if not self._is_due:
            self.scope.deadline = min(self._until, trio.current_time() + self._silence_s)
        self._is_due = False
