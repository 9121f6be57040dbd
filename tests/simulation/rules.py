"""The rules of the protocol, each taken out by itself: a simulation that still passes then shows nothing.

Three are not here. One is that the hint of new data is written after its lease. Its lack does harm only if three things
come together. An upload lasts longer than the grace, on a store that dates objects by the beginning of their upload.
Its process dies between two calls while the first collection is between two of its own. And another push meets the
second collection. No number of schedules that a test can wait for has all of that.

Another one is that a replica names data that another one has joined of the same parts only while that is young. For
harm that other one must be killed just then. The first must pause for longer than a grace, and come back while a second
collection deletes the data. 4,000 schedules of a theme that was made for this had none.

Nor is the nonce of an entry, which makes each writing of it differ from every other. For one lease a push writes an
entry twice at most: over a tombstone, and then without `revives`. So these two differ without the nonce, too.
"""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

from tests.simulation import clock as clocks
from zotpy.bucket import promise
from zotpy.bucket.deletions import Deletions
from zotpy.bucket.entries import Entries, Seen
from zotpy.bucket.pointers import Pointers
from zotpy.bucket.promise import Promise
from zotpy.bucket.promised_entries import Name, PromisedEntries
from zotpy.bucket.record_listing import ListedRecord
from zotpy.bucket.records import Records
from zotpy.bucket.reliance import Reliance
from zotpy.bucket.sweeps import list_all
from zotpy.bucket.tags import Tags
from zotpy.collector.collection import Collection
from zotpy.collector.data_sweep import DataSweep, Unnamed
from zotpy.collector.record_sweep import RecordSweep
from zotpy.collector.retention.graph import Graph, Node
from zotpy.collector.retention.retention_sweep import RetentionSweep
from zotpy.core import keys
from zotpy.core.framing import frame
from zotpy.core.record_values import OWN, BlobValue, Entry, Lease, decode_entry, new_tombstone
from zotpy.registry.pushing import committing
from zotpy.registry.pushing.committing import Commit
from zotpy.registry.pushing.placing import Placed, Placing, WantedBlob
from zotpy.registry.pushing.states import SavedState
from zotpy.settings import GcSettings
from zotpy.store.joining import JoiningStore
from zotpy.store.memory_store import MemoryStore

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Sequence
    from contextlib import AbstractContextManager
    from datetime import datetime

    from zotpy.bucket.deletions import Judge
    from zotpy.core.digests import Digest
    from zotpy.core.keys import Kind
    from zotpy.core.names import RepositoryName
    from zotpy.core.record_values import Value
    from zotpy.registry.pushing.committing import Forget
    from zotpy.store.interface import Part, Stored


def renewal() -> AbstractContextManager[Any]:
    """Leave old leases as they are: a request that relies on a record writes no new one."""

    async def rely(
        self: Records, repo: RepositoryName, kind: Kind, digest: Digest, _: Reliance, **__: bool
    ) -> Value | None:
        return await self.read(repo, kind, digest)

    return patch.object(Records, "rely", rely)


def retirement() -> AbstractContextManager[Any]:
    """Delete data in the first collection that finds it unnamed, with no second one."""

    async def delete_at_once(self: DataSweep, found: Unnamed, *_: object) -> None:
        await self._delete_hints(sorted(found.hints))
        await self.collection.delete([found.data.key])

    return patch.object(DataSweep, "_retire_or_delete", delete_at_once)


def waiting() -> AbstractContextManager[Any]:
    """Let the second collection of data begin right after the note of the first, not two deadlines later."""
    original = DataSweep._counts

    def counts(self: DataSweep, *arguments: Any) -> bool | None:
        settings = replace(
            self.collection.settings,
            gc=replace(self.collection.settings.gc, deadline_s=-self.collection.settings.gc.grace_s),
        )
        collection = replace(self.collection, settings=settings)
        return original(replace(self, collection=collection), *arguments)

    return patch.object(DataSweep, "_counts", counts)


def hints_first() -> AbstractContextManager[Any]:
    """Delete the hints with the data, not before its note is written."""
    original = DataSweep._retire_or_delete

    async def keep_hints(self: DataSweep, found: Unnamed, *arguments: Any) -> None:
        await original(self, replace(found, hints=frozenset()), *arguments)
        if keys.data(found.data_id) not in {listed.key for listed in await list_all(self.collection.store, keys.DATA)}:
            await self._delete_hints(sorted(found.hints))

    return patch.object(DataSweep, "_retire_or_delete", keep_hints)


def notes_that_count() -> AbstractContextManager[Any]:
    """Let a note count for three graces after its listing began, not for one."""

    def is_void(self: DataSweep, listed_at_s: int, now: datetime) -> bool:
        return now.timestamp() >= listed_at_s + 3 * self.collection.settings.gc.grace_s

    return patch.object(DataSweep, "_is_void", is_void)


def leases_as_listed() -> AbstractContextManager[Any]:
    """Delete all existing leases, not exactly those that were listed."""
    original = RecordSweep._delete

    async def delete_all_there_are(self: RecordSweep, record: ListedRecord) -> bool:
        if not record.leases:
            return await original(self, record)
        prefix = record.leases[0].key.rpartition("/")[0] + "/"
        if record.entry is not None:
            await self.collection.delete([record.entry.key])
        leases = await list_all(self.collection.store, prefix)
        await self.collection.delete([lease.key for lease in leases])
        return True

    return patch.object(RecordSweep, "_delete", delete_all_there_are)


def collector_swaps() -> AbstractContextManager[Any]:
    """Let the collector delete any entry, not only the one that it has listed."""

    async def delete(self: RecordSweep, record: ListedRecord) -> bool:
        if record.entry is not None:
            await self.collection.delete([record.entry.key])
        await self._delete_leases(record.leases)
        return True

    return patch.object(RecordSweep, "_delete", delete)


def newest_lease() -> AbstractContextManager[Any]:
    """Take a record's age from its oldest lease, not from its newest."""

    def is_past_grace(self: RecordSweep, record: ListedRecord) -> bool:
        return any(self.collection.is_past_grace(lease) for lease in record.leases)

    return patch.object(RecordSweep, "_is_past_grace", is_past_grace)


def references() -> AbstractContextManager[Any]:
    """Forget what manifests need."""

    async def none(*_: object) -> frozenset[Digest]:
        return frozenset()

    return patch.object(RecordSweep, "_needed", none)


def delete_swaps() -> AbstractContextManager[Any]:
    """Let a DELETE bury any entry, not only the one that it has seen."""

    async def bury(self: Entries, repo: RepositoryName, kind: keys.Kind, digest: Digest, _: Seen) -> bool:
        await self.store.put(keys.entry(repo, kind, digest), new_tombstone())
        return True

    return patch.object(Entries, "bury", bury)


def age_of_kept() -> AbstractContextManager[Any]:
    """Bytes that were kept between two requests are named only while they are young."""
    stack = ExitStack()
    stack.enter_context(patch.object(SavedState, "is_kept_for", lambda *_: True))
    stack.enter_context(patch.object(Placing, "_kept_until", lambda _, kept: kept.time + timedelta(days=365)))
    return stack


def store_times() -> AbstractContextManager[Any]:
    """Use the clock of each process alone: no write is compared with the store's time of what it relies on."""
    return patch.object(Reliance, "due", None)


def renewal_swaps() -> AbstractContextManager[Any]:
    """Let a renewal or a push replace any entry, not only the one that it has seen."""

    async def put(
        self: Entries, repo: RepositoryName, kind: keys.Kind, digest: Digest, seen: Seen, value: Value, lease: Lease
    ) -> Seen:
        stored = await self.store.put(keys.entry(repo, kind, digest), value.encode(lease, seen.epoch))
        return Seen(value, stored.etag, seen.epoch, young_for_s=1.0)

    return patch.object(Entries, "replace", put)


def epochs() -> AbstractContextManager[Any]:
    """Let a push that was overtaken accept a manifest that was deleted in between."""
    return patch.object(Seen, "continues", lambda self, _: self.value is not None)


def refused_revivals() -> AbstractContextManager[Any]:
    """Let a late entry that took a tombstone's place count as missing, so that its lease brings the record back."""
    return patch.object(Entry, "unless_refused", lambda self, _: self)


def tombstone_last() -> AbstractContextManager[Any]:
    """Delete the tombstone before the leases that it hides."""

    async def finish(self: RecordSweep, _: object, record: ListedRecord, **__: bool) -> bool:
        entry = record.entry
        if entry is None or not self.collection.is_past_grace(entry) or not self._is_past_grace(record):
            return False
        gone = await self.collection.delete_seen(entry)
        await self._delete_leases(record.leases)
        return bool(gone)

    return patch.object(RecordSweep, "_finish_deletion", finish)


def lease_first() -> AbstractContextManager[Any]:
    """Write the entry before the lease that it names."""

    async def record(self: Commit, wanted: WantedBlob, placed: Placed, forget: Forget | None, _: Reliance) -> None:
        repo, digest, value = wanted.repo, wanted.digest, placed.value
        now = (await self.store.list(keys.leases(repo, "blobs", digest), limit=1)).store_time
        lease = Lease(keys.new_id(), now)
        await self.records.entries.write(repo, "blobs", digest, value, lease)
        await self.store.put(keys.lease(repo, "blobs", digest, lease.lease_id, value.data_id), value.encode())
        if forget is not None:
            await forget()
        for drop in placed.surplus:
            await drop()
        if placed.is_new and value.data_id is not None:
            await self.hints.write(digest, value.data_id, value.size_bytes)

    return patch.object(Commit, "_record", record)


def own_references() -> AbstractContextManager[Any]:
    """Let the collector delete an old entry that is its own lease, although manifests need it."""
    return patch.object(ListedRecord, "exists_as", lambda self, _: bool(self.leases) and not self.is_tombstone)


def own_age() -> AbstractContextManager[Any]:
    """Let requests rely on an entry that is its own lease, however old it is."""
    original = Entry.leased_at

    def leased_at(self: Entry, written: datetime) -> datetime | None:
        return original(self, written + timedelta(days=365) if self.is_own_lease else written)

    return patch.object(Entry, "leased_at", leased_at)


def own_swaps() -> AbstractContextManager[Any]:
    """Let a push or a renewal replace any entry by one that is its own lease."""

    async def put(self: Entries, repo: RepositoryName, digest: Digest, seen: Seen, value: BlobValue) -> Stored:
        return await self.store.put(keys.entry(repo, "blobs", digest), value.encode_own(seen.epoch))

    return patch.object(Entries, "replace_by_own", put)


def own_nonce() -> AbstractContextManager[Any]:
    """Let each writing of an entry that is its own lease be the same."""

    def encode(self: BlobValue, epoch: str) -> bytes:
        return frame({"v": 1, "size": self.size_bytes, "lease": OWN, "epoch": epoch}, self.content)

    return patch.object(BlobValue, "encode_own", encode)


def grace() -> AbstractContextManager[Any]:
    """Treat everything as older than the grace."""
    return patch.object(Collection, "is_past_grace", lambda *_: True)


def immutable_swaps() -> AbstractContextManager[Any]:
    """Let a push that saw that it may write a tag write it, whatever was written meanwhile."""
    original = Tags.write

    async def write(self: Tags, *arguments: Any) -> None:
        repo, tag, digest, value, _, _, due = arguments
        await original(self, repo, tag, digest, value, None, None, due)

    return patch.object(Tags, "write", write)


def judging_again() -> AbstractContextManager[Any]:
    """Let a DELETE that was overtaken not look for immutable tags again."""
    original = Deletions.delete

    async def delete(self: Deletions, repo: RepositoryName, digest: Digest, room: Any, judge: Judge) -> None:
        is_judged = False

        def once(tags: Any) -> None:
            nonlocal is_judged
            if not is_judged:
                is_judged = True
                judge(tags)

        await original(self, repo, digest, room, once)

    return patch.object(Deletions, "delete", delete)


def retention_swaps() -> AbstractContextManager[Any]:
    """Let retention delete a manifest that was touched since it was read."""

    async def bury(self: RetentionSweep, _: object, digest: Digest) -> bool:
        store = self.collection.store
        pointers = Pointers(store, Tags(store))
        deletions = Deletions(store, Records(store, GcSettings()), pointers)
        looked = await deletions.look(self.repo, digest)
        if looked is None or looked.tags or not await deletions.bury(self.repo, digest, looked):
            return False
        await deletions.delete_names(self.repo, digest, looked)
        return True

    return patch.object(RetentionSweep, "_bury", bury)


def lease_of_entry() -> AbstractContextManager[Any]:
    """Let retention use the leases that were listed, even if the entry names a newer one."""
    return patch(
        "zotpy.collector.retention.inventory.decode_entry",
        lambda kind, value: replace(decode_entry(kind, value), lease=None),
    )


def indexes_first() -> AbstractContextManager[Any]:
    """Let retention delete manifests before the indexes that list them."""
    original = Graph.going
    return patch.object(Graph, "going", lambda self, staying: original(self, staying)[::-1])


def staying_together() -> AbstractContextManager[Any]:
    """Let retention delete the manifests of an index that stays after all."""
    original = Graph.kept_by

    def kept_alone(self: Graph, nodes: Iterable[Node]) -> frozenset[Node]:
        kept = list(nodes)
        return frozenset(kept) if len(kept) == 1 else original(self, kept)

    return patch.object(Graph, "kept_by", kept_alone)


def next_call() -> AbstractContextManager[Any]:
    """Let a read share a call that began before it came."""
    return patch.object(JoiningStore, "_place", lambda _, line: line.sharing)


def promised_wait() -> AbstractContextManager[Any]:
    """Let a DELETE answer while other replicas may still answer from memory."""

    async def answer_at_once(_: Promise) -> None:
        return

    return patch.object(Promise, "run_out", answer_at_once)


def promised_wait_after_failures() -> AbstractContextManager[Any]:
    """Let a DELETE that fails at the store answer at once, although its tombstone may have been written."""

    async def answer_at_once(_: Promise, deletion: Callable[[], Awaitable[object]]) -> object:
        return await deletion()

    return patch.object(Promise, "kept_by", answer_at_once)


def moment_before() -> AbstractContextManager[Any]:
    """Count the promise from the end of the read, not from before it."""
    original = PromisedEntries.keep

    def keep(self: PromisedEntries, name: Name, seen: Seen, began_s: float | None) -> None:
        original(self, name, seen, None if began_s is None else promise.boot_s())

    return patch.object(PromisedEntries, "keep", keep)


def promised_margin() -> AbstractContextManager[Any]:
    """Let a HEAD tell a client to rely on a lease that was just young enough when it was read."""
    return patch.object(PromisedEntries, "_is_young_enough", lambda _, kept: kept.young_for_s > 0)


def awake_clock() -> AbstractContextManager[Any]:
    """Measure the promise with a clock that stops while the host is suspended."""
    return patch.object(
        clocks, "boot_s", lambda clock, actor: clock.now_s - (0.0 if actor is None else actor.stopped_s)
    )


def digest_of_all() -> AbstractContextManager[Any]:
    """Take the bytes of an upload for right without comparing the digest, also if two replicas have sent them."""
    return patch.object(committing, "compare", lambda *_: None)


def named_parts() -> AbstractContextManager[Any]:
    """Join the parts that the store has, not exactly those that were sent, and hashed."""
    original = MemoryStore.complete_multipart

    async def complete(self: MemoryStore, key: str, multipart_id: str, parts: Sequence[Part]) -> Stored:
        there = self.multiparts[multipart_id].parts if multipart_id in self.multiparts else {}
        found = [replace(part, etag=there[part.number][1]) if part.number in there else part for part in parts]
        return await original(self, key, multipart_id, found)

    return patch.object(MemoryStore, "complete_multipart", complete)


RULES = {
    rule.__name__: rule
    for rule in (
        renewal,
        retirement,
        waiting,
        hints_first,
        notes_that_count,
        leases_as_listed,
        collector_swaps,
        newest_lease,
        references,
        delete_swaps,
        age_of_kept,
        store_times,
        renewal_swaps,
        epochs,
        refused_revivals,
        tombstone_last,
        lease_first,
        own_references,
        own_age,
        own_swaps,
        own_nonce,
        grace,
        immutable_swaps,
        judging_again,
        retention_swaps,
        lease_of_entry,
        indexes_first,
        staying_together,
        next_call,
        promised_wait,
        promised_wait_after_failures,
        moment_before,
        promised_margin,
        awake_clock,
        digest_of_all,
        named_parts,
    )
}
