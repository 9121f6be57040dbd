"""Whether this replica should get requests, and whether it may still touch its bucket.

Both follow from one small read of the bucket's layout every few seconds. The read shows that the store answers. It also
shows that no newer release has moved the bucket to a form that this release would misread. If one has, the replica is
left behind: it is not ready, and sends nothing to the store any more, not even for reads and for requests under way.
What it read could be wrong, and what it wrote could be lost. Other replicas can answer the requests that it refuses.

A replica that was paused reads the layout first. Its own clock may have stopped too, so the store's clock counts as
well. If the store gave an answer much later than the last reading of the layout, the answer is passed on only after
another reading.
"""

from datetime import datetime, timedelta

import structlog
import trio

from zotpy.bucket import promise_changes
from zotpy.bucket.layout import LayoutError, LayoutMoved, read_layout
from zotpy.bucket.promise import Promise, boot_s
from zotpy.bucket.reliance import local_s
from zotpy.store.interface import KeyMissing, Store, StoreError, StoreUnavailable
from zotpy.trio_clock import clock_reader

CACHE_S = 2.0
CHECK_S = 5.0
"""How often the layout is read if nothing else asks for it."""
STALE_S = 60.0
"""How long the last reading of the layout holds. A replica that was paused for longer reads it before anything else."""
_STALE = timedelta(seconds=STALE_S)
TIMEOUT_S = 5.0
WATCHED_S = 60.0
"""A balancer that has not asked for this long does not ask at all: Kubernetes asks every 10 s, HAProxy every 2 s."""

_UNKNOWN = "the layout of the bucket could not be read for a minute"

log = structlog.get_logger()


class Health:
    """Asks the store at most once in two seconds, and knows whether the replica is stopping."""

    def __init__(self, store: Store, promise: Promise | None = None, deadline_s: float = 0.0) -> None:
        self._store = store
        self._promise, self._deadline_s = promise or Promise(), deadline_s
        self._asked_at = -CACHE_S
        self._now = clock_reader()
        self._seen_at = trio.current_time()  # the start reads the layout itself
        self._seen_locally_s = local_s()
        self._seen_by_store: datetime | None = None
        self._watched_at = -WATCHED_S
        self._reachable = False
        self._failing_since: float | None = None
        """Since when the store has not answered, on trio's clock."""
        self._lock = trio.Lock()
        self.refusal = ""
        """Why this release must leave the bucket alone; empty if it need not."""
        self.draining = False
        """Set at SIGTERM: the balancer must send no more requests."""

    @property
    def is_watched(self) -> bool:
        """Whether something asks if this replica is ready, and so will notice that it is not."""
        return trio.current_time() - self._watched_at < WATCHED_S

    async def is_ready(self) -> bool:
        """Answer a probe: whether requests can be served now."""
        self._watched_at = trio.current_time()
        if self.draining:
            return False
        await self._look()
        return self._reachable and not self.refusal and not self.draining

    async def keep_looking(self) -> None:
        """Read the layout if nothing else does, until cancelled."""
        while True:
            await self._look()
            await trio.sleep(CHECK_S)

    @property
    def admits(self) -> bool:
        """Whether a call to the store may pass at once. If not, `admit` finds out."""
        return not self.refusal and not self._is_stale()

    def confirms(self, store_time: datetime) -> bool:
        """Say whether an answer that the store gave at this time may pass at once. If not, `confirm` finds out."""
        return self._seen_by_store is not None and store_time - self._seen_by_store <= _STALE

    async def admit(self) -> None:
        """Let a call to the store pass. Raises `LayoutMoved`, and `StoreUnavailable` if that cannot be known."""
        if self._is_stale():
            await self._look()
            if self._is_stale():
                raise StoreUnavailable(_UNKNOWN)
        if self.refusal:
            raise LayoutMoved(self.refusal)

    async def confirm(self, store_time: datetime) -> None:
        """Let an answer pass that the store gave at this time. Raises as `admit` does."""
        if self._seen_by_store is None:
            self._seen_by_store = store_time
        if not self.confirms(store_time):
            await self._look(store_time)
            if not self.confirms(store_time):
                raise StoreUnavailable(_UNKNOWN)
            await self.admit()

    def _is_stale(self) -> bool:
        return self._now() - self._seen_at > STALE_S or local_s() - self._seen_locally_s > STALE_S

    async def _look(self, store_time: datetime | None = None) -> None:
        """Read the layout, unless it was just read; with `store_time`, unless it was read since then."""
        async with self._lock:
            is_behind = store_time is not None and not self.confirms(store_time)
            if is_behind or trio.current_time() - self._asked_at >= CACHE_S:
                self._reachable = await self._ask()
                self._asked_at = trio.current_time()

    async def _ask(self) -> bool:
        """Read the layout, and return whether the store answered."""
        began_at, began_s, booted_s, refusal = trio.current_time(), local_s(), boot_s(), ""
        try:
            with trio.fail_after(TIMEOUT_S):
                layout = await read_layout(self._store)
            self._seen_by_store = layout.store_time
            layout.check()
            promise_changes.note(self._promise, layout, booted_s, self._deadline_s)
        except (StoreError, trio.TooSlowError) as error:
            if isinstance(error, KeyMissing):
                self._promise.known_until_s = booted_s
            self._note_failure(f"no answer in {TIMEOUT_S:g} s" if isinstance(error, trio.TooSlowError) else str(error))
            return False
        except LayoutError as error:
            refusal = str(error)
            self._promise.known_until_s = booted_s
        self._note_answer()
        self._seen_at, self._seen_locally_s = began_at, began_s
        if refusal != self.refusal:
            log.error("left_behind", reason=refusal) if refusal else log.info("layout_is_known_again")
        self.refusal = refusal
        return True

    def _note_failure(self, reason: str) -> None:
        """Log the first of several failures."""
        if self._failing_since is None:
            self._failing_since = trio.current_time()
            log.warning("store_unreachable", error=reason)

    def _note_answer(self) -> None:
        """Log that the store answers again, if it did not."""
        if self._failing_since is not None:
            log.info("store_reachable_again", seconds=round(trio.current_time() - self._failing_since, 1))
            self._failing_since = None
