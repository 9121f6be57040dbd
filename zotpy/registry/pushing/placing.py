"""Where the bytes of a blob come to be, so that a record can name them: in the record, or in data, new or older.

The cost does not depend on the blob's length: nothing is copied, renamed or read back. The exception is a blob whose
digest only the bytes in the store can tell. The reasons are a hash state that cannot travel, an algorithm named only by
the last request, or a store whose answer does not prove which parts it joined.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial

from zotpy.bucket.digesting import digest_of_stored
from zotpy.bucket.hints import Hints
from zotpy.bucket.reliance import Reliance
from zotpy.concurrency import cleaning_up, gather
from zotpy.core import keys
from zotpy.core.digests import Digest
from zotpy.core.errors import DigestInvalid
from zotpy.core.hashing import Hasher
from zotpy.core.names import RepositoryName
from zotpy.core.record_values import INLINE_LIMIT_BYTES, BlobValue
from zotpy.core.upload_state import KeptData, SentPart, UploadState
from zotpy.settings import GcSettings
from zotpy.store.interface import ContentRejected, Part, Store


@dataclass(eq=False, slots=True)
class WantedBlob:
    """The blob that the last request of an upload wants to make."""

    repo: RepositoryName
    digest: Digest
    on_right: Callable[[], None] | None = None
    """Called once the bytes are known to have the digest."""
    older: BlobValue | None = None
    """Where some repository has this digest already."""
    looked: Reliance | None = None
    """When an older copy was looked for, within the deadline of the commit; `None`: not yet."""

    def hashed(self, hasher: Hasher | None) -> None:
        """Take note that all bytes were hashed, unless only the store can tell the digest."""
        if self.on_right is not None and hasher is not None and hasher.digest() == self.digest:
            self.on_right()


@dataclass(frozen=True, slots=True)
class Placed:
    """Where the bytes of a blob are, so that a record can name them."""

    value: BlobValue
    is_new: bool = False
    """The data is this upload's own, and no hint names it yet."""
    surplus: Sequence[Callable[[], Awaitable[object]]] = field(default=())
    """Deletes what the upload has stored beside an older copy, once a lease names that."""


@dataclass(frozen=True, slots=True)
class Placing:
    """Brings the bytes of uploads to where they stay."""

    store: Store
    hints: Hints
    gc: GcSettings
    on_read_back: Callable[[int], None] = lambda _: None
    """Called with the length of each blob that is read back from the store."""

    async def place(self, wanted: WantedBlob, state: UploadState, reliance: Reliance, *, unread: bool) -> Placed:
        """Bring the bytes to where a record can name them. `reliance` notes since when they exist there."""
        if state.kept is not None:
            return await self._name_kept(wanted, state, state.kept, reliance, unread=unread)
        if state.parts:
            return await self._complete(wanted, state.closed(), reliance, unread=unread)
        if state.offset <= INLINE_LIMIT_BYTES:
            return Placed(BlobValue(state.offset, None, bytes(state.tail)))
        return await self._put_whole(wanted, state, reliance)

    async def _older(self, wanted: WantedBlob, size_bytes: int, reliance: Reliance) -> BlobValue | None:
        """Return an older copy; one of another length does not count."""
        if wanted.looked is None:
            await self.look_for_older(wanted)
        if wanted.older is None or wanted.older.size_bytes != size_bytes:
            return None
        if wanted.looked is not None and wanted.looked.since is not None:
            reliance.note(wanted.looked.since)
        return wanted.older

    async def _name_kept(
        self, wanted: WantedBlob, state: UploadState, kept: KeptData, reliance: Reliance, *, unread: bool
    ) -> Placed:
        """Name what the upload keeps, or an older copy. The collector deletes what is not named then."""
        if unread:
            await self.read_back(keys.data(kept.data_id), state.offset, wanted.digest)
        older = await self._older(wanted, state.offset, reliance)
        if older is not None:
            return Placed(older)
        reliance.note(self._kept_until(kept))
        return Placed(BlobValue(state.offset, kept.data_id), is_new=True)

    def _kept_until(self, kept: KeptData) -> datetime:
        """Return since when kept bytes may be relied on, for a deadline at most: see `zotpy.registry.pushing.kept`."""
        return kept.time + timedelta(seconds=self.gc.grace_s / 2)

    async def _put_whole(self, wanted: WantedBlob, state: UploadState, reliance: Reliance) -> Placed:
        """Write the data of a blob no longer than a part, and look for an older copy meanwhile."""
        data_id = keys.new_id()

        async def put() -> datetime:
            return (await self.store.put(keys.data(data_id), state.tail)).store_time

        stored, older = await gather(put, partial(self._older, wanted, state.offset, reliance))
        if isinstance(older, BlobValue):
            return Placed(older, surplus=[partial(self._drop_data, data_id)])
        if isinstance(stored, datetime):
            reliance.note(stored)
        return Placed(BlobValue(state.offset, data_id), is_new=True)

    async def _complete(self, wanted: WantedBlob, state: UploadState, reliance: Reliance, *, unread: bool) -> Placed:
        """Send the last part and complete the multipart, unless an older copy exists by now."""
        if (multipart := state.multipart) is None:
            msg = "an upload with parts has no multipart"
            raise ContentRejected(msg)
        last, older = await gather(
            partial(self._last_part, state), partial(self._older, wanted, state.offset, reliance)
        )
        if isinstance(older, BlobValue) and not unread:
            return Placed(older, surplus=[partial(self.drop_multipart, state)])
        sent = state.parts + ((last,) if isinstance(last, SentPart) else ())
        parts = [Part(part.number, part.etag, part.crc32c) for part in sent]
        stored = await self.store.complete_multipart(multipart.key, multipart.multipart_id, parts)
        if unread or not stored.verified:
            await self.read_back(multipart.key, state.offset, wanted.digest)
        reliance.note(stored.store_time)
        return Placed(BlobValue(state.offset, multipart.data_id), is_new=True)

    async def _last_part(self, state: UploadState) -> SentPart | None:
        if not state.tail or (multipart := state.multipart) is None:
            return None
        number = len(state.parts) + 1
        part = await self.store.put_part(multipart.key, multipart.multipart_id, number, state.tail)
        return SentPart(part.number, part.etag, part.crc32c)

    async def read_back(self, key: str, size_bytes: int, digest: Digest) -> None:
        """Hash the bytes in the store. Raises `DigestInvalid` if they have another digest.

        The bytes stay where they are. Another request that ended the same upload may have made a blob of them, under
        the digest that they do have. The collector deletes bytes that nothing names.
        """
        self.on_read_back(size_bytes)
        compare(await digest_of_stored(self.store, key, size_bytes, digest.algorithm), digest)

    async def look_for_older(self, wanted: WantedBlob) -> None:
        """Find out whether some repository has the digest already."""
        looked = Reliance(self.gc.deadline_s)
        wanted.older = await self.hints.find(wanted.digest, looked)
        wanted.looked = looked

    async def drop_multipart(self, state: UploadState) -> None:
        """Abort the upload's multipart; never raises a `StoreError`."""
        if state.multipart is None:
            return
        with cleaning_up():
            await self.store.abort_multipart(state.multipart.key, state.multipart.multipart_id)

    async def _drop_data(self, data_id: str) -> None:
        """Delete bytes that no lease names; never raises a `StoreError`."""
        with cleaning_up():
            await self.store.delete(keys.data(data_id))


def compare(actual: Digest, wanted: Digest) -> None:
    """Raise `DigestInvalid` unless the two are the same."""
    if actual != wanted:
        msg = f"the content has the digest {actual}, not {wanted}: it was cut or changed on its way: push it again"
        raise DigestInvalid(msg, detail={"digest": str(wanted), "actual": str(actual)})
