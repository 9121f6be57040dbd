"""Ends waits for bytes that last too long: one task for all of them, in place of a cancel scope for each.

A scope of trio costs as much as writing and reading a small call. Nearly all bytes come long before their time is
over. So a wait only says until when it may last. The task sleeps until the first of these times, looks at all waits,
and ends when there are none.
"""

import math

import trio


class Wait:
    """One wait for bytes, such as those of an answer. No other task may wait for the same socket meanwhile."""

    __slots__ = ("due", "is_late", "socket")

    def __init__(self) -> None:
        """Wait for nothing yet."""
        self.due = math.inf
        """Until when it may last, on trio's clock."""
        self.is_late = False
        """It was ended because it lasted longer."""
        self.socket: trio.socket.SocketType


class Silences:
    """The waits for the answers of one service, or for the bodies of a server's clients."""

    def __init__(self) -> None:
        """Begin with no wait."""
        self._waits: dict[Wait, None] = {}
        self._look_at = math.inf
        """When the task looks next; it may be too early, never too late."""
        self._sleeping = trio.CancelScope()
        self._is_running = False

    async def until_readable(self, opened: trio.socket.SocketType, wait: Wait) -> None:
        """Wait for bytes until `wait` is due.

        Raises `trio.ClosedResourceError`, also if it is late, and says so in `wait`.
        """
        wait.socket, wait.is_late = opened, False
        self._waits[wait] = None
        if not self._is_running:
            self._is_running, self._look_at = True, wait.due
            trio.lowlevel.spawn_system_task(self._keep_looking, name="silences")
        elif wait.due < self._look_at:
            self._look_at = self._sleeping.deadline = wait.due
        try:
            await trio.lowlevel.wait_readable(opened)
        finally:
            del self._waits[wait]

    async def _keep_looking(self) -> None:
        try:
            while self._look_at < math.inf:
                with trio.CancelScope(deadline=self._look_at) as self._sleeping:
                    await trio.sleep_forever()
                self._look()
        finally:
            self._is_running = False

    def _look(self) -> None:
        """End the waits that are late, and find out when the next one will be."""
        now, self._look_at = trio.current_time(), math.inf
        for wait in self._waits:
            if wait.due > now:
                self._look_at = min(self._look_at, wait.due)
            elif not wait.is_late:
                wait.is_late = True
                trio.lowlevel.notify_closing(wait.socket)
