"""From received bytes to a record: the data object where one is needed, then a lease, then the entry.

The cost does not depend on the blob's length: nothing is copied, renamed or read back, but where only the bytes in the
store can tell the digest: a hash state that cannot travel, an algorithm learnt at the last moment, a store whose answer
does not prove which parts it joined.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial

from zotpy.core import keys
from zotpy.core.digests import Digest
from zotpy.core.errors import DigestInvalid
from zotpy.core.hashing import Hasher, new_hasher
from zotpy.core.names import RepositoryName
from zotpy.core.records import INLINE_LIMIT_BYTES, BlobValue
from zotpy.core.uploads import Kept, SentPart, UploadState
from zotpy.registry.concurrency import beside, cleaning_up, gather, within_deadline
from zotpy.registry.digesting import digest_of_stored, hash_pieces
from zotpy.registry.hints import Hints
from zotpy.registry.records import Records
from zotpy.registry.settings import RegistrySettings
from zotpy.store.interface import ContentRejected, Part, Store

Forget = Callable[[], Awaitable[None]]
"""Deletes an upload's state."""


@dataclass(eq=False, slots=True)
class Ending:
    """The blob that the last request of an upload wants to make."""

    repo: RepositoryName
    digest: Digest
    older: BlobValue | None = None
    """Where some repository keeps this digest already."""
    has_looked: bool = False
    """For an older copy, within the deadline that the commit keeps to."""


@dataclass(frozen=True, slots=True)
class Commit:
    """Makes blobs out of uploads whose bytes have all been received."""

    store: Store
    records: Records
    hints: Hints
    settings: RegistrySettings
    on_read_back: Callable[[int], None] = lambda _: None
    """Called with the length of each blob that is read back from the store."""

    async def commit(self, ending: Ending, state: UploadState, hasher: Hasher | None, forget: Forget) -> BlobValue:
        """Make the blob exist, and the upload's state go; raises `DigestInvalid` where the bytes have another digest.

        Where it raises, the upload's multipart is still there: the caller decides whether to drop it.
        """
        unread = hasher is None or hasher.algorithm != ending.digest.algorithm
        if unread and not state.parts and state.kept is None:
            hasher = new_hasher(ending.digest.algorithm)
            await hash_pieces(hasher, state.tail)
            unread = False
        if not unread and hasher is not None:
            _compare(hasher.digest(), ending.digest)
        with within_deadline(self.settings.deadline_s):
            value, is_new = await self._store(ending, state, unread=unread)
            await self._record(ending, value, forget, is_new=is_new)
        return value

    async def done(self, ending: Ending) -> BlobValue | None:
        """Return the blob if it exists, and outlives the deadline."""
        with within_deadline(self.settings.deadline_s):
            return await self.records.rely_on_blob(ending.repo, ending.digest)

    async def joined(self, ending: Ending, state: UploadState, forget: Forget) -> BlobValue | None:
        """Make the blob of parts that another PUT has joined; `None` where there are none, or of another digest.

        That PUT did not come as far as its lease, perhaps. The bytes are read back: it may have had another end. And
        they must be young enough to be named, as kept ones (see `zotpy.registry.kept`). Their age is at most what the
        store says: some count from when the multipart was begun.
        """
        if state.data_id is None or state.multipart_id is None:
            return None
        with within_deadline(self.settings.deadline_s):
            if (value := await self.done(ending)) is not None:
                await forget()
                return value
            listing = await self.store.list(keys.data(state.data_id), limit=1)
            for data in listing.objects:
                if (listing.store_time - data.last_modified).total_seconds() < self.settings.grace_s / 2:
                    try:
                        await self._read_back(data.key, data.size_bytes, ending.digest)
                    except DigestInvalid:
                        return None
                    value = BlobValue(data.size_bytes, state.data_id)
                    await self._record(ending, value, forget, is_new=True)
        return value

    async def look_for_older(self, ending: Ending) -> None:
        """Find out whether some repository keeps the digest already."""
        ending.older = await self.hints.find(ending.digest)
        ending.has_looked = True

    async def drop_multipart(self, state: UploadState) -> None:
        """Abort the upload's multipart; never raises a `StoreError`."""
        if state.data_id is None or state.multipart_id is None:
            return
        with cleaning_up():
            await self.store.abort_multipart(keys.data(state.data_id), state.multipart_id)

    async def _record(self, ending: Ending, value: BlobValue, forget: Forget, *, is_new: bool) -> None:
        """Write the lease; then the entry, and the hint for new data beside it, while the upload's state goes.

        The state goes after the lease: until then the client can send its last request again, and from then on there
        is the blob.
        """
        lease = await self.records.write_lease(ending.repo, "blobs", ending.digest, value)
        write_entry = partial(self.records.write_entry, ending.repo, "blobs", ending.digest, value, lease)
        calls: list[Callable[[], Awaitable[None]]] = [write_entry, forget]
        if is_new and value.data_id is not None:
            calls.append(partial(self.hints.write, ending.digest, value.data_id, value.size_bytes))
        await gather(*calls)

    async def _store(self, ending: Ending, state: UploadState, *, unread: bool) -> tuple[BlobValue, bool]:
        """Bring the bytes to where a record can name them; also returns whether that is a new data object."""
        if state.kept is not None:
            return await self._name_kept(ending, state, state.kept, unread=unread)
        if state.parts:
            return await self._complete(ending, state.closed(), unread=unread)
        if state.offset <= INLINE_LIMIT_BYTES:
            return BlobValue(state.offset, None, bytes(state.tail)), False
        return await self._put_whole(ending, state)

    async def _older(self, ending: Ending, size_bytes: int) -> BlobValue | None:
        """Return an older copy; one of another length is none."""
        if not ending.has_looked:
            await self.look_for_older(ending)
        return ending.older if ending.older is not None and ending.older.size_bytes == size_bytes else None

    async def _name_kept(
        self, ending: Ending, state: UploadState, kept: Kept, *, unread: bool
    ) -> tuple[BlobValue, bool]:
        """Name what the upload keeps, or an older copy; what is not named then is the collector's."""
        if unread:
            await self._read_back(keys.data(kept.data_id), state.offset, ending.digest)
        older = await self._older(ending, state.offset)
        return (older, False) if older is not None else (BlobValue(state.offset, kept.data_id), True)

    async def _put_whole(self, ending: Ending, state: UploadState) -> tuple[BlobValue, bool]:
        """Write the data of a blob no longer than a part, and look for an older copy meanwhile."""
        data_id = keys.new_id()
        older = await beside(
            partial(self._older, ending, state.offset), partial(self.store.put, keys.data(data_id), state.tail)
        )
        if older is not None:
            with cleaning_up():
                await self.store.delete(keys.data(data_id))
            return older, False
        return BlobValue(state.offset, data_id), True

    async def _complete(self, ending: Ending, state: UploadState, *, unread: bool) -> tuple[BlobValue, bool]:
        """Send the last part and complete the multipart, unless an older copy is there by now."""
        if state.data_id is None or state.multipart_id is None:
            msg = "an upload with parts has no multipart"
            raise ContentRejected(msg)
        key = keys.data(state.data_id)
        last, older = await gather(partial(self._last_part, state), partial(self._older, ending, state.offset))
        if isinstance(older, BlobValue) and not unread:
            await self.drop_multipart(state)
            return older, False
        sent = state.parts + ((last,) if isinstance(last, SentPart) else ())
        parts = [Part(part.number, part.etag, part.crc32c) for part in sent]
        stored = await self.store.complete_multipart(key, state.multipart_id, parts)
        if unread or not stored.verified:
            await self._read_back(key, state.offset, ending.digest)
        return BlobValue(state.offset, state.data_id), True

    async def _last_part(self, state: UploadState) -> SentPart | None:
        if not state.tail or state.data_id is None or state.multipart_id is None:
            return None
        part = await self.store.put_part(keys.data(state.data_id), state.multipart_id, len(state.parts) + 1, state.tail)
        return SentPart(part.number, part.etag, part.crc32c)

    async def _read_back(self, key: str, size_bytes: int, digest: Digest) -> None:
        """Hash the bytes in the store; raises `DigestInvalid` where they have another digest.

        They stay where they are: another request that ended the same upload may have made a blob of them, under
        the digest that they do have. Bytes that nobody names are the collector's.
        """
        self.on_read_back(size_bytes)
        _compare(await digest_of_stored(self.store, key, size_bytes, digest.algorithm), digest)


def _compare(actual: Digest, wanted: Digest) -> None:
    if actual != wanted:
        msg = f"the content has the digest {actual}, not {wanted}: it was cut or changed on its way"
        raise DigestInvalid(msg, detail={"digest": str(wanted), "actual": str(actual)})
