"""Manifests, read by tag or by digest (OCI distribution spec, end-2, end-3). Bytes that are damaged are read again."""

from dataclasses import dataclass, replace

import structlog

from zotpy.bucket.deletions import unknown
from zotpy.bucket.digesting import hash_pieces
from zotpy.bucket.long_reads import Read, Room, beginnings, whole
from zotpy.bucket.pointers import Pointers
from zotpy.bucket.records import Records
from zotpy.core.digests import Digest
from zotpy.core.errors import ManifestUnknown
from zotpy.core.hashing import new_hasher
from zotpy.core.names import Reference, RepositoryName, Tag
from zotpy.core.pieces import Pieces
from zotpy.core.record_values import ManifestValue, is_late
from zotpy.core.tag_values import TagValue
from zotpy.store.interface import Fetched, Store

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class FoundManifest:
    """A manifest that was read."""

    digest: Digest
    value: ManifestValue
    size_bytes: int
    """Length of the manifest, of which `value` may be the beginning."""
    warning: str = ""
    """Why it may be out of date, as the header `Warning` says it (RFC 7234, section 5.5); empty: it is not."""


@dataclass(frozen=True, slots=True)
class ManifestReads:
    """All requests that read manifests."""

    store: Store
    records: Records
    pointers: Pointers

    async def find(self, repo: RepositoryName, reference: Reference, room: Room | None = None) -> FoundManifest:
        """Read a manifest, by tag or by digest: one store call, or two if it is long; `room` then holds it.

        Raises `ManifestUnknown`, `TooManyRequests`.
        """
        read = whole(self.store, room)
        found = await self._find(repo, reference, read)
        if await _is_whole(found):
            return found
        return await self._undamaged(repo, reference, found.digest, read)

    async def stat(self, repo: RepositoryName, reference: Reference) -> FoundManifest:
        """Find a manifest with one store call, which reads only the beginning of a long one.

        Raises `ManifestUnknown`.
        """
        missing_bytes = 0

        async def read(key: str) -> Fetched | None:
            nonlocal missing_bytes
            fetched = await beginnings(self.store)(key)
            if fetched is None or fetched.total_bytes is None:
                missing_bytes = 0
            else:
                missing_bytes = fetched.total_bytes - len(fetched.body)
            return fetched

        found = await self._find(repo, reference, read)
        if missing_bytes:
            return replace(found, size_bytes=found.size_bytes + missing_bytes)
        if await _is_whole(found):
            return found
        return await self._undamaged(repo, reference, found.digest, read)

    async def _undamaged(self, repo: RepositoryName, reference: Reference, digest: Digest, read: Read) -> FoundManifest:
        """Read bytes again that were not those that were pushed: from the same object, and a tag's from its record."""
        for place in (reference, digest):
            self.records.forget(repo, "manifests", digest)
            found = await self._find(repo, place, read)
            if await _is_whole(found):
                return found
        log.error("damaged_manifest", repository=repo.text, digest=str(digest))
        msg = f"the manifest {digest} is damaged in the store: push it again"
        raise ManifestUnknown(msg, detail={"digest": str(digest), "reason": "damaged"})

    async def _find(self, repo: RepositoryName, reference: Reference, read: Read) -> FoundManifest:
        if isinstance(reference, Tag):
            tag = await self.pointers.tags.read(repo, reference, read)
            if tag is None or await self._leads_nowhere(repo, *tag):
                raise unknown(reference)
            return FoundManifest(tag[0].digest, tag[0].manifest, tag[0].manifest.size_bytes)
        value = await self.records.read_manifest(repo, reference, read)
        if value is None:
            raise unknown(reference)
        return FoundManifest(reference, value, value.size_bytes)

    async def _leads_nowhere(self, repo: RepositoryName, tag: TagValue, fetched: Fetched) -> bool:
        """Whether a tag was written too late, for a manifest that was deleted before."""
        if not is_late(fetched.last_modified, tag.until):
            return False
        return await self.records.read_manifest(repo, tag.digest, beginnings(self.store)) is None


async def _is_whole(found: FoundManifest) -> bool:
    """Say whether a manifest has the bytes that were pushed."""
    hasher = new_hasher(found.digest.algorithm)
    await hash_pieces(hasher, Pieces(found.value.content))
    return hasher.digest() == found.digest
