"""From received bytes to a record: the data object if one is needed, then a lease, then the entry.

A small blob needs neither data nor lease (`zotpy.bucket.own_leases`).
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial

from zotpy.bucket.digesting import hash_pieces
from zotpy.bucket.hints import Hints
from zotpy.bucket.records import Records
from zotpy.bucket.reliance import Reliance, in_time
from zotpy.concurrency import gather
from zotpy.core.errors import DigestInvalid, TooLate
from zotpy.core.hashing import Hasher, new_hasher
from zotpy.core.record_values import BlobValue
from zotpy.core.upload_state import UploadState
from zotpy.registry.pushing.placing import Placed, Placing, WantedBlob, compare
from zotpy.settings import Settings
from zotpy.store.interface import Store

Forget = Callable[[], Awaitable[None]]
"""Deletes an upload's state, if it has one."""


@dataclass(frozen=True, slots=True)
class Commit:
    """Makes blobs out of uploads whose bytes have all been received."""

    store: Store
    records: Records
    hints: Hints
    settings: Settings
    placing: Placing

    async def commit(
        self, wanted: WantedBlob, state: UploadState, hasher: Hasher | None, forget: Forget | None
    ) -> BlobValue:
        """Make the blob exist, and delete the upload's state. Raises `DigestInvalid` if the bytes have another digest.

        Without a state `forget` is `None`: then mostly one call is left at the end, which needs no task.

        If it raises, the upload's multipart still exists: the caller decides whether to drop it.
        """
        unread = hasher is None or hasher.algorithm != wanted.digest.algorithm
        if unread and not state.parts and state.kept is None:
            hasher = new_hasher(wanted.digest.algorithm)
            await hash_pieces(hasher, state.tail)
            unread = False
        if not unread and hasher is not None:
            compare(hasher.digest(), wanted.digest)

        async def make(reliance: Reliance) -> BlobValue:
            placed = await self.placing.place(wanted, state, reliance, unread=unread)
            try:
                await self._record(wanted, placed, forget, reliance)
            except TooLate:
                wanted.looked = None
                raise
            return placed.value

        return await in_time(self.settings.gc.deadline_s, make)

    async def done(self, wanted: WantedBlob) -> BlobValue | None:
        """Return the blob if it exists, and outlives the deadline."""
        return await in_time(
            self.settings.gc.deadline_s, partial(self.records.rely_on_blob, wanted.repo, wanted.digest)
        )

    async def joined(self, wanted: WantedBlob, state: UploadState, forget: Forget) -> BlobValue | None:
        """Make the blob of parts that another PUT has joined; `None` if that did not happen, or with another digest.

        That PUT may not have reached its lease. The bytes are read back, because it may have had another end. They must
        also be young enough to be named, like kept ones (see `zotpy.registry.pushing.kept`). Their age is at most what
        the store says: some stores count from when the multipart was begun.
        """
        if (multipart := state.multipart) is None:
            return None

        async def name(reliance: Reliance) -> BlobValue | None:
            if (value := await self.records.rely_on_blob(wanted.repo, wanted.digest, reliance)) is not None:
                await forget()
                return value
            listing = await self.store.list(multipart.key, limit=1)
            for data in listing.objects:
                if (listing.store_time - data.last_modified).total_seconds() < self.settings.gc.grace_s / 2:
                    try:
                        await self.placing.read_back(data.key, data.size_bytes, wanted.digest)
                    except DigestInvalid:
                        return None
                    value = BlobValue(data.size_bytes, multipart.data_id)
                    reliance.note(listing.store_time)
                    await self._record(wanted, Placed(value, is_new=True), forget, reliance)
            return value

        return await in_time(self.settings.gc.deadline_s, name)

    async def _record(self, wanted: WantedBlob, placed: Placed, forget: Forget | None, reliance: Reliance) -> None:
        """Write the lease; then the entry, and beside it the hint for new data, and delete the upload's state.

        The state is deleted after the lease, and so is what is stored twice. Until then the client can send its last
        request again, and from then on the blob exists. Raises `TooLate`.
        """
        value = placed.value
        if self.records.is_own_lease(value):
            await self.records.write(wanted.repo, "blobs", wanted.digest, value, reliance)
            if forget is not None:
                await forget()
            return
        lease = await self.records.leases.write(wanted.repo, "blobs", wanted.digest, value, reliance)
        write_entry = partial(self.records.entries.write, wanted.repo, "blobs", wanted.digest, value, lease)
        calls: list[Callable[[], Awaitable[object]]] = [write_entry]
        if forget is not None:
            calls.append(forget)
        calls += placed.surplus
        if placed.is_new and value.data_id is not None:
            calls.append(partial(self.hints.write, wanted.digest, value.data_id, value.size_bytes))
        await gather(*calls)
