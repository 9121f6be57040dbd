"""Retention in one repository: read, judge, and delete what no request has touched since.

A tag is deleted if it is still the one that was listed. An immutable tag is not, whatever the rules of retention say. A
manifest is deleted as by a DELETE, if no tag names it now: a tombstone takes the place of its entry, if that is still
the one that was read. The manifest's lease was older than the grace when it was read. So a request that relies on the
manifest since, such as the push of an index, had to renew the lease, and has changed the entry. If something turns out
to stay, everything that it keeps stays.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

import structlog

from zotpy.bucket.deletions import Deletions
from zotpy.bucket.pointers import Pointers
from zotpy.bucket.record_listing import RecordListing, existing_manifests
from zotpy.bucket.records import Records
from zotpy.bucket.tags import Tags
from zotpy.collector.collection import Collection
from zotpy.collector.retention.graph import Graph, Node
from zotpy.collector.retention.inventory import Inventory, pushed_at
from zotpy.collector.retention.pull_history import PullHistory
from zotpy.collector.retention.tag_rules import (
    KeptSince,
    PullTimes,
    UntaggedSeen,
    expired_tags,
    expired_untagged,
    subject_of,
)
from zotpy.collector.summary import Expiration
from zotpy.concurrency import apart, gather, taking_turns
from zotpy.core.digests import Digest
from zotpy.core.names import RepositoryName, Tag
from zotpy.settings import PolicySettings

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Retained:
    """What retention in a repository tells the sweep of its records."""

    gone: frozenset[Digest] = frozenset()
    """Manifests that were deleted, or would be in a dry run: they need nothing any more."""
    references: Mapping[Digest, frozenset[Digest]] = field(default_factory=dict)
    """What the manifests that were read name."""


@dataclass(frozen=True, slots=True)
class RetentionSweep:
    """The retention's part of one collection, for one repository."""

    collection: Collection
    repo: RepositoryName
    policy: PolicySettings
    history: PullHistory
    kept_since: KeptSince
    """Of the sections that count bytes."""

    async def run(self, records: RecordListing) -> Retained:
        """Delete what the policy does not keep. Raises `FramingError`, `RegistryError` if something cannot be read."""
        inventory = Inventory(self.collection, self.repo)
        pulls = await self.history.times_of(self.repo)
        known = existing_manifests(records)
        times = {digest: time for digest, time in pulls.times.items() if digest in known}
        await self.history.keep(self.repo, times, self.policy.pulls_matter_for)
        tags = await inventory.tags()
        judged = [seen for seen in tags if subject_of(seen.tag) is None]
        judging = partial(expired_tags, self.policy, judged, pulls, self.collection.began, self.kept_since)
        found = await apart(len(judged), judging)
        expired = {tag: why async for tag, why in taking_turns(found.items()) if not self._is_immutable(tag)}
        tagged = frozenset(seen.digest for seen in judged if seen.tag not in expired)
        takes_manifests = self.policy.delete_untagged or self.policy.delete_referrers
        manifests = await inventory.manifests(records, tagged if takes_manifests else frozenset(known))
        many = len(manifests) + len(tags)
        graph = await apart(many, partial(Graph.of, manifests, inventory.referrer_tags(tags)))
        stayed = await self._expire_tags(inventory, {seen.tag: seen.digest for seen in judged}, expired)
        untagged = await apart(many, partial(self._judge_untagged, records, graph, tagged, pulls))
        immutable = [tag async for tag in taking_turns(graph.referrer_tags) if self._is_immutable(tag)]
        kept: list[Node] = [*stayed, *(digest for digest, why in untagged.items() if not why), *immutable]
        staying = await apart(many, partial(self._staying, graph, tagged, kept))
        gone = await self._expire_graph(inventory, graph, staying, untagged)
        return Retained(frozenset() if self._only_says else gone, inventory.references)

    def _staying(self, graph: Graph, tagged: frozenset[Digest], kept: Sequence[Node]) -> frozenset[Node]:
        return graph.staying(self.policy, tagged) | graph.kept_by(kept)

    def _is_immutable(self, tag: Tag) -> bool:
        return self.collection.settings.is_immutable(self.repo.text, tag.text)

    def _judge_untagged(
        self, records: RecordListing, graph: Graph, tagged: frozenset[Digest], pulls: PullTimes
    ) -> Mapping[Digest, str]:
        """Say of each untagged manifest why `keepUntagged` does not keep it; empty: it keeps it."""
        keep = self.policy.keep_untagged
        if keep is None:
            return {}
        there = graph.untagged(tagged)
        seen = [UntaggedSeen(digest, pushed_at(records["manifests", digest])) for digest in sorted(there)]
        expired = expired_untagged(keep, seen, pulls, self.collection.began, self.kept_since)
        return {digest: expired.get(digest, "") for digest in there}

    async def _expire_tags(
        self, inventory: Inventory, named: Mapping[Tag, Digest], expired: Mapping[Tag, str]
    ) -> set[Digest]:
        """Delete tags, and return what the tags name that stay after all."""
        tags = sorted(expired)
        calls = [partial(self._delete_tag, inventory, tag, named[tag]) for tag in tags]
        went = await gather(*calls, limit=self.collection.settings.calls_at_once)
        async for tag, gone in taking_turns(zip(tags, went, strict=True)):
            if gone:
                self._note_tag(tag, expired[tag])
        return {named[tag] for tag, gone in zip(tags, went, strict=True) if not gone}

    async def _expire_graph(
        self, inventory: Inventory, graph: Graph, staying: frozenset[Node], untagged: Mapping[Digest, str]
    ) -> frozenset[Digest]:
        """Delete manifests, and tags of referrers, each before what it would keep."""
        gone: set[Digest] = set()
        going = await apart(len(graph.mentioned), partial(graph.going, staying))
        async for node in taking_turns(going):
            if node in staying:
                continue
            if isinstance(node, Tag):
                went = await self._delete_tag(inventory, node, graph.referrer_tags[node].digest)
                if went:
                    self._note_tag(node, graph.reason(node))
            else:
                why = f"; {untagged[node]}" if untagged.get(node) else ""
                went = await self._expire_manifest(inventory, node, graph.reason(node) + why)
                gone |= {node} if went else set()
            if not went:
                staying |= graph.kept_by({node})
        return frozenset(gone)

    async def _delete_tag(self, inventory: Inventory, tag: Tag, digest: Digest) -> bool:
        """Delete a tag if it is still the one that was listed; `False`: it is not."""
        listed = inventory.objects[tag]
        if self.collection.settings.dry_run:
            await self.collection.delete([listed.key])
            return True
        return self._only_says or await Tags(self.collection.store).delete_if_same(self.repo, tag, digest, listed.etag)

    def _note_tag(self, tag: Tag, reason: str) -> None:
        self.collection.summary.tags_expired += 1
        self._tell(Expiration(self.repo.text, tag.text, reason))

    async def _expire_manifest(self, inventory: Inventory, digest: Digest, reason: str) -> bool:
        """Delete a manifest if no request has touched it; `False`: it stays."""
        if not self.collection.store.features.all_conditions:
            if not self.collection.summary.manifests_held:
                log.warning("manifests_held", reason="the store has no conditional writes: delete manifests by DELETE")
            self.collection.summary.manifests_held += 1
            return False
        if not (self.collection.settings.dry_run or self._only_says or await self._bury(inventory, digest)):
            return False
        self.collection.summary.manifests_expired += 1
        self._tell(Expiration(self.repo.text, str(digest), reason))
        return True

    async def _bury(self, inventory: Inventory, digest: Digest) -> bool:
        """Put a tombstone in the place of the entry that was read."""
        store, settings = self.collection.store, self.collection.settings
        pointers = Pointers(store, Tags(store))
        records = Records(store, settings.gc)
        deletions = Deletions(store, records, pointers)
        to_delete = await deletions.look(self.repo, digest)
        if to_delete is None or to_delete.tags or to_delete.entry.etag != inventory.entries[digest]:
            return False
        if not await deletions.bury(self.repo, digest, to_delete):
            return False
        await deletions.delete_names(self.repo, digest, to_delete)
        return True

    @property
    def _only_says(self) -> bool:
        """Whether this part of a collection is a dry run, whatever the rest is."""
        return self.collection.settings.retention.dry_run

    def _tell(self, expiration: Expiration) -> None:
        if self.collection.settings.dry_run or self._only_says:
            self.collection.tell(expiration)
        else:
            log.info("expired", repository=expiration.repository, what=expiration.what, reason=expiration.reason)
