"""When manifests were pulled: noted in memory, and written many at a time, because no pull may cost a store call.

So a time is approximate: up to `pull_interval_s` late, by the store's clock. If a replica is killed, what it noted
since its last writing is lost. Retention rules that need pulls are in days.
"""

from dataclasses import dataclass, field

import structlog
import trio

from zotpy.concurrency import cleaning_up
from zotpy.core import keys
from zotpy.core.digests import Digest
from zotpy.core.names import RepositoryName
from zotpy.core.pulls import MOST, Pull, encode_pulls, encode_since
from zotpy.store.interface import Store, StoreError

log = structlog.get_logger()


@dataclass(eq=False, slots=True)
class PullLog:
    """What this replica's clients have pulled since it was last written down."""

    store: Store
    interval_s: float | None
    """How often the notes are written; `None`: no rule needs them, and nothing is noted."""
    _noted: set[tuple[RepositoryName, Digest]] = field(default_factory=set)
    _full: trio.Event = field(default_factory=trio.Event)

    def note(self, repo: RepositoryName, digest: Digest) -> None:
        """Remember a pull. If the store does not answer for long, memory holds `MOST` of them."""
        if self.interval_s is None or len(self._noted) >= MOST:
            return
        self._noted.add((repo, digest))
        if len(self._noted) >= MOST:
            self._full.set()

    async def keep_written(self) -> None:
        """Write at each interval, and when memory is full, until cancelled."""
        if self.interval_s is None:
            return
        while True:
            await self._write_if_store_answers()
            with trio.move_on_after(self.interval_s):
                await self._full.wait()
            if self._full.is_set():
                self._full = trio.Event()

    async def write_last(self) -> None:
        """Write what is left at the end of the process; bounded in time."""
        with cleaning_up():
            await self.write()

    async def write(self) -> None:
        """Write the notes, and since when pulls are noted if nothing says so yet. Raises `StoreError`."""
        if self.interval_s is None:
            return
        await self._write_since()
        noted, self._noted = self._noted, set()
        if not noted:
            return
        try:
            await self.store.put(
                keys.pulls(keys.new_id()), encode_pulls(Pull(repo, digest) for repo, digest in sorted(noted))
            )
        except BaseException:  # also if this was cancelled: written twice is better than not at all
            self._noted |= noted
            raise

    async def _write_since(self) -> None:
        """Say since when pulls are noted. Another replica may have said so."""
        listing = await self.store.list(keys.PULLS_SINCE, limit=1)
        if not listing.objects:
            await self.store.put(keys.PULLS_SINCE, encode_since(listing.store_time))

    async def _write_if_store_answers(self) -> None:
        try:
            await self.write()
        except StoreError as error:
            log.warning("pulls_not_written", noted=len(self._noted), reason=str(error))
