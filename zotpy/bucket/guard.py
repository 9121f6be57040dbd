"""A store that refuses all calls while this release must leave its bucket alone; see `zotpy.bucket.health`."""

from collections.abc import Awaitable, Callable
from typing import TypeVar

from zotpy.bucket.health import Health
from zotpy.store.interface import Store
from zotpy.store.wrapper import StoreWrapper

T = TypeVar("T")


class GuardedStore(StoreWrapper):
    """A store that refuses all calls while this release must leave its bucket alone."""

    def __init__(self, store: Store, health: Health) -> None:
        """Stand in front of `store`."""
        super().__init__(store)
        self._health = health

    async def call(self, operation: str, key: str, run: Callable[[], Awaitable[T]]) -> T:
        """Run one operation, if it is allowed."""
        del operation, key
        health = self._health
        if not health.admits:
            await health.admit()
        answer = await run()
        if (store_time := getattr(answer, "store_time", None)) is not None and not health.confirms(store_time):
            await health.confirm(store_time)
        return answer
