"""The promise of a bucket: for how long its replicas may answer from memory for what an entry said.

A replica that reads an entry may answer for it without asking the store again, for L seconds, a few at most. L is the
same for all replicas of a bucket. It counts from the moment *before* the read began, by a clock that goes on while the
host is suspended. Tags are never answered from memory, and neither is that something does not exist.

A DELETE answers only once L has passed since its tombstone was written. Each read that still saw the entry began before
the tombstone. So when the DELETE answers, no replica promises anything of the entry any more. That holds also if its
answer is an error because the store failed. Before that, while the DELETE is under way, one replica may still find what
another one does not.

No clock is compared with another one: each replica measures how long it may remember, and how long it has waited. Only
the rates of two clocks must agree, and `WAIT_PER_LIFE` is for the difference. One case is left: if a virtual machine is
paused from outside, none of its clocks goes on. When it goes on, it may answer from memory for up to L as it would have
before the pause. What it writes then is still held against the store's time (`zotpy.bucket.reliance`).
"""

import sys
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

import trio

from zotpy.store.interface import StoreError

T = TypeVar("T")

WAIT_PER_LIFE = 1.1
"""A DELETE waits for this many times L."""
_CLOCK: int | None = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC if sys.platform == "darwin" else None)
"""`None`: no clock goes on while this host is suspended, so it promises nothing."""


def boot_s() -> float:
    """Return this host's time in seconds since some moment. It goes on while the host is suspended."""
    return time.clock_gettime(time.CLOCK_MONOTONIC if _CLOCK is None else _CLOCK)


class Promise:
    """What one replica knows of the promise of its bucket. By default it is: nothing is promised."""

    __slots__ = ("known_until_s", "life_s", "wait_s")

    def __init__(self, life_s: float = 0.0, wait_s: float = 0.0, known_until_s: float = float("inf")) -> None:
        """Begin with these."""
        self.life_s = life_s
        """For how long this replica may answer from memory now, in seconds; 0: it may not."""
        self.wait_s = wait_s
        """For how long other replicas may do so at most, in seconds."""
        self.known_until_s = known_until_s
        """Until when this replica may rely on `life_s`, by `boot_s`."""

    def holds(self) -> bool:
        """Say whether what is read now may be remembered."""
        return self.life_s > 0 and boot_s() < self.known_until_s

    async def kept_by(self, deletion: Callable[[], Awaitable[T]]) -> T:
        """Do a deletion. If the store fails in it, wait as well: a tombstone may have been written all the same.

        Raises what the deletion raises.
        """
        try:
            return await deletion()
        except StoreError:
            await self.run_out()
            raise

    async def run_out(self) -> None:
        """Wait until no replica answers any more for what was deleted before this was called."""
        if self.wait_s > 0:
            await trio.sleep(self.wait_s * WAIT_PER_LIFE)
