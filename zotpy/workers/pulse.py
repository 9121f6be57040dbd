"""Whether a worker hangs: its event loop beats, and a supervisor looks from time to time whether it has.

Looks are counted, not seconds. If the machine was suspended, or all of us were stopped, the clock has gone on and
nobody has beaten; that is one look without a beat, not a reason to kill every worker.
"""

from dataclasses import dataclass

from zotpy.workers.link import BEATS

START_FACTOR = 10
"""How many times longer a worker may be silent before its first beat: it imports a large program."""


@dataclass(slots=True)
class Pulse:
    """What is known of one worker's beats."""

    _beats: int = 0
    _silent: int = 0

    def look(self, beats: int) -> bool:
        """Take note of how many beats there were; return whether this look is the one at which it is found to hang."""
        self._silent = self._silent + 1 if beats == self._beats else 0
        self._beats = beats
        return self._silent == self._most

    @property
    def is_well(self) -> bool:
        """Whether it beats, or has not been hung for longer than it takes to replace it."""
        return self._silent < 2 * self._most

    @property
    def _most(self) -> int:
        return BEATS if self._beats else BEATS * START_FACTOR
