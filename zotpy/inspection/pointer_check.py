"""Names: tags, their markers, referrers and the catalog lead to existing manifests, and these have theirs.

A request under way may have written or deleted only half of its names, and that is no problem. A push writes the lease
first and the entry last. A DELETE replaces the entry before it deletes the names.
"""

from collections.abc import Collection
from dataclasses import dataclass
from functools import partial

from zotpy.bucket.pointers import Pointers
from zotpy.bucket.sweeps import list_all
from zotpy.bucket.tags import Tags
from zotpy.concurrency import gather
from zotpy.core import keys
from zotpy.core.digests import Digest
from zotpy.core.errors import DigestInvalid, TagInvalid
from zotpy.core.framing import FramingError
from zotpy.core.manifest_facts import parse_manifest
from zotpy.core.names import RepositoryName, Tag
from zotpy.core.record_values import ManifestValue, is_late
from zotpy.core.tag_values import TagValue
from zotpy.inspection.looking import AT_ONCE, Look, ReadEntry
from zotpy.store.interface import ConditionFailed, KeyMissing, Listed, StoreError


@dataclass(frozen=True, slots=True)
class NameCheck:
    """The check of the names of one repository."""

    look: Look
    repo: RepositoryName
    manifests: Collection[Digest]
    """Those that were found."""

    async def run(self) -> None:
        """Check everything that leads to manifests."""
        store, repo = self.look.store, self.repo
        tags = await list_all(store, keys.tags(repo))
        await gather(*[partial(self._check_tag, listed) for listed in tags], limit=AT_ONCE)
        referrers = await list_all(store, keys.all_of(keys.REFERRERS, repo))
        await gather(*[partial(self._check_referrer, listed) for listed in referrers], limit=AT_ONCE)
        await self._check_catalog()

    @property
    def _pointers(self) -> Pointers:
        return Pointers(self.look.store, Tags(self.look.store))

    async def check_listed(self, digest: Digest, subject: Digest) -> None:
        """Check that a manifest that refers to another is in the list of its referrers."""
        if await self._pointers.referrer_etag(self.repo, subject, digest) is not None:
            return
        found = await ReadEntry.of(self.look, self.repo, "manifests", digest)
        value = None if found is None or found.entry is None else found.entry.value
        if found is None or not isinstance(value, ManifestValue):
            return  # deleted since the listing
        if found.entry is not None and found.entry.epoch and self.look.is_recent(found.fetched):
            return  # pushed after it was deleted: the entry comes first
        if self.look.repair:  # a DELETE at this moment leaves it to the collector
            facts = parse_manifest(value.content, value.media_type)
            await self._pointers.write_referrer(self.repo, facts, digest, value)
        self._tell(digest, f"it is not listed among the referrers of {subject}", mended=self.look.repair)

    async def _check_tag(self, listed: Listed) -> None:
        name = listed.key.removeprefix(keys.tags(self.repo))
        self.look.report.tags += 1
        try:
            tag = Tag.parse(name)
            read = await Tags(self.look.store).read(self.repo, tag)
        except (FramingError, DigestInvalid, TagInvalid) as error:
            self._tell(name, f"the tag cannot be read: {error}")
            return
        except StoreError as error:
            await self.look.tell_unreadable(f"{self.repo} {name}", error)
            return
        if read is None:
            return  # deleted since the listing
        value, fetched = read
        if Digest.of(value.manifest.content, value.digest.algorithm) != value.digest:
            await self._write_again(tag, value.digest, fetched.etag)
        elif value.digest not in self.manifests and await self.look.is_gone(self.repo, value.digest):
            is_none = is_late(fetched.last_modified, value.until)  # of a push that was stopped, and not acknowledged
            if not is_none and await self._still_names(tag, value.digest):
                self._tell(name, f"it names {value.digest}, which does not exist")
        else:
            await self._check_marker(tag, value.digest)

    async def _write_again(self, tag: Tag, digest: Digest, etag: str) -> None:
        """Repair a tag that holds other bytes than those of the manifest that it names."""
        mended = False
        manifest = await self.look.records.read_manifest(self.repo, digest) if self.look.repair else None
        is_right = manifest is not None and Digest.of(manifest.content, digest.algorithm) == digest
        if manifest is not None and is_right and self.look.store.features.conditional_replace:
            body = TagValue(digest, manifest, keys.new_id()[:16]).encode()
            try:
                await self.look.store.put(keys.tag(self.repo, tag), body, if_match=etag)
            except (ConditionFailed, KeyMissing):
                return  # pushed or deleted meanwhile
            mended = True
        self._tell(tag, "its bytes have another digest than the one that it names", mended=mended)

    async def _check_marker(self, tag: Tag, digest: Digest) -> None:
        if await self._is_there(keys.tagged(self.repo, digest) + tag.text) or not await self._still_names(tag, digest):
            return
        if self.look.repair:
            await self._pointers.mark_tag(self.repo, digest, tag)
        self._tell(tag, "a DELETE of its manifest would not find it", mended=self.look.repair)

    async def _still_names(self, tag: Tag, digest: Digest) -> bool:
        return await Tags(self.look.store).etag_of(self.repo, tag, digest) is not None

    async def _check_referrer(self, listed: Listed) -> None:
        try:
            digest = keys.referring(listed.key)
        except DigestInvalid:
            self.look.tell_foreign(listed.key)
            return
        if digest in self.manifests or not await self.look.is_gone(self.repo, digest):
            return
        if not await self._is_there(listed.key):
            return
        mended = self.look.repair and self.look.store.features.conditional_delete
        if mended:
            await self._pointers.delete_if_same(listed.key, listed.etag)
        self._tell(digest, "it is listed among referrers, but does not exist", mended=mended)

    async def _check_catalog(self) -> None:
        if not self.manifests or await self._is_there(keys.repository(self.repo)):
            return
        entries = [await ReadEntry.of(self.look, self.repo, "manifests", digest) for digest in sorted(self.manifests)]
        if not any(entry is not None and not entry.is_tombstone for entry in entries):
            return  # the first one is being pushed
        if self.look.repair:
            await self._pointers.mark_repository(self.repo)
        self.look.tell(self.repo, "it is not in the catalog", mended=self.look.repair)

    async def _is_there(self, key: str) -> bool:
        try:
            await self.look.store.get(key)
        except KeyMissing:
            return False
        return True

    def _tell(self, what: object, problem: str, *, mended: bool = False) -> None:
        self.look.tell(f"{self.repo} {what}", problem, mended=mended)
