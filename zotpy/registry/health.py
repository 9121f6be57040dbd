"""Whether this replica should get requests."""

import structlog
import trio

from zotpy.core import keys
from zotpy.store.interface import Store, StoreError

CACHE_S = 2.0
WATCHED_S = 60.0
"""A balancer that has not asked for so long does not ask: Kubernetes does every 10 s, HAProxy every 2 s."""
TIMEOUT_S = 5.0

log = structlog.get_logger()


class Health:
    """Says whether the store answers, asked at most once in two seconds, and whether the replica is leaving."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._checked_at = -CACHE_S
        self._watched_at = -WATCHED_S
        self._reachable = False
        self._lock = trio.Lock()
        self.draining = False
        """Set at SIGTERM: the balancer shall send no more."""

    @property
    def is_watched(self) -> bool:
        """Whether somebody asks if this replica is ready, and so will notice that it is not."""
        return trio.current_time() - self._watched_at < WATCHED_S

    async def is_ready(self) -> bool:
        """Tell who asks from outside whether requests can be served now."""
        self._watched_at = trio.current_time()
        if self.draining:
            return False
        async with self._lock:
            if trio.current_time() - self._checked_at >= CACHE_S:
                self._reachable = await self._ask()
                self._checked_at = trio.current_time()
        return self._reachable and not self.draining

    async def _ask(self) -> bool:
        try:
            with trio.fail_after(TIMEOUT_S):
                await self._store.get(keys.LAYOUT)
        except (StoreError, trio.TooSlowError) as error:
            log.warning("store_unreachable", error=repr(error))
            return False
        return True
