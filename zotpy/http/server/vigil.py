"""The task beside the one that reads a connection: it waits for the time at which something must happen.

An idle connection is closed after a while, and a head must be complete in time. hypercorn starts a task for that at the
end of each request, and cancels it when the next begins. Here there is one for all of the connection, whose deadline
moves.

A request that the reading task answers itself may take long. Then this task reads in its place, and so sees whether the
client has left.
"""

import math
from collections.abc import Awaitable, Callable
from typing import Protocol

import trio

from zotpy.trio_clock import clock_reader

WATCH_AFTER_S = 0.5
"""How long a request takes before its client is watched. Most are answered by then, whatever the store."""


class Termination(Protocol):
    """hypercorn's event of the end of the server."""

    async def wait(self) -> None:
        """Wait for the end."""


class Vigil:
    """When one connection is to be closed, or its client to be watched."""

    def __init__(self, watch: Callable[[], Awaitable[None]]) -> None:
        """`watch` receives from the client of a request that takes long, until that is over or something came."""
        self._watch = watch
        self.now = clock_reader()
        self._is_idle = True
        self._became_idle: trio.Event | None = None
        self._watches = False
        self._is_over = False
        self._due = math.inf
        self._scope = trio.CancelScope()
        self._watching: trio.CancelScope | None = None
        self._watched = trio.Event()

    def rest(self, seconds: float) -> None:
        """Note that the connection is idle, and may be so for this long."""
        self._is_idle, self._watches = True, False
        if self._became_idle is not None:
            self._became_idle.set()
        self.limit(seconds)

    def begin(self, *, watches: bool) -> None:
        """Note that a request has begun. `watches`: nobody reads while it is answered."""
        self._is_idle, self._watches, self._due = False, watches, math.inf
        if watches:
            self.limit(WATCH_AFTER_S)

    def limit(self, seconds: float) -> None:
        """Wait for so long from now on.

        To move a deadline costs more than to wake up too early once in a while: only an earlier one is moved.
        """
        self._due = self.now() + seconds
        if self._due < self._scope.deadline:  # noqa: PLR1730 - to set it costs as much if it stays the same
            self._scope.deadline = self._due

    def end(self) -> None:
        """Wait no more: the connection is to be closed."""
        self._is_over = True
        self._scope.cancel()
        if self._watching is not None:
            self._watching.cancel()

    async def until_over(self, termination: Termination) -> None:
        """Return when the connection is to be closed: it was idle for too long, or is idle and the server ends."""
        while not self._is_over:
            with trio.CancelScope(deadline=self._due) as self._scope:
                await termination.wait()
                while not self._is_idle:
                    self._became_idle = trio.Event()
                    await self._became_idle.wait()
            if not self._scope.cancelled_caught:
                return
            if trio.current_time() < self._due:
                continue
            if not self._watches:
                return
            self._watches, self._due = False, math.inf
            await self._watch_on()

    async def _watch_on(self) -> None:
        self._watched = trio.Event()
        with trio.CancelScope() as self._watching:
            await self._watch()
        self._watching = None
        self._watched.set()

    async def watch_no_more(self) -> None:
        """Let the reading task read again."""
        if self._watching is not None:
            self._watching.cancel()
            await self._watched.wait()
