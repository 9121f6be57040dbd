"""The content of one repository, for its rules: tags, what each names, and manifests with what they mention."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial

from zotpy.bucket.record_listing import ListedRecord, RecordListing, existing_manifests
from zotpy.bucket.sweeps import list_all
from zotpy.bucket.tags import Tags
from zotpy.collector.collection import Collection
from zotpy.collector.references import references_of, value_of_leases
from zotpy.collector.retention.graph import ManifestSeen, ReferrerTag
from zotpy.collector.retention.tag_rules import NEVER, TagSeen, subject_of
from zotpy.concurrency import gather, taking_turns
from zotpy.core import keys
from zotpy.core.digests import Digest
from zotpy.core.errors import ManifestInvalid
from zotpy.core.manifest_facts import parse_manifest
from zotpy.core.names import RepositoryName, Tag
from zotpy.core.record_values import ManifestValue, Value, decode_entry
from zotpy.store.interface import KeyMissing, Listed


@dataclass(frozen=True, slots=True)
class Inventory:
    """Reads the repository and remembers what it has seen: only that may be deleted."""

    collection: Collection
    repo: RepositoryName
    objects: dict[Tag, Listed] = field(default_factory=dict)
    """All tags as they were listed."""
    entries: dict[Digest, str | None] = field(default_factory=dict)
    """The ETags of the entries of the manifests that were read; `None`: it had no entry."""
    references: dict[Digest, frozenset[Digest]] = field(default_factory=dict)
    """All that those manifests name."""

    async def tags(self) -> Sequence[TagSeen]:
        """List all tags, and find by their markers what each names.

        Read the tags that do not have exactly one marker.
        """
        store, repo = self.collection.store, self.repo
        async for listed in taking_turns(await list_all(store, keys.tags(repo))):
            self.objects[Tag.parse(listed.key.removeprefix(keys.tags(repo)))] = listed
        marked: dict[Tag, set[Digest]] = {}
        async for marker in taking_turns(await list_all(store, keys.all_of(keys.TAGGED, repo))):
            digest, tag = keys.marked_by(marker.key)
            marked.setdefault(tag, set()).add(digest)
        digests = {tag: next(iter(found)) for tag, found in marked.items() if len(found) == 1}
        doubtful = [tag for tag in self.objects if tag not in digests]
        reading = [partial(Tags(store).read, repo, tag) for tag in doubtful]
        read = await gather(*reading, limit=self.collection.settings.calls_at_once)
        digests |= {tag: each[0].digest for tag, each in zip(doubtful, read, strict=True) if each is not None}
        return [
            TagSeen(tag, digests[tag], listed.last_modified) for tag, listed in self.objects.items() if tag in digests
        ]

    def referrer_tags(self, tags: Sequence[TagSeen]) -> Sequence[ReferrerTag]:
        """Return the tags that say whose referrer they name."""
        return [
            ReferrerTag(seen.tag, seen.digest, subject, self._is_old(self.objects[seen.tag].last_modified))
            for seen in tags
            if (subject := subject_of(seen.tag)) is not None
        ]

    async def manifests(self, records: RecordListing, staying: frozenset[Digest]) -> Mapping[Digest, ManifestSeen]:
        """Read all manifests if any is old and not among those that stay. Otherwise no details are needed."""
        there = existing_manifests(records)
        old = {digest for digest, record in there.items() if self._has_old_lease(record)}
        if old <= staying:
            return {digest: ManifestSeen(is_old=False) for digest in there}
        return await self.read(there)

    async def read(self, there: Mapping[Digest, ListedRecord]) -> Mapping[Digest, ManifestSeen]:
        """Read these manifests. Leave out those that were deleted since they were listed."""
        reading = [
            partial(self._read, digest, record, is_old=self._has_old_lease(record)) for digest, record in there.items()
        ]
        found = await gather(*reading, limit=self.collection.settings.calls_at_once)
        return {digest: seen for digest, seen in zip(there, found, strict=True) if seen is not None}

    async def _read(self, digest: Digest, record: ListedRecord, *, is_old: bool) -> ManifestSeen | None:
        """Read one manifest, and remember its entry, or that it has none; `None`: it was deleted since it was listed.

        A request that relies on a manifest without an entry writes one; a request that relies on another manifest
        changes its entry.
        """
        store = self.collection.store
        self.collection.summary.manifests_read += 1
        etag, lease_time = None, None
        value: Value | None
        try:
            fetched = await store.get(keys.entry(self.repo, "manifests", digest))
            entry = decode_entry("manifests", fetched.body).unless_refused(fetched.last_modified)
            etag, value, lease_time = fetched.etag, entry.value, None if entry.lease is None else entry.lease.time
        except KeyMissing:
            value = await value_of_leases(store, record.leases)
        if not isinstance(value, ManifestValue):
            return None
        self.entries[digest] = etag
        references = self.references[digest] = references_of(value)
        is_renewed = lease_time is not None and not self._is_old(lease_time)  # after the leases were listed
        return _seen(value, references, is_old=is_old and not is_renewed)

    def _has_old_lease(self, record: ListedRecord) -> bool:
        newest = record.newest()
        return newest is not None and self._is_old(newest.last_modified)

    def _is_old(self, time: datetime) -> bool:
        """Whether it is so old that it may be deleted, and that a request that relies on it must renew it."""
        settings = self.collection.settings
        return time < self.collection.began - timedelta(seconds=max(settings.gc.grace_s, settings.retention.delay_s))


def pushed_at(record: ListedRecord) -> datetime:
    """Return when a manifest, or an index that lists it, was last pushed: both write its entry."""
    listed = record.entry or record.newest()
    return NEVER if listed is None else listed.last_modified


def _seen(value: ManifestValue, references: frozenset[Digest], *, is_old: bool) -> ManifestSeen:
    try:
        facts = parse_manifest(value.content, value.media_type)
    except ManifestInvalid:  # by the rules of another release, which knows whether it is needed
        return ManifestSeen(is_old=False, mentions=references)
    return ManifestSeen(is_old, references - {facts.subject} | {*facts.manifests, *facts.guessed}, facts.subject)
