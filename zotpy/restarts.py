"""How long to wait before something that ended is started again."""

from dataclasses import dataclass

FIRST_DELAY_S = 0.2
LONGEST_DELAY_S = 10.0
CALM_S = 60.0
"""If it ran for this long, its next end counts as the first again."""


@dataclass(slots=True)
class Restarts:
    """The delays of one thing that is kept running. They double while it ends soon after each start."""

    _last_delay_s: float = 0.0

    def delay_s(self, ran_s: float) -> float:
        """Return the seconds to wait after it ended, having run for `ran_s`."""
        is_first = self._last_delay_s == 0 or ran_s > CALM_S
        self._last_delay_s = FIRST_DELAY_S if is_first else min(2 * self._last_delay_s, LONGEST_DELAY_S)
        return self._last_delay_s
