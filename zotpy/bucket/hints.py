"""Hints: where some repository keeps a digest's data already, so that it is not kept twice.

A hint is written after the lease of new data, and the collector deletes the hints before it takes data away. Two kinds
of hints are left over, and nobody must rely on them: those whose data was lost, and those that were written late, by a
process that had stopped (`zotpy.bucket.reliance`), perhaps after the collector looked for hints. So the data is
looked at, too: it must be there, with the right length, and the hint must have been written before the data was old
enough to be collected. Both times are the store's.
"""

from dataclasses import dataclass
from datetime import timedelta

import structlog

from zotpy.bucket.reliance import Reliance
from zotpy.bucket.times import Times
from zotpy.concurrency import cleaning_up
from zotpy.core import keys
from zotpy.core.digests import Digest
from zotpy.core.record_values import BlobValue
from zotpy.store.interface import Listed, Store

LOOKED_AT = 16
"""There is more than one where the same new blob was pushed several times at once."""

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Hints:
    """The hints of all digests; small blobs, which live in their records, have none."""

    store: Store
    times: Times

    async def find(self, digest: Digest, reliance: Reliance) -> BlobValue | None:
        """Return where some repository keeps this digest's data, if a hint says so: the oldest, as everybody does.

        One call where there is no hint, else one more for the data. The data must be named in a lease within a
        deadline, of which `reliance` notes the beginning.
        """
        listing = await self.store.list(keys.hints(digest), limit=LOOKED_AT)
        for listed in sorted(listing.objects, key=lambda listed: (listed.last_modified, listed.key)):
            hint = keys.Hint.parse(listed.key)
            if hint is not None and await self._holds(digest, listed, hint):
                reliance.note(listing.store_time)
                return BlobValue(hint.size_bytes, hint.data_id)
        return None

    async def write(self, digest: Digest, data_id: str, size_bytes: int) -> None:
        """Say where a digest's data is, once a lease names it.

        Not before: the collector takes data away after its hints, and one that came late for data that was never named
        would lead others to what is gone.
        """
        await self.store.put(keys.Hint(data_id, size_bytes).key(digest), str(digest).encode())

    async def drop(self, digest: Digest, data_id: str) -> None:
        """Let no push find data that was lost. Raises `StoreError`."""
        listing = await self.store.list(keys.hints(digest))
        for listed in listing.objects:
            if (hint := keys.Hint.parse(listed.key)) is not None and hint.data_id == data_id:
                await self.store.delete(listed.key)

    async def _holds(self, digest: Digest, listed: Listed, hint: keys.Hint) -> bool:
        """Say whether the data is there, and the hint is not a late one. A hint at lost data is deleted."""
        found = (await self.store.list(keys.data(hint.data_id), limit=1)).objects
        if not found or found[0].size_bytes != hint.size_bytes:
            log.error("damaged_hint", digest=str(digest), data=hint.data_id, reason="the data is gone, or was cut")
            with cleaning_up():
                await self.store.delete(listed.key)
            return False
        latest = timedelta(seconds=self.times.grace_s / 2 + 3 * self.times.deadline_s)
        return listed.last_modified < found[0].last_modified + latest
