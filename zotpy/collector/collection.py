"""What all parts of one collection share: the store, the numbers, the time it began, the counts."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from zotpy.bucket.sweeps import delete_all
from zotpy.bucket.tables import Table
from zotpy.collector.collector_settings import CollectorSettings
from zotpy.collector.summary import Expiration, Summary
from zotpy.store.interface import ConditionFailed, Listed, Store


@dataclass(frozen=True, slots=True)
class Collection:
    """One collection."""

    store: Store
    settings: CollectorSettings
    began: datetime
    """By the store's clock, before anything was looked at."""
    summary: Summary
    condemned: Table
    """In a dry run: the keys that would have been deleted so far."""
    advance: Callable[[int], None]
    """Called with the number of objects that were just checked, for a display."""
    tell: Callable[[Expiration], None] = lambda _: None
    """Called in a dry run with each tag and manifest that retention would delete."""

    def is_past(self, listed: Listed, age_s: float) -> bool:
        """Whether an object was older than this when the collection began."""
        return listed.last_modified < self.began - timedelta(seconds=age_s)

    def is_past_grace(self, listed: Listed) -> bool:
        """Whether an object was older than the grace when the collection began."""
        return self.is_past(listed, self.settings.gc.grace_s)

    async def delete(self, keys: Sequence[str]) -> int:
        """Delete objects, or remember them in a dry run. Return how many."""
        if self.settings.dry_run:
            await self.condemned.add([(key, "") for key in keys])
        elif keys:
            await delete_all(self.store, keys)
        return len(keys)

    async def without_condemned(self, objects: Sequence[Listed]) -> Sequence[Listed]:
        """Leave out what a dry run would have deleted before it was listed."""
        if not self.settings.dry_run:
            return objects
        condemned = await self.condemned.of([listed.key for listed in objects])
        return [listed for listed in objects if listed.key not in condemned]

    async def delete_seen(self, listed: Listed) -> int:
        """Delete an object that could be written again under its key, if it is still the one that was listed.

        If the store has no conditions, it deletes whatever exists. So use it only for what others can rebuild.
        """
        if self.settings.dry_run:
            return 1
        try:
            etag = listed.etag if self.store.features.conditional_delete else None
            await self.store.delete(listed.key, if_match=etag)
        except ConditionFailed:
            return 0  # it was written again since
        return 1
