"""Mounts: a blob of another repository made to exist in this one, without its bytes (spec, *Mounting a blob*)."""

from dataclasses import dataclass
from functools import partial

from zotpy.core.digests import Digest
from zotpy.core.names import RepositoryName
from zotpy.core.records import BlobValue
from zotpy.registry.concurrency import gather, within_deadline
from zotpy.registry.hints import Hints
from zotpy.registry.records import Records
from zotpy.registry.settings import RegistrySettings


@dataclass(frozen=True, slots=True)
class Mounts:
    """All requests that mount blobs."""

    records: Records
    hints: Hints
    settings: RegistrySettings

    async def mount(self, repo: RepositoryName, digest: Digest, source: RepositoryName | None) -> BlobValue | None:
        """Make a blob of another repository exist in this one (end-11), or return `None` where there is none."""
        with within_deadline(self.settings.deadline_s):
            if source is not None:
                value = await self.records.rely_on_blob(source, digest)
            elif self.settings.mount_without_source:
                value = await self.records.rely_on_blob(repo, digest)
                value = value or await self.hints.find(digest) or await self._from_siblings(repo, digest)
            else:
                value = None
            if value is not None:
                await self.records.write(repo, "blobs", digest, value)
        return value

    async def _from_siblings(self, repo: RepositoryName, digest: Digest) -> BlobValue | None:
        """Look for a small blob, which has no hint, in a few repositories beside this one."""
        siblings = await self.records.siblings(repo)
        if not siblings:
            return None
        found = await gather(*[partial(self.records.read_entry, name, digest) for name in siblings])
        for name, value in zip(siblings, found, strict=True):
            if value is not None:
                return await self.records.rely_on_blob(name, digest)
        return None
