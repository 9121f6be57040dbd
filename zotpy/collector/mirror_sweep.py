"""Notes of the mirror that are too old to count: of tags, referrers and registries, and of copies that ended.

Each may be lost at any time: what it says is then asked of the upstream once more.
"""

from dataclasses import dataclass

from zotpy.bucket.sweeps import pages
from zotpy.collector.collection import Collection
from zotpy.core import keys

LONGEST_S = 31 * 86400.0
"""The longest `manifestCheckInterval` or `pollInterval` is 30 days."""


@dataclass(frozen=True, slots=True)
class MirrorSweep:
    """The mirror's part of one collection."""

    collection: Collection

    async def run(self) -> None:
        """Delete old notes."""
        async for page in pages(self.collection.store, keys.MIRROR):
            old = [listed.key for listed in page.objects if self.collection.is_past(listed, LONGEST_S)]
            await self.collection.delete(old)
            self.collection.advance(len(page.objects))
