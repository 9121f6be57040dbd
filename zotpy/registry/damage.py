"""Lost data: a blob whose bytes the store has lost counts as missing, so that clients push it again.

A record says where the bytes are, and only a read finds that they are missing: a HEAD that checked them would cost one
call more. So if the store cannot answer a GET, the GET checks the data. If the data is missing or has another length,
and the record still names it, the blob is lost: from then on its entry says so. The hints to the data are deleted. HEAD
and GET then answer 404, and a manifest that needs the blob is refused with its digest. A push stores the bytes anew,
and writes a new entry. Nothing else is deleted: if the data comes back, `zotpy fsck --repair` makes the entry right.

The bytes of a small blob are in its record. They are checked whenever it is read. If they do not have its digest, the
blob counts as missing, too.
"""

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass

import structlog

from zotpy.bucket.hints import Hints
from zotpy.bucket.records import Records
from zotpy.concurrency import cleaning_up
from zotpy.core import keys
from zotpy.core.digests import Digest
from zotpy.core.errors import BlobUnknown, TryAgain
from zotpy.core.names import RepositoryName
from zotpy.core.record_values import BlobValue
from zotpy.store.interface import Store, StoreError

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Damage:
    """Finds out whether data is lost, and says so in the record."""

    store: Store
    records: Records
    hints: Hints
    on_damage: Callable[[], None] = lambda: None
    """Called for each blob whose data was found to be lost."""

    async def raise_if_lost(self, repo: RepositoryName, digest: Digest, value: BlobValue) -> None:
        """Return if the data exists as the record says.

        Otherwise raise `BlobUnknown`, or `TryAgain` if it was pushed anew.
        """
        if value.data_id is None:
            return
        found = (await self.store.list(keys.data(value.data_id), limit=1)).objects
        if found and found[0].size_bytes == value.size_bytes:
            return
        seen = await self.records.look(repo, "blobs", digest)
        if isinstance(seen.value, BlobValue) and seen.value.data_id != value.data_id:
            msg = f"another client has just pushed {digest} again: try again"
            raise TryAgain(msg)
        if seen.value is not None:
            size_bytes = found[0].size_bytes if found else None
            log.error("damaged_blob", repository=repo.text, digest=str(digest), data=value.data_id, found=size_bytes)
            self.on_damage()
            with cleaning_up():
                await self.records.entries.mark_lost(repo, digest, seen, value)
                await self.hints.drop(digest, value.data_id)
        msg = f"the store has lost the data of {digest}: push the blob again"
        raise BlobUnknown(msg, detail={"digest": str(digest), "reason": "damaged"})

    def of_record(self, repo: RepositoryName, digest: Digest) -> BlobUnknown:
        """Note that the bytes in the record of a small blob are not those that were pushed. Return what to raise."""
        log.error("damaged_blob", repository=repo.text, digest=str(digest), data=None)
        self.on_damage()
        msg = f"the bytes of {digest} are damaged in the store: push the blob again"
        return BlobUnknown(msg, detail={"digest": str(digest), "reason": "damaged"})


def is_whole(value: BlobValue, digest: Digest) -> bool:
    """Say whether the bytes in a record have its digest. Those of a large blob are not in its record."""
    return value.data_id is not None or Digest.of(value.content, digest.algorithm) == digest


class CheckedReads:
    """The bytes of a blob. If the store fails before the first of them, the data is checked."""

    def __init__(
        self, chunks: AsyncIterator[bytes], damage: Damage, repo: RepositoryName, digest: Digest, value: BlobValue
    ) -> None:
        """Pass on `chunks`, which are those of `value`."""
        self._chunks = chunks
        self._damage = damage
        self._blob = repo, digest, value
        self._has_begun = False

    def __aiter__(self) -> AsyncIterator[bytes]:
        """Return itself."""
        return self

    async def __anext__(self) -> bytes:
        """Return the next bytes. Raises `BlobUnknown` if they are lost and none were returned yet, `StoreError`."""
        try:
            chunk = await anext(self._chunks)
        except StoreError:
            try:
                await self._damage.raise_if_lost(*self._blob)
            except (BlobUnknown, TryAgain):
                if not self._has_begun:
                    raise
            raise
        self._has_begun = True
        return chunk
