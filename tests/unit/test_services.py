"""Services beside the main work: how they begin, finish and end."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import trio

from zotpy.services import Service, run_beside

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable


class Log:
    """What services did, in order."""

    def __init__(self) -> None:
        """Note nothing yet."""
        self.lines: list[str] = []

    def noting(self, line: str) -> Callable[[], Awaitable[None]]:
        """Return what notes one line."""

        async def note() -> None:
            self.lines.append(line)

        return note

    def running(self, name: str, begun: trio.Event | None = None) -> Callable[[], Awaitable[None]]:
        """Return what runs until it is cancelled, and notes that."""

        async def run() -> None:
            if begun is not None:
                begun.set()
            try:
                await trio.sleep_forever()
            finally:
                self.lines.append(f"{name} cancelled")

        return run


async def test_services_finish_in_order_before_they_are_cancelled() -> None:
    """A service is still running while it, or another one, finishes."""
    log, begun = Log(), trio.Event()

    async def main(_: Callable[[], None]) -> None:
        await begun.wait()
        log.lines.append("main ends")

    services = [
        Service(log.running("first", begun), log.noting("first finishes")),
        Service(log.noting("no work")),
        Service(trio.sleep_forever, log.noting("second finishes")),
    ]
    await run_beside(services, main)
    assert log.lines == ["no work", "main ends", "first finishes", "second finishes", "first cancelled"]


async def test_a_drain_stops_just_those_that_it_does_not_wait_for() -> None:
    """They are cancelled while the main work still goes on; the others are not."""
    log = Log()
    first, second = trio.Event(), trio.Event()

    async def main(drain: Callable[[], None]) -> None:
        await first.wait()
        await second.wait()
        drain()
        while not log.lines:
            await trio.lowlevel.checkpoint()
        log.lines.append("main ends")

    await run_beside(
        [Service(log.running("collecting", first), stops_at_drain=True), Service(log.running("looking", second))], main
    )
    assert log.lines == ["collecting cancelled", "main ends", "looking cancelled"]


@pytest.mark.parametrize("stops_at_drain", [True, False])
async def test_a_service_that_fails_ends_all(*, stops_at_drain: bool) -> None:
    """Nothing finishes then, and the error is raised."""
    log = Log()

    async def fail() -> None:
        msg = "no disk"
        raise OSError(msg)

    async def main(_: Callable[[], None]) -> None:
        await log.running("main")()

    with pytest.raises(ExceptionGroup) as raised:
        await run_beside([Service(fail, log.noting("finished"), stops_at_drain=stops_at_drain)], main)
    assert raised.group_contains(OSError, match="no disk")
    assert log.lines == ["main cancelled"]
