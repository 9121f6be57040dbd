"""From received bytes to a record: the data object if one is needed, then a lease, then the entry.

The cost does not depend on the blob's length: nothing is copied, renamed or read back. The exception is a blob whose
digest only the bytes in the store can tell. The reasons are a hash state that cannot travel, an algorithm named only by
the last request, or a store whose answer does not prove which parts it joined.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial

from zotpy.bucket.digesting import digest_of_stored, hash_pieces
from zotpy.bucket.hints import Hints
from zotpy.bucket.records import Records
from zotpy.bucket.reliance import Reliance, in_time
from zotpy.concurrency import cleaning_up, gather
from zotpy.core import keys
from zotpy.core.digests import Digest
from zotpy.core.errors import DigestInvalid, TooLate
from zotpy.core.hashing import Hasher, new_hasher
from zotpy.core.names import RepositoryName
from zotpy.core.record_values import INLINE_LIMIT_BYTES, BlobValue
from zotpy.core.upload_state import Kept, SentPart, UploadState
from zotpy.settings import Settings
from zotpy.store.interface import ContentRejected, Part, Store

Forget = Callable[[], Awaitable[None]]
"""Deletes an upload's state."""


@dataclass(eq=False, slots=True)
class Ending:
    """The blob that the last request of an upload wants to make."""

    repo: RepositoryName
    digest: Digest
    older: BlobValue | None = None
    """Where some repository has this digest already."""
    looked: Reliance | None = None
    """When an older copy was looked for, within the deadline of the commit; `None`: not yet."""


@dataclass(frozen=True, slots=True)
class _Placed:
    """Where the bytes of a blob are, so that a record can name them."""

    value: BlobValue
    is_new: bool = False
    """The data is this upload's own, and no hint names it yet."""
    surplus: Sequence[Callable[[], Awaitable[object]]] = field(default=())
    """Deletes what the upload has stored beside an older copy, once a lease names that."""


@dataclass(frozen=True, slots=True)
class Commit:
    """Makes blobs out of uploads whose bytes have all been received."""

    store: Store
    records: Records
    hints: Hints
    settings: Settings
    on_read_back: Callable[[int], None] = lambda _: None
    """Called with the length of each blob that is read back from the store."""

    async def commit(self, ending: Ending, state: UploadState, hasher: Hasher | None, forget: Forget) -> BlobValue:
        """Make the blob exist, and delete the upload's state. Raises `DigestInvalid` if the bytes have another digest.

        If it raises, the upload's multipart still exists: the caller decides whether to drop it.
        """
        unread = hasher is None or hasher.algorithm != ending.digest.algorithm
        if unread and not state.parts and state.kept is None:
            hasher = new_hasher(ending.digest.algorithm)
            await hash_pieces(hasher, state.tail)
            unread = False
        if not unread and hasher is not None:
            _compare(hasher.digest(), ending.digest)

        async def make(reliance: Reliance) -> BlobValue:
            placed = await self._store(ending, state, reliance, unread=unread)
            try:
                await self._record(ending, placed, forget, reliance)
            except TooLate:
                ending.looked = None
                raise
            return placed.value

        return await in_time(self.settings.gc.deadline_s, make)

    async def done(self, ending: Ending) -> BlobValue | None:
        """Return the blob if it exists, and outlives the deadline."""
        return await in_time(
            self.settings.gc.deadline_s, partial(self.records.rely_on_blob, ending.repo, ending.digest)
        )

    async def joined(self, ending: Ending, state: UploadState, forget: Forget) -> BlobValue | None:
        """Make the blob of parts that another PUT has joined; `None` if that did not happen, or with another digest.

        That PUT may not have reached its lease. The bytes are read back, because it may have had another end. They must
        also be young enough to be named, like kept ones (see `zotpy.registry.pushing.kept`). Their age is at most what
        the store says: some stores count from when the multipart was begun.
        """
        data_id = state.data_id
        if data_id is None or state.multipart_id is None:
            return None

        async def name(reliance: Reliance) -> BlobValue | None:
            if (value := await self.records.rely_on_blob(ending.repo, ending.digest, reliance)) is not None:
                await forget()
                return value
            listing = await self.store.list(keys.data(data_id), limit=1)
            for data in listing.objects:
                if (listing.store_time - data.last_modified).total_seconds() < self.settings.gc.grace_s / 2:
                    try:
                        await self._read_back(data.key, data.size_bytes, ending.digest)
                    except DigestInvalid:
                        return None
                    value = BlobValue(data.size_bytes, data_id)
                    reliance.note(listing.store_time)
                    await self._record(ending, _Placed(value, is_new=True), forget, reliance)
            return value

        return await in_time(self.settings.gc.deadline_s, name)

    async def look_for_older(self, ending: Ending) -> None:
        """Find out whether some repository has the digest already."""
        looked = Reliance(self.settings.gc.deadline_s)
        ending.older = await self.hints.find(ending.digest, looked)
        ending.looked = looked

    async def drop_multipart(self, state: UploadState) -> None:
        """Abort the upload's multipart; never raises a `StoreError`."""
        if state.data_id is None or state.multipart_id is None:
            return
        with cleaning_up():
            await self.store.abort_multipart(keys.data(state.data_id), state.multipart_id)

    async def _drop_data(self, data_id: str) -> None:
        """Delete bytes that no lease names; never raises a `StoreError`."""
        with cleaning_up():
            await self.store.delete(keys.data(data_id))

    async def _record(self, ending: Ending, placed: _Placed, forget: Forget, reliance: Reliance) -> None:
        """Write the lease; then the entry, and beside it the hint for new data, and delete the upload's state.

        The state is deleted after the lease, and so is what is stored twice. Until then the client can send its last
        request again, and from then on the blob exists. Raises `TooLate`.
        """
        value = placed.value
        lease = await self.records.leases.write(ending.repo, "blobs", ending.digest, value, reliance)
        write_entry = partial(self.records.entries.write, ending.repo, "blobs", ending.digest, value, lease)
        calls: list[Callable[[], Awaitable[object]]] = [write_entry, forget, *placed.surplus]
        if placed.is_new and value.data_id is not None:
            calls.append(partial(self.hints.write, ending.digest, value.data_id, value.size_bytes))
        await gather(*calls)

    async def _store(self, ending: Ending, state: UploadState, reliance: Reliance, *, unread: bool) -> _Placed:
        """Bring the bytes to where a record can name them. `reliance` notes since when they exist there."""
        if state.kept is not None:
            return await self._name_kept(ending, state, state.kept, reliance, unread=unread)
        if state.parts:
            return await self._complete(ending, state.closed(), reliance, unread=unread)
        if state.offset <= INLINE_LIMIT_BYTES:
            return _Placed(BlobValue(state.offset, None, bytes(state.tail)))
        return await self._put_whole(ending, state, reliance)

    async def _older(self, ending: Ending, size_bytes: int, reliance: Reliance) -> BlobValue | None:
        """Return an older copy; one of another length does not count."""
        if ending.looked is None:
            await self.look_for_older(ending)
        if ending.older is None or ending.older.size_bytes != size_bytes:
            return None
        if ending.looked is not None and ending.looked.since is not None:
            reliance.note(ending.looked.since)
        return ending.older

    async def _name_kept(
        self, ending: Ending, state: UploadState, kept: Kept, reliance: Reliance, *, unread: bool
    ) -> _Placed:
        """Name what the upload keeps, or an older copy. The collector deletes what is not named then."""
        if unread:
            await self._read_back(keys.data(kept.data_id), state.offset, ending.digest)
        older = await self._older(ending, state.offset, reliance)
        if older is not None:
            return _Placed(older)
        reliance.note(self._kept_until(kept))
        return _Placed(BlobValue(state.offset, kept.data_id), is_new=True)

    def _kept_until(self, kept: Kept) -> datetime:
        """Return since when kept bytes may be relied on, for a deadline at most: see `zotpy.registry.pushing.kept`."""
        return kept.time + timedelta(seconds=self.settings.gc.grace_s / 2)

    async def _put_whole(self, ending: Ending, state: UploadState, reliance: Reliance) -> _Placed:
        """Write the data of a blob no longer than a part, and look for an older copy meanwhile."""
        data_id = keys.new_id()

        async def put() -> datetime:
            return (await self.store.put(keys.data(data_id), state.tail)).store_time

        stored, older = await gather(put, partial(self._older, ending, state.offset, reliance))
        if isinstance(older, BlobValue):
            return _Placed(older, surplus=[partial(self._drop_data, data_id)])
        if isinstance(stored, datetime):
            reliance.note(stored)
        return _Placed(BlobValue(state.offset, data_id), is_new=True)

    async def _complete(self, ending: Ending, state: UploadState, reliance: Reliance, *, unread: bool) -> _Placed:
        """Send the last part and complete the multipart, unless an older copy exists by now."""
        if state.data_id is None or state.multipart_id is None:
            msg = "an upload with parts has no multipart"
            raise ContentRejected(msg)
        key = keys.data(state.data_id)
        last, older = await gather(
            partial(self._last_part, state), partial(self._older, ending, state.offset, reliance)
        )
        if isinstance(older, BlobValue) and not unread:
            return _Placed(older, surplus=[partial(self.drop_multipart, state)])
        sent = state.parts + ((last,) if isinstance(last, SentPart) else ())
        parts = [Part(part.number, part.etag, part.crc32c) for part in sent]
        stored = await self.store.complete_multipart(key, state.multipart_id, parts)
        if unread or not stored.verified:
            await self._read_back(key, state.offset, ending.digest)
        reliance.note(stored.store_time)
        return _Placed(BlobValue(state.offset, state.data_id), is_new=True)

    async def _last_part(self, state: UploadState) -> SentPart | None:
        if not state.tail or state.data_id is None or state.multipart_id is None:
            return None
        part = await self.store.put_part(keys.data(state.data_id), state.multipart_id, len(state.parts) + 1, state.tail)
        return SentPart(part.number, part.etag, part.crc32c)

    async def _read_back(self, key: str, size_bytes: int, digest: Digest) -> None:
        """Hash the bytes in the store. Raises `DigestInvalid` if they have another digest.

        The bytes stay where they are. Another request that ended the same upload may have made a blob of them, under
        the digest that they do have. The collector deletes bytes that nothing names.
        """
        self.on_read_back(size_bytes)
        _compare(await digest_of_stored(self.store, key, size_bytes, digest.algorithm), digest)


def _compare(actual: Digest, wanted: Digest) -> None:
    if actual != wanted:
        msg = f"the content has the digest {actual}, not {wanted}: it was cut or changed on its way: push it again"
        raise DigestInvalid(msg, detail={"digest": str(wanted), "actual": str(actual)})
