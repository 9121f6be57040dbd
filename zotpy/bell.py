"""A bell: code that rings it wakes the tasks that must check again what they wait for."""

import trio


class Bell:
    """Wakes the tasks that wait for it at that moment, any number of times."""

    def __init__(self) -> None:
        self._event = trio.Event()

    def ring(self) -> None:
        """Wake all waiting tasks."""
        if self._event.statistics().tasks_waiting:
            self._event.set()
            self._event = trio.Event()

    async def rung(self) -> None:
        """Wait until the bell is rung."""
        await self._event.wait()
