"""Store calls that wait until the scheduler lets them continue: on their way to the store, and on their way back."""

from __future__ import annotations

from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

import outcome
import trio

from zotpy.store.interface import StoreError, StoreUnavailable
from zotpy.store.wrapper import StoreWrapper

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from tests.simulation.history import Operation
    from tests.simulation.scheduler import Scheduler
    from zotpy.store.interface import Store

T = TypeVar("T")

ACTOR: ContextVar[Actor] = ContextVar("actor")
"""The actor whose code runs."""


@dataclass(eq=False, slots=True)
class Actor:
    """A client with its replica, or a collector: it crashes, and pauses, as one."""

    name: str
    pace: float = 1.0
    """How likely it is chosen, against others."""
    scope: trio.CancelScope | None = None
    crashed: bool = False
    frozen_until_s: float = 0.0
    stopped_s: float = 0.0
    """How much time its own clock has missed, while its host was suspended."""
    deadlines: dict[trio.CancelScope, None] = field(default_factory=dict)
    """The deadlines of its code that follow its own clock."""
    operation: Operation | None = None


@dataclass(eq=False, slots=True)
class Call:
    """One call that waits."""

    actor: Actor
    method: str
    key: str
    run: Callable[[], Awaitable[Any]]
    task: trio.lowlevel.Task
    number: int
    """The number of the call; one more than that of the call before."""
    fate: float
    """For a cancelled call, drawn before: whether it takes effect, and when."""
    operation: Operation | None
    answer: outcome.Outcome[Any] | None = None
    """What the store answered, once it was asked."""

    def take_effect(self) -> None:
        """Ask the store."""
        try:
            self.answer = outcome.Value(drive(self.run()))
        except StoreError as error:
            self.answer = outcome.Error(error)


def drive(awaitable: Awaitable[T]) -> T:
    """Run what never waits: calls of a store in memory without its checkpoints."""
    iterator = awaitable.__await__()
    try:
        next(iterator)
    except StopIteration as stop:
        result: T = stop.value
        return result
    msg = "a call of the store in memory waited"
    raise AssertionError(msg)


@dataclass(eq=False)
class ParkedStore(StoreWrapper):
    """The store as one actor reaches it."""

    store: Store
    actor: Actor
    scheduler: Scheduler
    _unused: None = field(default=None, repr=False)

    async def call(self, operation: str, key: str, run: Callable[[], Awaitable[T]]) -> T:
        """Wait twice, before the store is asked and after it. A stream waits once."""
        if self.actor.crashed:
            msg = "this process was killed"
            raise StoreUnavailable(msg)
        if not self.scheduler.parks:
            return await run()
        await trio.lowlevel.checkpoint_if_cancelled()
        if operation == "open":
            await self.scheduler.park(self.actor, operation, key, _nothing)
            return await run()
        answer: T = await self.scheduler.park(self.actor, operation, key, run)
        return answer


class SharedParkedStore(ParkedStore):
    """The store as all clients of one replica reach it: each call is that of the client whose code runs."""

    async def call(self, operation: str, key: str, run: Callable[[], Awaitable[T]]) -> T:
        """See `ParkedStore`."""
        return await ParkedStore(self.store, ACTOR.get(self.actor), self.scheduler).call(operation, key, run)


async def _nothing() -> None:
    return None
