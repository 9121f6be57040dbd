"""What a process does beside its main work, as a list: each service runs until it is cancelled, and may then finish."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

import trio


async def nothing() -> None:
    """Finish a service that has nothing to finish."""


@dataclass(frozen=True, slots=True)
class Service:
    """One of them."""

    run: Callable[[], Awaitable[object]]
    """Works until it is cancelled, or returns if it has nothing to do. What it raises ends the process."""
    finish: Callable[[], Awaitable[object]] = nothing
    """Called once the main work has ended well, while `run` goes on. It bounds its time by itself."""
    stops_at_drain: bool = False
    """A drain does not wait for it: it is cancelled when the drain begins."""


class LongWork:
    """Work that may outlive the request that asks for it: it runs in a nursery of the process."""

    def __init__(self) -> None:
        """Begin nothing before `run`."""
        self._nursery: trio.Nursery | None = None

    async def run(self) -> None:
        """Let work run until this is cancelled."""
        async with trio.open_nursery() as nursery:
            self._nursery = nursery
            try:
                await trio.sleep_forever()
            finally:
                self._nursery = None

    @property
    def may_begin(self) -> bool:
        """Whether `run` is under way."""
        return self._nursery is not None

    def begin(self, work: Callable[[], Awaitable[object]]) -> None:
        """Begin some work, which raises no `Exception`. Call it only if it `may_begin`."""
        assert self._nursery is not None  # noqa: S101 - see above
        self._nursery.start_soon(work)


async def run_beside(services: Sequence[Service], main: Callable[[Callable[[], None]], Awaitable[object]]) -> None:
    """Run `main` with all services beside it. When it ends, let them finish one after another, and cancel them.

    `main` is called with a function to call when its drain begins. An error of `main` or of a service ends all, and
    then nothing finishes. It is raised in the group that trio makes of it.
    """
    until_drain = trio.CancelScope()

    async def run_until_drain(stopped: Sequence[Service]) -> None:
        with until_drain:
            async with trio.open_nursery() as nursery:
                for service in stopped:
                    nursery.start_soon(service.run)

    async with trio.open_nursery() as nursery:
        for service in services:
            if not service.stops_at_drain:
                nursery.start_soon(service.run)
        nursery.start_soon(run_until_drain, [service for service in services if service.stops_at_drain])
        await main(until_drain.cancel)
        for service in services:
            await service.finish()
        nursery.cancel_scope.cancel()
