"""A bell that is rung when what is on the disk should be looked at again."""

import trio


class Bell:
    """Wakes whoever waits for it at that moment, any number of times."""

    def __init__(self) -> None:
        self._event = trio.Event()

    def ring(self) -> None:
        """Wake all who wait."""
        self._event.set()
        self._event = trio.Event()

    async def rung(self) -> None:
        """Wait until it is rung."""
        await self._event.wait()
