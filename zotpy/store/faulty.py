"""A store whose faults a test decides: an error, a pause or a crash, before an operation or after it.

An error *before* stands for a request that never arrived: the store did nothing. An error *after* stands for an answer
that was lost: the store did what it was asked, and the caller cannot know.
"""

from collections.abc import Awaitable, Callable
from typing import Literal, Protocol, TypeVar

from zotpy.store.interface import Store
from zotpy.store.wrapper import StoreWrapper

T = TypeVar("T")
Moment = Literal["before", "after"]


class Faults(Protocol):
    """Decides what goes wrong."""

    async def __call__(self, moment: Moment, operation: str, key: str, /) -> None:
        """Let the operation pass by returning; or raise a `StoreError`, or wait, as long as the test wants.

        `operation` is the name of a method of `Store`, or `read` for each time that an open stream is asked for bytes.
        """
        ...


class FaultyStore(StoreWrapper):
    """Asks `faults` before and after each operation on `store`. After one that failed by itself it does not ask."""

    def __init__(self, store: Store, faults: Faults) -> None:
        """Stand in front of `store`."""
        super().__init__(store)
        self.faults = faults

    async def call(self, operation: str, key: str, run: Callable[[], Awaitable[T]]) -> T:
        """Run one operation, and ask before it and after it."""
        await self.faults("before", operation, key)
        result = await run()
        await self.faults("after", operation, key)
        return result

    async def read(self, key: str, receive: Callable[[], Awaitable[bytes]]) -> bytes:
        """Receive bytes, and ask before and after."""
        return await self.call("read", key, receive)
