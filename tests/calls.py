"""Counting what the registry asks of a store: how many calls, and how many of them one after another."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from typing import TYPE_CHECKING, TypeVar

from zotpy.store.wrapper import StoreWrapper

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

    from zotpy.store.interface import Store

T = TypeVar("T")


@dataclass(slots=True)
class Call:
    """One call to the store; `began` and `ended` are places in the order of all beginnings and ends."""

    operation: str
    key: str
    began: int
    ended: int | None = None


@dataclass(slots=True)
class Calls:
    """The calls of one stretch of a test, in the order in which they began."""

    made: list[Call] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.made)

    def __str__(self) -> str:
        return "\n".join(f"{call.operation} {call.key}" for call in self.made)

    def of(self, operation: str, prefix: str = "") -> list[Call]:
        """Return the calls of one operation on keys with this prefix."""
        return [call for call in self.made if call.operation == operation and call.key.startswith(prefix)]

    @property
    def depth(self) -> int:
        """How many calls had to wait for one another: the longest chain in which each began after the last ended."""
        depths: list[tuple[int | None, int]] = []
        for call in self.made:
            before = [depth for ended, depth in depths if ended is not None and ended < call.began]
            depths.append((call.ended, 1 + max(before, default=0)))
        return max((depth for _, depth in depths), default=0)


class CallLog(StoreWrapper):
    """Notes every call to the store within, whether it succeeds or not."""

    def __init__(self, store: Store) -> None:
        """Stand in front of `store`."""
        super().__init__(store)
        self.calls = Calls()
        self._moments = count()

    async def call(self, operation: str, key: str, run: Callable[[], Awaitable[T]]) -> T:
        """Run one operation and note when it began and ended."""
        call = Call(operation, key, next(self._moments))
        self.calls.made.append(call)
        try:
            return await run()
        finally:
            call.ended = next(self._moments)

    @contextmanager
    def counted(self) -> Iterator[Calls]:
        """Count from here: what is yielded holds only the calls made inside the block."""
        before, self.calls = self.calls, Calls()
        try:
            yield self.calls
        finally:
            before.made.extend(self.calls.made)
            self.calls = before
