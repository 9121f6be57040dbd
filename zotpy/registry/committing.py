"""From received bytes to a record: the data object where one is needed, then a lease, then the entry.

The cost does not depend on the blob's length: nothing is copied, renamed or read back, but where only the bytes in the
store can tell the digest: a hash state that cannot travel, an algorithm learnt at the last moment, a store whose answer
does not prove which parts it joined.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial

import structlog
import trio

from zotpy.core import keys
from zotpy.core.digests import Digest
from zotpy.core.errors import DigestInvalid, SizeInvalid
from zotpy.core.hashing import Hasher, new_hasher
from zotpy.core.names import RepositoryName
from zotpy.core.pieces import Pieces
from zotpy.core.records import INLINE_LIMIT_BYTES, BlobValue
from zotpy.core.uploads import SentPart, UploadState
from zotpy.registry.concurrency import gather, within_deadline
from zotpy.registry.pipeline import hash_pieces
from zotpy.registry.records import Records
from zotpy.registry.settings import RegistrySettings
from zotpy.store.interface import ContentRejected, Part, Store, StoreError

CLEANUP_S = 20.0
"""How long cleaning up after a failure may take before it is left to the collector."""

HINTS_LOOKED_AT = 16
"""There is more than one where the same new blob was pushed several times at once."""

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Commit:
    """Makes blobs out of uploads whose bytes have all been received."""

    store: Store
    records: Records
    settings: RegistrySettings

    async def commit(
        self, repo: RepositoryName, digest: Digest, state: UploadState, hasher: Hasher | None
    ) -> BlobValue:
        """Make `digest` exist in `repo`; raises `DigestInvalid` where the bytes have another digest.

        Where it raises, the upload's multipart is still there: the caller decides whether to drop it.
        """
        unread = hasher is None or hasher.algorithm != digest.algorithm
        if unread and not state.parts:
            hasher = new_hasher(digest.algorithm)
            await hash_pieces(hasher, state.tail)
            unread = False
        if not unread and hasher is not None:
            _compare(hasher.digest(), digest)
        with within_deadline(self.settings.deadline_s):
            if not state.parts and state.offset <= INLINE_LIMIT_BYTES:
                value = BlobValue(state.offset, None, bytes(state.tail))
                await self.records.write(repo, "blobs", digest, value)
                return value
            if state.parts:
                value, is_new = await self._complete(state, digest, unread=unread)
            else:
                value, is_new = await self._put_whole(state, digest)
            await self._record(repo, digest, value, is_new=is_new)
        return value

    async def hinted(self, digest: Digest) -> BlobValue | None:
        """Return where some repository keeps this digest's data, if a hint says so: the oldest, as everybody does."""
        listing = await self.store.list(keys.hints(digest), limit=HINTS_LOOKED_AT)
        for listed in sorted(listing.objects, key=lambda listed: (listed.last_modified, listed.key)):
            if (hint := keys.Hint.parse(listed.key)) is not None:
                return BlobValue(hint.size_bytes, hint.data_id)
        return None

    async def drop_multipart(self, state: UploadState) -> None:
        """Abort the upload's multipart; never raises a `StoreError`."""
        if state.data_id is None or state.multipart_id is None:
            return
        with cleaning_up():
            await self.store.abort_multipart(keys.data(state.data_id), state.multipart_id)

    async def _record(self, repo: RepositoryName, digest: Digest, value: BlobValue, *, is_new: bool) -> None:
        """Write the lease; then the entry, and the hint for new data beside it.

        The hint comes after the lease, so that there is none for data that was never named: the collector takes data
        away after its hints, and one that came late would lead others to what is gone.
        """
        lease = await self.records.write_lease(repo, "blobs", digest, value)
        calls = [partial(self.records.write_entry, repo, "blobs", digest, value, lease)]
        if is_new and value.data_id is not None:
            calls.append(partial(self._write_hint, digest, keys.Hint(value.data_id, value.size_bytes)))
        await gather(*calls)

    async def _write_hint(self, digest: Digest, hint: keys.Hint) -> None:
        await self.store.put(hint.key(digest), str(digest).encode())

    async def _put_whole(self, state: UploadState, digest: Digest) -> tuple[BlobValue, bool]:
        """Write the data of a blob no longer than a part, and look for an older copy meanwhile."""
        data_id = keys.new_id()
        _, older = await gather(partial(self.store.put, keys.data(data_id), state.tail), partial(self.hinted, digest))
        if isinstance(older, BlobValue) and older.size_bytes == state.offset:
            await self.store.delete(keys.data(data_id))
            return older, False
        return BlobValue(state.offset, data_id), True

    async def _complete(self, state: UploadState, digest: Digest, *, unread: bool) -> tuple[BlobValue, bool]:
        """Send the last part and complete the multipart, unless an older copy is there by now."""
        if state.data_id is None or state.multipart_id is None:
            msg = "an upload with parts has no multipart"
            raise ContentRejected(msg)
        key = keys.data(state.data_id)
        last, older = await gather(partial(self._last_part, state), partial(self.hinted, digest))
        if isinstance(older, BlobValue) and older.size_bytes == state.offset and not unread:
            await self.drop_multipart(state)
            return older, False
        sent = state.parts + ((last,) if isinstance(last, SentPart) else ())
        parts = [Part(part.number, part.etag, part.crc32c) for part in sent]
        stored = await self.store.complete_multipart(key, state.multipart_id, parts)
        if unread or not stored.verified:
            await self._read_back(key, state.offset, digest)
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
        hasher = new_hasher(digest.algorithm)
        async with self.store.open(key, 0, size_bytes) as chunks:
            async for chunk in chunks:
                await hash_pieces(hasher, Pieces(chunk))
        _compare(hasher.digest(), digest)


@contextmanager
def cleaning_up() -> Iterator[None]:
    """Clean up, shielded and bounded in time. What the store does not do is the collector's, and hides no error."""
    try:
        with trio.move_on_after(CLEANUP_S, shield=True):
            yield
    except StoreError as error:
        log.warning("not_cleaned_up", reason=str(error))


def check_length(state: UploadState, started_at: int, promised_bytes: int | None) -> None:
    """Raise `SizeInvalid` where a request carried another number of bytes than it promised."""
    received = state.offset - started_at
    if promised_bytes is not None and received != promised_bytes:
        msg = f"the request carried {received} bytes, not the {promised_bytes} it promised"
        raise SizeInvalid(msg)


def _compare(actual: Digest, wanted: Digest) -> None:
    if actual != wanted:
        msg = f"the content has the digest {actual}, not {wanted}: it was cut or changed on its way"
        raise DigestInvalid(msg, detail={"digest": str(wanted), "actual": str(actual)})
