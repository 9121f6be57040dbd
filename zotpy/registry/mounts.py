"""Mounts: a blob of another repository made to exist in this one, without its bytes (spec, *Mounting a blob*)."""

from dataclasses import dataclass
from functools import partial

from zotpy.bucket.hints import Hints
from zotpy.bucket.records import Records
from zotpy.bucket.reliance import Reliance, in_time
from zotpy.concurrency import gather
from zotpy.core.digests import Digest
from zotpy.core.names import RepositoryName
from zotpy.core.record_values import BlobValue
from zotpy.registry.damage import is_whole
from zotpy.settings import Settings


@dataclass(frozen=True, slots=True)
class Mounts:
    """All requests that mount blobs."""

    records: Records
    hints: Hints
    settings: Settings

    async def mount(self, repo: RepositoryName, digest: Digest, source: RepositoryName | None) -> BlobValue | None:
        """Make a blob of another repository exist in this one (end-11), or return `None` if it does not exist."""

        async def write(reliance: Reliance) -> BlobValue | None:
            value = await self._find(repo, digest, source, reliance)
            if value is None or not is_whole(value, digest):
                return None
            await self.records.write(repo, "blobs", digest, value, reliance)
            return value

        return await in_time(self.settings.gc.deadline_s, write)

    async def _find(
        self, repo: RepositoryName, digest: Digest, source: RepositoryName | None, reliance: Reliance
    ) -> BlobValue | None:
        """Find a blob that may be named in the target; `reliance` notes when."""
        if source is not None:
            return await self.records.rely_on_blob(source, digest, reliance)
        if not self.settings.upload.mount_without_source:
            return None
        return (
            await self.records.rely_on_blob(repo, digest, reliance)
            or await self.hints.find(digest, reliance)
            or await self._from_siblings(repo, digest, reliance)
        )

    async def _from_siblings(self, repo: RepositoryName, digest: Digest, reliance: Reliance) -> BlobValue | None:
        """Look for a small blob, which has no hint, in a few repositories beside this one."""
        siblings = await self.records.siblings(repo)
        if not siblings:
            return None
        found = await gather(*[partial(self.records.entries.read_blob, name, digest) for name in siblings])
        for name, value in zip(siblings, found, strict=True):
            if value is not None:
                return await self.records.rely_on_blob(name, digest, reliance)
        return None
