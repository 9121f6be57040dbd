"""Hints: where some repository keeps a digest's data already, so that it is not kept twice."""

from dataclasses import dataclass

from zotpy.core import keys
from zotpy.core.digests import Digest
from zotpy.core.records import BlobValue
from zotpy.store.interface import Store

LOOKED_AT = 16
"""There is more than one where the same new blob was pushed several times at once."""


@dataclass(frozen=True, slots=True)
class Hints:
    """The hints of all digests; small blobs, which live in their records, have none."""

    store: Store

    async def find(self, digest: Digest) -> BlobValue | None:
        """Return where some repository keeps this digest's data, if a hint says so: the oldest, as everybody does.

        Who names it in a lease must do so within a deadline.
        """
        listing = await self.store.list(keys.hints(digest), limit=LOOKED_AT)
        for listed in sorted(listing.objects, key=lambda listed: (listed.last_modified, listed.key)):
            if (hint := keys.Hint.parse(listed.key)) is not None:
                return BlobValue(hint.size_bytes, hint.data_id)
        return None

    async def write(self, digest: Digest, data_id: str, size_bytes: int) -> None:
        """Say where a digest's data is, once a lease names it.

        Not before: the collector takes data away after its hints, and one that came late for data that was never named
        would lead others to what is gone.
        """
        await self.store.put(keys.Hint(data_id, size_bytes).key(digest), str(digest).encode())
