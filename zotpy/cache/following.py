"""The read that began a download follows it in memory, as long as it is quick enough."""

import trio

from zotpy.cache.filling import Filling


class Follower:
    """The read that began a download, and takes its bytes from memory as long as it is quick."""

    def __init__(self, filling: Filling) -> None:
        """Follow this download."""
        self.filling = filling

    async def reach(self, at: int) -> int:
        """Wait until the byte at `at` is here. Return how many are, from the first on. Raises what the store raised."""
        await trio.lowlevel.checkpoint()  # others get a turn, however much is here
        return await self.filling.reach_in_memory(at)

    def lend(self, at: int, size_bytes: int) -> memoryview | None:
        """Return bytes from `at` on that are in memory, until the next call of `reach`."""
        return self.filling.window.lend(at, size_bytes)
