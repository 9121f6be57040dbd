"""Whether a worker hangs: its event loop sends beats, and the supervisor looks from time to time whether some came.

The supervisor counts looks, not seconds. If the machine was suspended, or all processes were stopped, the clock has
gone on and no worker has sent a beat. That is one look without a beat, and no reason to kill every worker.
"""

from dataclasses import dataclass

from zotpy.workers.orders import BEATS

START_FACTOR = 10
"""How many times longer a worker may be silent before its first beat, because it imports a large program."""


@dataclass(slots=True)
class Pulse:
    """What is known of one worker's beats."""

    _beats: int = 0
    _silent: int = 0

    def look(self, beats: int) -> bool:
        """Take note of how many beats came. Return whether this look finds that the worker hangs."""
        self._silent = self._silent + 1 if beats == self._beats else 0
        self._beats = beats
        return self._silent == self._most

    @property
    def is_well(self) -> bool:
        """Whether it sends beats, or has been hung for no longer than its replacement takes."""
        return self._silent < 2 * self._most

    @property
    def _most(self) -> int:
        return BEATS if self._beats else BEATS * START_FACTOR
