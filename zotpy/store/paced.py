"""A store whose calls are paced: a program beside the replicas leaves the store to them."""

from collections.abc import Awaitable, Callable
from typing import TypeVar

import trio

from zotpy.store.interface import Store
from zotpy.store.wrapper import StoreWrapper

T = TypeVar("T")


class PacedStore(StoreWrapper):
    """Begins at most `calls_per_second` operations a second, evenly, in the order in which they were asked for."""

    def __init__(self, store: Store, calls_per_second: float) -> None:
        """Stand in front of `store`."""
        super().__init__(store)
        self._interval_s = 1 / calls_per_second
        self._next_at = float("-inf")

    async def call(self, operation: str, key: str, run: Callable[[], Awaitable[T]]) -> T:
        """Run one operation when its turn has come."""
        del operation, key
        turn = max(self._next_at, trio.current_time())
        self._next_at = turn + self._interval_s
        await trio.sleep_until(turn)
        return await run()
