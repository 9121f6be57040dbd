"""SIGTERM and Ctrl-C during a command that copies: it gives up what is under way, and says at its end what it did.

The handler only notes the signal and cancels. So no code is interrupted between two of its steps, and everything that
cleans up after a failure cleans up here as well. No half of a file or a blob gets its name.
"""

import signal
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import TypeVar

import trio

SAID = {signal.SIGINT: "Ctrl-C", signal.SIGTERM: "SIGTERM"}
"""What people call these signals."""
T = TypeVar("T")


class Stop:
    """The first SIGTERM or Ctrl-C, if one came before the work was done."""

    def __init__(self) -> None:
        """No signal came yet."""
        self._signal: signal.Signals | None = None
        self._is_done = False
        self._give_up: Callable[[], None] | None = None

    @property
    def said(self) -> str:
        """What stopped the work, for people; empty if nothing did."""
        return "" if self._cause is None else SAID[self._cause]

    @property
    def exit_code(self) -> int:
        """What a shell reports for a program that such a signal ended; 0 if nothing stopped the work."""
        return 0 if self._cause is None else 128 + self._cause

    @property
    def _cause(self) -> signal.Signals | None:
        return None if self._is_done else self._signal

    def note(self, number: int, frame: FrameType | None) -> None:
        """Handle a signal. The first one counts; a second Ctrl-C ends the process at once."""
        del frame
        if number == signal.SIGINT:
            signal.signal(signal.SIGINT, signal.SIG_DFL)
        if self._signal is None:
            self._signal = signal.Signals(number)
            if self._give_up is not None:
                self._give_up()

    async def run(self, work: Callable[[], Awaitable[T]]) -> T | None:
        """Do the work and return its result, or `None` if a signal came before its end."""
        token, scope = trio.lowlevel.current_trio_token(), trio.CancelScope()
        self._give_up = lambda: token.run_sync_soon(scope.cancel)
        try:
            with scope:
                if self._signal is not None:  # it came before trio ran
                    scope.cancel()
                result = await work()
                self._is_done = True
                return result
            return None
        finally:
            self._give_up = None


@contextmanager
def stoppable() -> Iterator[Stop]:
    """Note SIGTERM and Ctrl-C within the block, on the main thread. A signal that is ignored stays ignored."""
    stop = Stop()
    before = {number: signal.getsignal(number) for number in SAID}
    noted = [number for number, handler in before.items() if handler is not signal.SIG_IGN]
    for number in noted:
        signal.signal(number, stop.note)
    try:
        yield stop
    finally:
        for number in noted:
            signal.signal(number, before[number])
