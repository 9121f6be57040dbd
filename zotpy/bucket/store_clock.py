"""What time it is by the store's clock, between two of its answers.

A replica's own clock may be wrong by months. It would then believe tokens that have ended, and delete keys that others
still use. So the time of the store's latest answer counts, and what has passed here since then.
"""

import time
from collections.abc import Callable
from datetime import UTC, datetime

from zotpy.bucket.reliance import local_s


class StoreClock:
    """The store's time. It is as exact as the store's answers, which tell the time to the second."""

    def __init__(self, local: Callable[[], float] = local_s) -> None:
        """`local` returns seconds since some moment. Until the store has answered, this host's clock counts."""
        self._local = local
        self._ahead_s = time.time() - local()

    def note(self, store_time: datetime) -> None:
        """Set the clock to the time of an answer that has just come."""
        self._ahead_s = store_time.timestamp() - self._local()

    def now(self) -> float:
        """Return the Unix time."""
        return self._local() + self._ahead_s

    def time(self) -> datetime:
        """Return the same as an aware time, in UTC."""
        return datetime.fromtimestamp(self.now(), UTC)
