"""One copy of each blob and each manifest at a time."""

from collections.abc import AsyncIterator, Hashable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import trio


@dataclass(eq=False, slots=True)
class Locks:
    """Lets only one task at a time copy something. The others wait, and then find it here.

    A task that copies a manifest also copies what it names. No manifest names itself, so no task waits for ever.
    """

    _held: dict[Hashable, tuple[trio.Lock, int]] = field(default_factory=dict)

    @asynccontextmanager
    async def only(self, what: Hashable) -> AsyncIterator[None]:
        """Wait until no other task copies it."""
        lock, users = self._held.get(what, (trio.Lock(), 0))
        self._held[what] = lock, users + 1
        try:
            async with lock:
                yield
        finally:
            lock, users = self._held[what]
            if users == 1:
                del self._held[what]
            else:
                self._held[what] = lock, users - 1
