"""What the checks find in the store, read again only if what was read has changed: most stays from call to call."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar, cast

from tests.simulation.calls import drive
from zotpy.store.wrapper import StoreWrapper

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Hashable

    from zotpy.store.memory_store import MemoryStore

T = TypeVar("T")


class NotedStore(StoreWrapper):
    """A store in memory that notes which objects are read. Every write makes a new object."""

    def __init__(self, store: MemoryStore) -> None:
        """Stand in front of `store`."""
        super().__init__(store)
        self.objects = store.objects
        self.read_objects: dict[str, object] = {}
        self.has_done_more = False
        """Whether anything else was asked, for example what exists below a prefix."""
        self._found: dict[Hashable, tuple[dict[str, object], object]] = {}

    async def call(self, operation: str, key: str, run: Callable[[], Awaitable[T]]) -> T:
        """Note an object that is read."""
        if operation == "get":
            self.read_objects[key] = self.objects.get(key)
        else:
            self.has_done_more = True
        return await run()

    def found(self, name: Hashable, read: Callable[[], Awaitable[T]]) -> T:
        """Return what `read` returns, whose answer follows from the objects that it reads, and not from the time.

        It is called again if one of these objects is another one now, and always if it did more than read objects, or
        raised.
        """
        if (known := self._found.get(name)) is not None:
            objects, result = known
            if all(self.objects.get(key) is there for key, there in objects.items()):
                return cast("T", result)
        self.read_objects, self.has_done_more = {}, False
        answer = drive(read())
        if not self.has_done_more:
            self._found[name] = self.read_objects, answer
        return answer
