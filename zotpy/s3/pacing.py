"""How many large requests go to the store at once: fewer if it asks to slow down, and more again when it copes.

It uses additive increase and multiplicative decrease, as TCP does. Each success adds a little, and each SlowDown
halves. It halves at most once a second, because all requests under way return the same complaint when the store slows
down.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import trio

HALVE_EVERY_S = 1.0


class Pacer:
    """A limit between 1 and `most`."""

    def __init__(self, most: int) -> None:
        """Begin with the whole of `most`."""
        self._most = most
        self._limit = float(most)
        self._limiter = trio.CapacityLimiter(most)
        self._halved_at = -HALVE_EVERY_S

    @property
    def limit(self) -> int:
        """How many may be under way now."""
        return int(self._limiter.total_tokens)

    @asynccontextmanager
    async def slot(self) -> AsyncIterator[None]:
        """Wait for a turn, in the order of asking."""
        async with self._limiter:
            yield

    def succeeded(self) -> None:
        """Take note that the store coped."""
        if self._limit < self._most:
            self._set(min(float(self._most), self._limit + 1 / self._limit))

    def slowed_down(self) -> None:
        """Take note that the store asked to slow down."""
        now = trio.current_time()
        if now - self._halved_at >= HALVE_EVERY_S:
            self._halved_at = now
            self._set(max(1.0, self._limit / 2))

    def _set(self, limit: float) -> None:
        self._limit = limit
        self._limiter.total_tokens = int(limit)
