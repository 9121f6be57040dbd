"""Hints: where some repository has a digest's data already, so that the data is not stored twice.

A hint is written after the lease of new data, and the collector deletes the hints before it deletes data. Two kinds of
hints remain until the next collection, and no request may rely on them. Some lead to lost data. Others were written
late, by a process that had stopped (`zotpy.bucket.reliance`), perhaps after the collector looked for hints. So a
request checks the data, too. It must exist with the right length, and the hint must have been written before the data
was old enough to be collected. Both times are the store's.
"""

from dataclasses import dataclass
from datetime import timedelta

import structlog

from zotpy.bucket.reliance import Reliance
from zotpy.concurrency import cleaning_up
from zotpy.core import keys
from zotpy.core.digests import Digest
from zotpy.core.record_values import BlobValue
from zotpy.settings import GcSettings
from zotpy.store.interface import Listed, Store

LOOKED_AT = 16
"""More than one exists if the same new blob was pushed several times at once."""

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Hints:
    """The hints of all digests. Small blobs are in their records, and have none."""

    store: Store
    times: GcSettings

    async def find(self, digest: Digest, reliance: Reliance) -> BlobValue | None:
        """Return where some repository has this digest's data, if a hint says so.

        Of several hints, every replica takes the oldest.

        It makes one call if no hint exists, otherwise one more for the data. A lease must name the data within a
        deadline, and `reliance` notes when that deadline begins.
        """
        listing = await self.store.list(keys.hints(digest), limit=LOOKED_AT)
        for listed in sorted(listing.objects, key=lambda listed: (listed.last_modified, listed.key)):
            hint = keys.Hint.parse(listed.key)
            if hint is not None and await self._holds(digest, listed, hint):
                reliance.note(listing.store_time)
                return BlobValue(hint.size_bytes, hint.data_id)
        return None

    async def write(self, digest: Digest, data_id: str, size_bytes: int) -> None:
        """Say where a digest's data is, after a lease names it.

        The order matters: the collector deletes data after its hints. A late hint for data that was never named would
        lead others to data that does not exist.
        """
        await self.store.put(keys.Hint(data_id, size_bytes).key(digest), str(digest).encode())

    async def drop(self, digest: Digest, data_id: str) -> None:
        """Delete the hints at lost data, so that no push finds it. Raises `StoreError`."""
        listing = await self.store.list(keys.hints(digest))
        for listed in listing.objects:
            if (hint := keys.Hint.parse(listed.key)) is not None and hint.data_id == data_id:
                await self.store.delete(listed.key)

    async def _holds(self, digest: Digest, listed: Listed, hint: keys.Hint) -> bool:
        """Say whether the data exists, and the hint is not a late one. A hint at lost data is deleted."""
        found = (await self.store.list(keys.data(hint.data_id), limit=1)).objects
        if not found or found[0].size_bytes != hint.size_bytes:
            log.error("damaged_hint", digest=str(digest), data=hint.data_id, reason="the data is gone, or was cut")
            with cleaning_up():
                await self.store.delete(listed.key)
            return False
        latest = timedelta(seconds=self.times.grace_s / 2 + 3 * self.times.deadline_s)
        return listed.last_modified < found[0].last_modified + latest
