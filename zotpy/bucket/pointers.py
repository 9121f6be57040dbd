"""What leads to a manifest besides its digest: tags with their markers, referrers, and the catalog's marker.

Each is an object of its own under a predictable key. Each writing of one is unlike every other (`nonce`), so its ETag
tells one from the next. A request that deletes exactly what it has seen deletes nothing that was written since.
"""

import secrets
from collections.abc import Sequence
from dataclasses import dataclass

from zotpy.bucket.sweeps import list_all
from zotpy.bucket.tags import Tags
from zotpy.core import keys
from zotpy.core.digests import Digest
from zotpy.core.framing import frame
from zotpy.core.manifest_facts import ManifestFacts
from zotpy.core.names import RepositoryName, Tag
from zotpy.core.record_values import ManifestValue
from zotpy.core.referrers import KEPT_ANNOTATIONS_BYTES, bounded
from zotpy.store.interface import ConditionFailed, Store


@dataclass(frozen=True, slots=True)
class Pointers:
    """Writes, finds and deletes the names of manifests."""

    store: Store
    tags: Tags

    async def mark_repository(self, repo: RepositoryName) -> None:
        """Put a repository into the catalog."""
        await self.store.put(keys.repository(repo), _nonce())

    async def mark_tag(self, repo: RepositoryName, digest: Digest, tag: Tag) -> None:
        """Note that a tag is about to name a manifest. The note stays when the tag names another manifest."""
        await self.store.put(keys.tagged(repo, digest) + tag.text, _nonce())

    async def marked_tags(self, repo: RepositoryName, digest: Digest) -> Sequence[Tag]:
        """List the tags that name a manifest, or once did."""
        markers = await list_all(self.store, keys.tagged(repo, digest))
        return [Tag.parse(marker.key.rpartition("/")[2]) for marker in markers]

    async def write_referrer(
        self, repo: RepositoryName, facts: ManifestFacts, digest: Digest, value: ManifestValue
    ) -> None:
        """Put a manifest into the list of the referrers of its subject, without annotations that are too long."""
        if facts.subject is None:
            return
        descriptor = bounded(facts.descriptor(digest, value.size_bytes), KEPT_ANNOTATIONS_BYTES)
        body = frame({"v": 1, "descriptor": descriptor, "nonce": secrets.token_hex(8)})
        await self.store.put(keys.referrer(repo, facts.subject, digest), body)

    async def referrer_etag(self, repo: RepositoryName, subject: Digest, digest: Digest) -> str | None:
        """Return the ETag of a referrer; `None` if it does not exist."""
        found = await self.store.find(keys.referrer(repo, subject, digest), most_bytes=1)
        return None if found is None else found.etag

    async def delete_if_same(self, key: str, etag: str) -> None:
        """Delete an object if it is still the one seen. If the store has no conditions, delete whatever exists."""
        try:
            await self.store.delete(key, if_match=etag if self.store.features.conditional_delete else None)
        except ConditionFailed:
            return  # it was written again since


def _nonce() -> bytes:
    return secrets.token_hex(8).encode()
