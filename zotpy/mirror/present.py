"""What the bucket has of a blob that a mirrored repository lacks: a record without an entry, or bytes elsewhere."""

from dataclasses import dataclass
from functools import partial

from zotpy.bucket.hints import Hints
from zotpy.bucket.records import Records
from zotpy.bucket.reliance import Reliance, in_time
from zotpy.concurrency import gather
from zotpy.core.digests import Digest
from zotpy.core.names import RepositoryName
from zotpy.core.record_values import BlobValue


@dataclass(frozen=True, slots=True)
class Present:
    """Looks for blobs in the bucket."""

    records: Records
    hints: Hints
    deadline_s: float
    """How long a request may rely on what it has read, in seconds."""

    async def may_have(self, repo: RepositoryName, digest: Digest) -> bool:
        """Say whether one of the calls below may find the blob, which has no entry. It writes nothing."""
        find = partial(self.hints.find, digest, Reliance(self.deadline_s))
        found = await gather(partial(self.records.leases.find, repo, "blobs", digest), find)
        return any(found)

    async def own(self, repo: RepositoryName, digest: Digest) -> BlobValue | None:
        """Return a blob of the repository itself, also if its record has lost its entry."""
        return await in_time(self.deadline_s, partial(self.records.rely_on_blob, repo, digest))

    async def linked(self, repo: RepositoryName, digest: Digest, size_bytes: int | None) -> BlobValue | None:
        """Make a blob exist with the bytes of another repository, if one has them.

        The upstream has just shown that it has the blob. `size_bytes` is its length, if the upstream has said it.
        """

        async def write(reliance: Reliance) -> BlobValue | None:
            if (value := await self.records.rely_on_blob(repo, digest, reliance)) is not None:
                return value
            value = await self.hints.find(digest, reliance)
            if value is None or (size_bytes is not None and value.size_bytes != size_bytes):
                return None
            await self.records.write(repo, "blobs", digest, value, reliance)
            return value

        return await in_time(self.deadline_s, write)
