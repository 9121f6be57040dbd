"""Noticing that no more bytes of a body come, without a turn of the event loop.

The end of a body in chunks of coding wakes nobody while the system waits for a bite (`zotpy.http.server.patience`). So
somebody has to look again and again whether bytes still arrive. After a pause of some ms a turn of trio's loop takes
0.25 ms of CPU time, because its code and data have left the caches. A look of a thread takes 0.04 ms, for all bodies
together.

If nothing came for a while, or if the wait has lasted long enough, the thread tells the system that any byte is enough
(`SO_RCVLOWAT`). The system then calls the socket readable, if it has any, and the task that waits for it goes on.
"""

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import trio

from zotpy.http.sockets import received_bytes

LOOK_S = 0.02
"""The shortest time from one look to the next. It is longer if all waits have pauses of more than twice this."""
REST_S = 0.2
"""The thread ends if there was nothing to look at for this long. A body mostly waits again at once."""


@dataclass(eq=False, slots=True)
class _Wait:
    """One task that waits for a bite. Times are those of `time.monotonic`."""

    socket: trio.socket.SocketType
    pause_s: float
    until: float
    arrived_bytes: int
    arrived_at: float

    def is_over(self, now: float) -> bool:
        """Look at the socket, and say whether to wait no more."""
        try:
            arrived_bytes = received_bytes(self.socket)
            if arrived_bytes != self.arrived_bytes:
                self.arrived_bytes, self.arrived_at = arrived_bytes, now
            if now < self.until and now - self.arrived_at < self.pause_s:
                return False
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, 1)
        except (OSError, trio.ClosedResourceError):
            pass  # another task has closed it, and the one that waits is told of that
        return True


class Pauses:
    """Looks at the sockets of all bodies of a process that wait for a bite without knowing where they end."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """Look at nothing. The thread begins with the first wait, and ends some time after the last."""
        self._clock = clock
        self._waits: dict[_Wait, None] = {}
        self._has_thread = False
        self._lock = threading.Lock()
        self._alarm = threading.Lock()
        """Held, except when the thread is to wake up early."""
        self._alarm.acquire()
        self._asleep_s = 0.0
        """How long the thread sleeps, if it does."""

    @contextmanager
    def ending(self, opened: trio.socket.SocketType, pause_s: float, longest_s: float) -> Iterator[None]:
        """While inside, let any byte be enough once nothing came for `pause_s`, or `longest_s` has passed.

        That is noticed up to `LOOK_S` later, or half of `pause_s` if that is longer. Afterwards the system may wait
        for one byte or for as many as before. Raises `trio.ClosedResourceError`.
        """
        now = self._clock()
        wait = _Wait(opened, pause_s, now + longest_s, received_bytes(opened), now)
        with self._lock:
            self._waits[wait] = None
            begins, self._has_thread = not self._has_thread, True
            if self._asleep_s > _look_s(pause_s) and self._alarm.locked():
                self._alarm.release()
        try:
            if begins:
                self.begin()
            yield
        finally:
            self._waits.pop(wait, None)

    def begin(self) -> None:
        """Begin the thread. Raises `RuntimeError` if the system has none left."""
        try:
            trio.lowlevel.start_thread_soon(self._look_on, lambda outcome: outcome.unwrap(), "zotpy-pauses")
        except BaseException:
            self._has_thread = False
            raise

    def look(self) -> None:
        """Look at each socket once."""
        now = self._clock()
        for wait in tuple(self._waits):
            if wait.is_over(now):
                self._waits.pop(wait, None)

    def _look_on(self) -> None:
        try:
            while self._sleeps_on():
                if not self._alarm.acquire(timeout=self._asleep_s):
                    self.look()
        except BaseException:
            self._has_thread = False  # the next wait begins another
            raise

    def _sleeps_on(self) -> bool:
        """Say whether the thread goes on, and until when it sleeps. It ends if it has rested, and no wait has begun."""
        with self._lock:
            waits = tuple(self._waits)
            self._has_thread = bool(waits) or self._asleep_s < REST_S
            self._asleep_s = min((_look_s(wait.pause_s) for wait in waits), default=REST_S)
            return self._has_thread


def _look_s(pause_s: float) -> float:
    """Return the time between two looks for a pause: half of it, so that it is noticed soon after."""
    return max(LOOK_S, pause_s / 2)
