"""How long a connection waits, and the errors that it raises in place of trio's and the system's."""

from contextlib import AbstractContextManager, nullcontext
from types import TracebackType

import trio

from zotpy.http.client.transport_errors import ReadTimeout, TransportError
from zotpy.http.silences import Silences, Wait

TOO_SLOW = "nothing happened for too long"


class call_deadline:  # noqa: N801 - a context manager; as a generator it takes three times as long, for each read and write
    """Ends what waits inside at a time on trio's clock, such as the deadline of a call."""

    __slots__ = ("_scope", "_too_slow")

    def __init__(self, until: float, too_slow: type[TransportError] = ReadTimeout) -> None:
        """Raise `too_slow` at this time."""
        self._too_slow = too_slow
        self._scope = trio.CancelScope(deadline=until)

    def __enter__(self) -> trio.CancelScope:
        return self._scope.__enter__()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._scope.__exit__(kind, error, traceback)
        if self._scope.cancelled_caught:
            raise self._too_slow(TOO_SLOW) from None


class time_limit(call_deadline):  # noqa: N801 - as `call_deadline`
    """A time limit, and our errors in place of trio's and the system's."""

    __slots__ = ("_broken",)

    def __init__(self, too_slow: type[TransportError], broken: type[TransportError], timeout_s: float) -> None:
        """Raise `too_slow` after the time, and `broken` if the connection breaks."""
        super().__init__(trio.current_time() + timeout_s, too_slow)
        self._broken = broken

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        super().__exit__(kind, error, traceback)
        if isinstance(error, OSError | trio.BrokenResourceError | trio.ClosedResourceError):
            raise self._broken(str(error) or str(error.__cause__ or "")) from error  # the cause: what TLS reported


class AttemptTime:
    """The time of one attempt of a call: up to the call's deadline, and no silence meanwhile.

    Waits for bytes of the answer need no cancel scope (`zotpy.http.silences`). Whatever waits for something else
    does so inside `no_answer_due`.
    """

    __slots__ = ("_is_due", "_silence_s", "_silences", "_until", "_wait")

    def __init__(self, silences: Silences, silence_s: float, now: float, until: float) -> None:
        """Begin now. `until` is the call's deadline, both on trio's clock, and `silence_s` the longest silence."""
        self._silences = silences
        self._silence_s = silence_s
        self._until = until
        self._wait = Wait()
        self._wait.due = min(until, now + silence_s)
        self._is_due = True
        """The wait that begins now may last until then."""

    @property
    def is_over(self) -> bool:
        """Whether the call's deadline has passed."""
        return trio.current_time() >= self._until

    def no_answer_due(self) -> "call_deadline":
        """Let what is inside wait for something else, up to the call's deadline. Raises `ReadTimeout` then."""
        self._is_due = False
        return call_deadline(self._until)

    async def until_readable(self, opened: trio.socket.SocketType) -> None:
        """Wait for the next bytes of the answer. Raises `ReadTimeout`, `trio.ClosedResourceError`, `OSError`."""
        wait = self._wait
        if not self._is_due:
            wait.due = min(self._until, trio.current_time() + self._silence_s)
        self._is_due = False
        try:
            await self._silences.until_readable(opened, wait)
        except trio.ClosedResourceError:
            if not wait.is_late:
                raise
        if wait.is_late:  # also if there are bytes: a service that always has some more must not hold up a call
            raise ReadTimeout(TOO_SLOW)


def no_answer_due(time: AttemptTime | None) -> AbstractContextManager[object]:
    """Do the same if there is such a time; without one each wait has a limit of its own."""
    return nullcontext() if time is None else time.no_answer_due()
