"""Data: the bytes of a large blob exist, are as many as its record says, and, if they are read, are the right ones.

Data is never changed and never written again, so only a push can mend it. For that, clients must see that the blob is
missing: the check makes the entry of a blob with damaged data say so (`zotpy.registry.damage`), and deletes the hints
to the data. If data has come back, perhaps from a backup, the check makes such an entry right again.
"""

from contextlib import suppress
from dataclasses import dataclass

from zotpy.bucket.digesting import digest_of_stored
from zotpy.bucket.entries import Seen
from zotpy.bucket.hints import Hints
from zotpy.bucket.reliance import Reliance
from zotpy.core import keys
from zotpy.core.digests import Digest
from zotpy.core.errors import TooLate
from zotpy.core.names import RepositoryName
from zotpy.core.record_values import BlobValue
from zotpy.inspection.looking import Look, ReadEntry
from zotpy.store.interface import KeyMissing, StoreError

GONE = "is gone"
RIGHT = ""


@dataclass(frozen=True, slots=True)
class DataCheck:
    """The check of the data of one repository's blobs."""

    look: Look
    repo: RepositoryName

    async def check(self, digest: Digest, value: BlobValue, *, is_lost: bool) -> None:
        """Check the data of one blob, and report what is wrong; `is_lost`: its entry says that the data is missing."""
        data_id = value.data_id
        if data_id is None:
            return
        wrong = await self._wrong(digest, data_id, value.size_bytes, reads=is_lost or self.look.should_read())
        if wrong == RIGHT and is_lost:
            await self._restore(digest, value)
        elif wrong != RIGHT and is_lost:
            self._tell(digest, f"damaged: its data {keys.data(data_id)} {wrong}: push it again")
        elif wrong != RIGHT:
            await self._tell_damage(digest, value, data_id, wrong)

    async def _wrong(self, digest: Digest, data_id: str, size_bytes: int, *, reads: bool) -> str:
        """Say what is wrong with data; `reads`: read all of it."""
        sizes = (await self.look.sizes.of([data_id])).get(data_id, frozenset())
        if sizes and str(size_bytes) not in sizes:
            return f"has {', '.join(sizes)} bytes instead of {size_bytes}"
        if reads:
            return await self._verdict(digest, data_id, size_bytes)
        return RIGHT if sizes or await is_there(self.look, data_id) else GONE

    async def _tell_damage(self, digest: Digest, value: BlobValue, data_id: str, wrong: str) -> None:
        """Report damaged data that the record still names, and let the entry say so."""
        seen = await self.look.records.look(self.repo, "blobs", digest)
        if not isinstance(seen.value, BlobValue) or seen.value.data_id != data_id:
            return  # it was deleted, and the data collected, meanwhile
        advice = "run fsck with --repair, then push it again"
        if self.look.repair:
            await Hints(self.look.store, self.look.settings.gc).drop(digest, data_id)
            if await self.look.records.entries.mark_lost(self.repo, digest, seen, value):
                advice = "it is answered with 404 from now on: push it again"
        self._tell(digest, f"damaged: its data {keys.data(data_id)} {wrong}: {advice}")

    async def _restore(self, digest: Digest, value: BlobValue) -> None:
        """Make the entry right again if a blob's data has come back."""
        mended = False
        if self.look.repair:
            found = await ReadEntry.of(self.look, self.repo, "blobs", digest)
            if found is None or found.entry is None or not found.entry.is_lost:
                return  # pushed or deleted meanwhile
            seen = Seen(value, found.fetched.etag, found.entry.epoch)
            reliance = Reliance(self.look.settings.gc.deadline_s, found.fetched.store_time)
            with suppress(TooLate):
                records = self.look.records
                lease = await records.leases.write(self.repo, "blobs", digest, value, reliance)
                mended = await records.entries.replace(self.repo, "blobs", digest, seen, value, lease) is not None
        self._tell(digest, "its entry says that its data is lost, but the data exists", mended=mended)

    def _tell(self, digest: Digest, problem: str, *, mended: bool = False) -> None:
        self.look.tell(f"{self.repo} {digest}", problem, mended=mended)

    async def _verdict(self, digest: Digest, data_id: str, size_bytes: int) -> str:
        """Read data whole, once for all repositories that share it."""
        name = f"{digest} {data_id}"
        for verdict in (await self.look.verdicts.of([name])).get(name, frozenset()):
            return verdict
        verdict = await self._read(digest, data_id, size_bytes)
        await self.look.verdicts.add([(name, verdict)])
        return verdict

    async def _read(self, digest: Digest, data_id: str, size_bytes: int) -> str:
        report, key = self.look.report, keys.data(data_id)
        try:
            found = await digest_of_stored(self.look.store, key, size_bytes, digest.algorithm, report.has_read)
        except KeyMissing:
            return GONE
        except StoreError as error:
            await self.look.raise_if_down(error)
            return f"cannot be read: {error}"
        return RIGHT if found == digest else "has another digest"


async def is_there(look: Look, data_id: str) -> bool:
    """Look for data that may be newer than the listing of all."""
    try:
        async with look.store.open(keys.data(data_id), 0, 1):
            return True
    except KeyMissing:
        return False
    except StoreError as error:
        await look.raise_if_down(error)
        return False
