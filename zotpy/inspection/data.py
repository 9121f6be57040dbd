"""Data: the bytes of a large blob are there, are as many as its record says, and, where they are read, the right ones.

Data is never changed and never written again, so nothing can be mended. A hint at what is damaged goes: it would lead
the push that brings the bytes anew to them.
"""

from dataclasses import dataclass

from zotpy.core import keys
from zotpy.core.digests import Digest
from zotpy.core.names import RepositoryName
from zotpy.core.records import BlobValue
from zotpy.inspection.looking import Look
from zotpy.registry.digesting import digest_of_stored
from zotpy.store.interface import KeyMissing, StoreError

GONE = "is gone"
RIGHT = ""


@dataclass(frozen=True, slots=True)
class DataCheck:
    """The check of the data of one repository's blobs."""

    look: Look
    repo: RepositoryName

    async def check(self, digest: Digest, data_id: str, size_bytes: int) -> None:
        """Look at the data of one blob, and tell what is wrong."""
        sizes = (await self.look.sizes.of([data_id])).get(data_id, frozenset())
        wrong = RIGHT
        if sizes and str(size_bytes) not in sizes:
            wrong = f"has {', '.join(sizes)} bytes instead of {size_bytes}"
        elif self.look.should_read():
            wrong = await self._verdict(digest, data_id, size_bytes)
        elif not sizes and not await is_there(self.look, data_id):
            wrong = GONE
        if wrong == RIGHT or not await self._is_named(digest, data_id):
            return
        if self.look.repair:
            await self._drop_hints(digest, data_id)
        self.look.tell(f"{self.repo} {digest}", f"its data {keys.data(data_id)} {wrong}")

    async def _is_named(self, digest: Digest, data_id: str) -> bool:
        """Whether the record still names the data: it may have been deleted, and the data collected, meanwhile."""
        value = (await self.look.records.look(self.repo, "blobs", digest)).value
        return isinstance(value, BlobValue) and value.data_id == data_id

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
            return f"cannot be read: {error}"
        return RIGHT if found == digest else "has another digest"

    async def _drop_hints(self, digest: Digest, data_id: str) -> None:
        """Let no push find what is damaged."""
        for listed in (await self.look.store.list(keys.hints(digest))).objects:
            hint = keys.Hint.parse(listed.key)
            if hint is not None and hint.data_id == data_id:
                await self.look.store.delete(listed.key)


async def is_there(look: Look, data_id: str) -> bool:
    """Look for data that may be newer than the listing of all."""
    try:
        async with look.store.open(keys.data(data_id), 0, 1):
            return True
    except KeyMissing:
        return False
