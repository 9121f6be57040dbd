"""Turns at work that only a few may do at the same time. Clients take turns, so one that asks often delays no other.

In one queue for all, a user's login would wait behind all the guesses that a client has sent before it.
"""

from collections import OrderedDict, deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import trio

from zotpy.auth.login_places import client_of


@dataclass(slots=True)
class Turns:
    """Some turns at once. How many may wait is a matter of `zotpy.auth.login_places`."""

    at_once: int
    taken: int = field(default=0, init=False)
    _waiting: OrderedDict[str, deque[trio.Event]] = field(default_factory=OrderedDict, init=False)
    """By client, the one whose turn is next first; each with those of its own in their order."""

    @asynccontextmanager
    async def turn_for(self, address: str) -> AsyncIterator[None]:
        """Wait for a turn, and have it for the block. Clients whose address is unknown count as one."""
        await self._take(client_of(address))
        try:
            yield
        finally:
            self._pass_on()

    async def _take(self, client: str) -> None:
        if self.taken < self.at_once:
            self.taken += 1
            return
        mine = trio.Event()
        self._waiting.setdefault(client, deque()).append(mine)
        try:
            await mine.wait()
        except trio.Cancelled:
            if mine.is_set():  # it came in the same instant
                self._pass_on()
            else:
                self._leave(client, mine)
            raise

    def _pass_on(self) -> None:
        """Give a turn that has ended to the next client."""
        if not self._waiting:
            self.taken -= 1
            return
        client, queue = self._waiting.popitem(last=False)
        queue.popleft().set()
        if queue:
            self._waiting[client] = queue

    def _leave(self, client: str, mine: trio.Event) -> None:
        queue = self._waiting[client]
        queue.remove(mine)
        if not queue:
            del self._waiting[client]
