"""Since when tags must have been used to stay, if their policy bounds the bytes of all its repositories together.

A rule such as `mostRecentlyPulledBytes: 200GiB` keeps what was pulled or pushed last. So before the first repository is
collected, all of them are read:

1. In each repository, every tag gives its content the time at which the tag was last used. Of several times the newest
   counts. The time of each data object is noted.
2. All data is listed once, with its lengths. What several repositories share counts once, at its newest time.
3. For each section, the lengths are added from the newest minute on. The first minute that does not fit, and all that
   come before it, have no place.

If a repository cannot be read, its content is not counted: then more stays, not less.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial

from zotpy.bucket.record_listing import RecordListing, existing_manifests, list_records
from zotpy.bucket.repositories import all_repositories, for_each
from zotpy.bucket.sweeps import pages
from zotpy.bucket.tables import Table, table
from zotpy.collector.collection import Collection
from zotpy.collector.retention.graph import Graph, Node
from zotpy.collector.retention.inventory import Inventory, pushed_at
from zotpy.collector.retention.pull_history import PullHistory
from zotpy.collector.retention.tag_rules import NEVER, KeptSince, PullTimes, TagSeen, UntaggedSeen, subject_of
from zotpy.concurrency import apart, taking_turns
from zotpy.core import keys
from zotpy.core.digests import Digest
from zotpy.core.errors import RegistryError
from zotpy.core.framing import FramingError
from zotpy.core.keys import Kind
from zotpy.core.names import RepositoryName
from zotpy.settings import KeepTagsSettings, PolicySettings

MINUTE_S = 60
KINDS: tuple[Kind, ...] = ("blobs", "manifests")

Bounds = Mapping[PolicySettings, KeptSince]


async def byte_bounds(collection: Collection, history: PullHistory) -> Bounds:
    """Return since when things stay, for each policy that counts bytes. Raises `StoreError`."""
    policies = dict.fromkeys(policy for policy in collection.settings.retention.policies if policy.counts_bytes)
    counts = [
        Count(policy, keep)
        for policy in policies
        for keep in dict.fromkeys(policy.sections)
        if keep.most_recently_pulled_bytes
    ]
    rows = collection.settings.buffer_rows
    async with table(rows) as used, table(rows) as seen:
        await _Counting(collection, history, counts, used, seen).run()
    return {
        policy: {count.keep: count.kept_since() for count in counts if count.policy == policy} for policy in policies
    }


@dataclass(eq=False, slots=True)
class Count:
    """How many bytes were last used in each minute, of what one section of a policy decides about."""

    policy: PolicySettings
    keep: KeepTagsSettings
    by_minute: Counter[int] = field(default_factory=Counter)
    """By the minute since 1970."""

    def kept_since(self) -> datetime:
        """Return since when something must have been used so that all of it has few enough bytes."""
        total_bytes = 0
        for minute in sorted(self.by_minute, reverse=True):
            total_bytes += self.by_minute[minute]
            if total_bytes > self.keep.most_recently_pulled_bytes:
                return datetime.fromtimestamp((minute + 1) * MINUTE_S, UTC)
        return NEVER


@dataclass(frozen=True, slots=True)
class _Counting:
    """Counts the bytes of all repositories."""

    collection: Collection
    history: PullHistory
    counts: Sequence[Count]
    used: Table
    """Ids of data, each with places in `counts` and minutes in which it was used, such as `0 29430000`."""
    seen: Table
    """The repositories that were read."""

    async def run(self) -> None:
        """Read all repositories, and list all data."""
        foreign: list[str] = []  # the collection reports it
        repositories = all_repositories(self.collection.store, foreign, self.seen)
        await for_each(repositories, self._repository, self.collection.settings.repositories_at_once)
        async for page in pages(self.collection.store, keys.DATA):
            noted = await self.used.of([listed.key.removeprefix(keys.DATA) for listed in page.objects])
            for listed in page.objects:
                rows = noted.get(listed.key.removeprefix(keys.DATA), frozenset())
                for place, minute in _newest(rows).items():
                    self.counts[place].by_minute[minute] += listed.size_bytes
            self.collection.advance(len(page.objects))

    async def _repository(self, repo: RepositoryName) -> None:
        policy = self.collection.settings.retention.policy_of(repo)
        if policy is None or not policy.counts_bytes:
            return
        try:
            await self._read(repo, policy)
        except (FramingError, RegistryError):
            return  # the collection of this repository reports it

    async def _read(self, repo: RepositoryName, policy: PolicySettings) -> None:
        """Count what is in the records of a repository, and note what is in data objects."""
        records = await list_records(self.collection.store, repo)
        inventory = Inventory(self.collection, repo)
        tags, pulls = await inventory.tags(), await self.history.times_of(repo)
        manifests = await inventory.read(existing_manifests(records))
        many = len(manifests) + len(tags)
        graph = await apart(many, partial(Graph.of, manifests, inventory.referrer_tags(tags)))
        uses = await apart(many, partial(_uses, policy, records, graph, tags, pulls))
        for place, count in enumerate(self.counts):
            if count.policy == policy and (used := uses.get(count.keep)):
                minutes = await apart(many, partial(_content, graph, inventory.references, used))
                await self._note(place, records, minutes)
        self.collection.advance(len(manifests))

    async def _note(self, place: int, records: RecordListing, minutes: Mapping[Digest, int]) -> None:
        """Count the content of a section that is here. A mirror may have an image without its blobs."""
        async for digest, minute in taking_turns(minutes.items()):
            for kind in KINDS:
                record = records.get((kind, digest))
                if record is None or not record.exists_as(kind):
                    continue
                if data_ids := record.data_ids():
                    await self.used.add([(data_id, f"{place} {minute}") for data_id in data_ids])
                else:
                    self.counts[place].by_minute[minute] += record.size_bytes


def _uses(
    policy: PolicySettings, records: RecordListing, graph: Graph, tags: Iterable[TagSeen], pulls: PullTimes
) -> Mapping[KeepTagsSettings, Mapping[Digest, int]]:
    """Return the minute in which each manifest was last used, for each section that counts bytes."""
    found: dict[KeepTagsSettings, dict[Digest, int]] = {}

    def note(keep: KeepTagsSettings | None, seen: TagSeen | UntaggedSeen) -> None:
        if keep is not None and keep.most_recently_pulled_bytes:
            minutes = found.setdefault(keep, {})
            minutes[seen.digest] = max(_minute(pulls.used(seen)), minutes.get(seen.digest, 0))

    ordinary = [seen for seen in tags if subject_of(seen.tag) is None]
    for seen in ordinary:
        index = policy.section_of(seen.tag.text)
        note(None if index is None else policy.keep_tags[index], seen)
    for digest in graph.untagged(seen.digest for seen in ordinary):
        note(policy.keep_untagged, UntaggedSeen(digest, pushed_at(records["manifests", digest])))
    return found


def _content(
    graph: Graph, references: Mapping[Digest, frozenset[Digest]], used: Mapping[Digest, int]
) -> Mapping[Digest, int]:
    """Return the minute in which each manifest and blob was last used, as a part of these manifests or a referrer."""
    minutes: dict[Digest, int] = {}
    walked: set[Node] = set()
    for root, minute in sorted(used.items(), key=lambda item: item[1], reverse=True):
        new = graph.kept_by({root}) - walked
        walked |= new
        for node in new:
            if isinstance(node, Digest):
                for digest in {node} | references.get(node, frozenset()):
                    minutes.setdefault(digest, minute)
    return minutes


def _newest(rows: Iterable[str]) -> Mapping[int, int]:
    """Return the newest minute for each place in the counts, of the notes of one data object."""
    newest: dict[int, int] = {}
    for row in rows:
        place, minute = map(int, row.split())
        newest[place] = max(minute, newest.get(place, minute))
    return newest


def _minute(time: datetime) -> int:
    return int(time.timestamp()) // MINUTE_S
