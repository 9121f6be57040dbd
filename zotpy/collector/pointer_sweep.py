"""Names that lead nowhere: markers of tags that moved, referrers of deleted manifests, empty repositories.

All of them are written before what they lead to. So the sweep leaves young ones alone: their requests may not be
finished.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from zotpy.bucket.pointers import Pointers
from zotpy.bucket.record_listing import RecordListing
from zotpy.bucket.records import Records
from zotpy.bucket.sweeps import list_all
from zotpy.bucket.tags import Tags
from zotpy.collector.collection import Collection
from zotpy.concurrency import gather, taking_turns
from zotpy.core import keys
from zotpy.core.digests import Digest
from zotpy.core.names import RepositoryName, Tag
from zotpy.core.record_values import is_late
from zotpy.store.interface import KeyMissing, Listed


@dataclass(frozen=True, slots=True)
class NameSweep:
    """The names' part of one collection, for one repository."""

    collection: Collection
    repo: RepositoryName

    async def run(self, records: RecordListing) -> None:
        """Delete what leads nowhere."""
        store, repo = self.collection.store, self.repo
        listed_tags = await self.collection.without_condemned(await list_all(store, keys.tags(repo)))
        tags = {Tag(listed.key.removeprefix(keys.tags(repo))) async for listed in taking_turns(listed_tags)}
        listed_markers = await list_all(store, keys.all_of(keys.TAGGED, repo))
        markers = [(keys.marked_by(marker.key), marker) async for marker in taking_turns(listed_markers)]
        leading = {tag async for (digest, tag), _ in taking_turns(markers) if _exists(records, digest)}
        await self._sweep_late_tags(listed_tags, leading)
        await self._sweep_markers(tags, markers)
        await self._sweep_referrers(records)
        await self._sweep_catalog(records, is_empty=not tags)

    async def _sweep_late_tags(self, listed_tags: Sequence[Listed], leading: set[Tag]) -> None:
        """Delete tags that a push wrote too late (`zotpy.bucket.reliance`), after its manifest had been deleted.

        Those in `leading` have a marker of an existing manifest. All others are read.
        """
        async for listed in taking_turns(listed_tags):
            tag = Tag(listed.key.removeprefix(keys.tags(self.repo)))
            if tag in leading or not self.collection.is_past_grace(listed):
                continue
            found = await Tags(self.collection.store).read(self.repo, tag)
            if found is None or found[1].etag != listed.etag or not is_late(listed.last_modified, found[0].until):
                continue
            records = Records(self.collection.store, self.collection.settings.gc)
            if await records.read_manifest(self.repo, found[0].digest) is None:
                self.collection.summary.tags_deleted += await self.collection.delete_seen(listed)

    async def _sweep_markers(self, tags: set[Tag], named: Sequence[tuple[tuple[Digest, Tag], Listed]]) -> None:
        """Delete markers of tags that do not exist any more, or name another manifest now."""
        count = Counter(tag for (_, tag), _ in named)
        doubtful = [tag for tag in count if count[tag] > 1 and tag in tags]
        digests = dict(zip(doubtful, await self._digests_of(doubtful), strict=True))
        async for (digest, tag), marker in taking_turns(named):
            moved = tag in digests and digests[tag] != digest
            if (tag not in tags or moved) and self.collection.is_past_grace(marker):
                self.collection.summary.markers_deleted += await self.collection.delete_seen(marker)
                await self._mark_again(digest, tag)

    async def _digests_of(self, tags: list[Tag]) -> list[Digest | None]:
        reading = [partial(Tags(self.collection.store).read, self.repo, tag) for tag in tags]
        found = await gather(*reading, limit=self.collection.settings.calls_at_once)
        return [None if tag is None else tag[0].digest for tag in found]

    async def _mark_again(self, digest: Digest, tag: Tag) -> None:
        """Write a marker again if its tag was pushed at this moment and the store has no conditions."""
        if self.collection.settings.dry_run or self.collection.store.features.conditional_delete:
            return
        tags = Tags(self.collection.store)
        if await tags.etag_of(self.repo, tag, digest) is not None:
            await Pointers(self.collection.store, tags).mark_tag(self.repo, digest, tag)

    async def _sweep_referrers(self, records: RecordListing) -> None:
        """Delete descriptors of manifests that do not exist any more: a DELETE that broke off leaves one."""
        listed_referrers = await list_all(self.collection.store, keys.all_of(keys.REFERRERS, self.repo))
        async for listed in taking_turns(listed_referrers):
            if not _exists(records, keys.referring(listed.key)) and self.collection.is_past_grace(listed):
                self.collection.summary.referrers_deleted += await self.collection.delete_seen(listed)

    async def _sweep_catalog(self, records: RecordListing, *, is_empty: bool) -> None:
        """Remove an empty repository from the catalog, and add one that lost its marker."""
        store, dry_run = self.collection.store, self.collection.settings.dry_run
        marker = await self._catalog_marker()
        if any(kind == "manifests" and record.exists_as(kind) for (kind, _), record in records.items()):
            if marker is None and not dry_run:
                await Pointers(store, Tags(store)).mark_repository(self.repo)
        elif marker is not None and is_empty and not records and self.collection.is_past_grace(marker):
            self.collection.summary.repositories_emptied += await self.collection.delete_seen(marker)
            if not dry_run and not store.features.conditional_delete:
                left = await store.list(keys.all_of(keys.LEASES, self.repo), limit=1)
                if left.objects:  # pushed at this moment
                    await Pointers(store, Tags(store)).mark_repository(self.repo)

    async def _catalog_marker(self) -> Listed | None:
        key = keys.repository(self.repo)
        try:
            found = await self.collection.store.get(key)
        except KeyMissing:
            return None
        return Listed(key, len(found.body), found.etag, found.last_modified)


def _exists(records: RecordListing, manifest: Digest) -> bool:
    record = records.get(("manifests", manifest))
    return record is not None and record.exists_as("manifests")
