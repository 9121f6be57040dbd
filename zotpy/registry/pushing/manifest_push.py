"""The inside of a manifest's push: first everything that it references is checked, then it is written, step by step.

Every step leaves the bucket right. All references are checked (and their leases renewed) at once. Then comes the lease,
which is the authority, then tags and referrer, then the entry. The markers that tell a later DELETE which tags to read
come before the tags.

The entry decides between pushes and deletions of one manifest (see `zotpy.bucket.deletions`). Each reads it, reads or
writes the names, and then replaces the entry if it is still the one that it read. So of a push and a DELETE at the same
moment, one comes wholly before the other. The DELETE sees all tags that the push wrote, or deletes none of them. Pushes
do not hinder each other. If another push replaces the entry after a push has written its names, and no DELETE came in
between, that entry serves as well.
"""

from collections.abc import Awaitable, Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

from zotpy.bucket.entries import ATTEMPTS, Seen, overtaken
from zotpy.bucket.long_reads import beginnings
from zotpy.bucket.pointers import Pointers
from zotpy.bucket.records import Records
from zotpy.bucket.reliance import Reliance, in_time, require
from zotpy.bucket.tags import does_not_hold
from zotpy.concurrency import beside, gather, watched
from zotpy.core import keys
from zotpy.core.digests import Digest
from zotpy.core.errors import ManifestBlobUnknown
from zotpy.core.manifest_facts import ManifestFacts
from zotpy.core.names import RepositoryName, Tag
from zotpy.core.preconditions import Condition
from zotpy.core.record_values import Lease, ManifestValue
from zotpy.settings import Settings

Call = Callable[[], Awaitable[object]]
Left = Callable[[], Awaitable[object]]
LONG_LIST = 64
"""How many references are looked up at once. Between these groups it is checked whether the client has left."""
MOST_NAMED = 20
"""How many absent digests one answer names. After this many, no more are looked up."""


@dataclass(frozen=True, slots=True)
class TagLimits:
    """What must hold of single tags of a push, beside the condition of the request."""

    immutable: Collection[Tag] = ()
    """Those that may name no other manifest than this one once they exist."""
    narrowed: Mapping[Tag, Condition] = field(default_factory=dict)
    """What must hold of some of them in place of the condition of the request."""


NO_LIMITS = TagLimits()


@dataclass(frozen=True, slots=True)
class ManifestPush:
    """One push: what is to be written, and the tags that are to name it."""

    repo: RepositoryName
    digest: Digest
    value: ManifestValue
    facts: ManifestFacts
    tags: Sequence[Tag]
    condition: Condition | None
    limits: TagLimits = NO_LIMITS
    may_miss: bool = False
    """Whether what the manifest names may be missing: it comes when a client asks for it."""
    is_tag_mirrored: bool = False
    """Whether the tags are those of an upstream, and not ours."""
    etags: dict[Tag, str] = field(default_factory=dict)
    """For a conditional push: the tags that it may replace."""

    def condition_of(self, tag: Tag) -> Condition | None:
        """Return what must hold of a tag."""
        condition = self.limits.narrowed.get(tag, self.condition)
        return condition if tag not in self.limits.immutable else (condition or Condition()).and_only(self.digest)


@dataclass(frozen=True, slots=True)
class ManifestPushes:
    """Makes manifests exist, and tags name them."""

    records: Records
    pointers: Pointers
    settings: Settings

    async def run(self, push: ManifestPush, until_left: Left | None = None) -> None:
        """Make a manifest exist, within the deadline; see `zotpy.registry.manifests.Manifests.push`."""
        await in_time(self.settings.gc.deadline_s, partial(self._push, push, until_left))

    async def _push(self, push: ManifestPush, until_left: Left | None, reliance: Reliance) -> None:
        """Check everything, then write. If it raises `TooLate`, nothing that was written counts."""
        check = partial(self._check, push, reliance)
        is_long = len(push.facts.blobs) + len(push.facts.manifests) > LONG_LIST
        seen = await (watched(until_left, check) if until_left is not None and is_long else check())
        lease = await beside(
            partial(self.records.leases.write, push.repo, "manifests", push.digest, push.value, reliance),
            partial(self.pointers.mark_repository, push.repo),
            *[partial(self.pointers.mark_tag, push.repo, push.digest, tag) for tag in push.tags],
        )
        await self._make_visible(push, seen, lease)

    async def _check(self, push: ManifestPush, reliance: Reliance) -> Seen:
        """Rely on every reference, read the tags of a conditional push, and read the record of the manifest itself."""
        missing: list[str] = []

        async def rely(digest: Digest, kind: keys.Kind) -> None:
            if await self.records.rely(push.repo, kind, digest, reliance) is not None:
                return
            is_guessed, other = digest in push.facts.guessed, keys.OTHER_KIND[kind]
            if is_guessed and await self.records.rely(push.repo, other, digest, reliance) is not None:
                return
            is_sparse = (kind == "manifests" or is_guessed) and self.settings.manifest.allow_sparse_indexes
            if not (is_sparse or push.may_miss):
                missing.append(str(digest))
            if len(missing) >= MOST_NAMED:
                raise ManifestBlobUnknown(sorted(missing))

        calls: list[Call] = [partial(rely, digest, "blobs") for digest in push.facts.blobs]
        calls += [partial(rely, digest, "manifests") for digest in push.facts.manifests]
        calls += self._tag_checks(push)
        seen = await beside(partial(self._look, push), *calls)
        if missing:
            raise ManifestBlobUnknown(sorted(missing))
        if push.condition is not None and not push.tags:  # it is then about the manifest itself
            there = None if seen.value is None else push.digest
            if not push.condition.holds(there):
                raise does_not_hold(push.digest, there)
        return seen

    def _tag_checks(self, push: ManifestPush) -> Iterator[Call]:
        """Yield what reads the tags that may not be replaced in any case. Raises `Unsupported`."""
        for tag in push.tags:
            if (condition := push.condition_of(tag)) is not None:
                self.pointers.tags.require_conditions(condition)
                if tag not in push.etags:  # else an attempt that was too late has read it, and perhaps written it
                    yield partial(self.pointers.tags.check, push.repo, tag, condition, push.etags)

    async def _make_visible(self, push: ManifestPush, seen: Seen, lease: Lease) -> None:
        """Write the names, then the entry, so that no deletion came in between. If one did, do it again."""
        swap = partial(self.records.entries.replace, push.repo, "manifests", push.digest)
        look = partial(self._look, push)
        for _ in range(ATTEMPTS):
            # Over a tombstone the entry comes before the names as well: a collector that finishes the deletion deletes
            # any tag that names a buried manifest. Otherwise the entry comes last.
            if seen.is_tombstone:
                revived = await swap(seen, push.value, lease)
                if revived is None:
                    seen = await look()
                    continue
                seen = revived
            await gather(*self._names_of(push, lease))
            # The entry is still the one that was seen before the names were written. So no DELETE has read the names
            # in between and buried the manifest: one that did would have replaced the entry.
            if await swap(seen, push.value, lease) is not None:
                return
            again = await look()
            # Another request has replaced it. If the manifest was not deleted since (it is in the same epoch), that was
            # a push or a renewal, and our names stand. We try once more to write the entry. If that is overtaken in the
            # same way, the other's entry is as good as ours, as it was written after our names. The deadline is then
            # held against the time of this reading, as we have no write to date.
            if again.continues(seen):
                if await swap(again, push.value, lease) is not None:
                    return
                again = await look()
                if again.continues(seen):
                    if lease.due is not None and again.time is not None:
                        require(lease.due, again.time)
                    return
            # The manifest was deleted in between, and the DELETE may have deleted names of ours: we do all of it again,
            # on top of what exists now. A condition on a deleted tag is judged anew.
            seen = again
            await gather(*[partial(self._forget_if_deleted, push, tag) for tag in list(push.etags)])
        raise overtaken(push.digest)

    async def _look(self, push: ManifestPush) -> Seen:
        """Read the entry of the pushed manifest. Its content is at hand."""
        return await self.records.entries.look(push.repo, "manifests", push.digest, beginnings(self.records.store))

    async def _forget_if_deleted(self, push: ManifestPush, tag: Tag) -> None:
        """Let a conditional push, whose tag was deleted with the manifest, make it again if the condition allows that.

        Raises `PreconditionFailed` otherwise: the push then came before the DELETE, and nothing of it is left.
        """
        if await self.pointers.tags.read(push.repo, tag) is None:
            condition = push.condition_of(tag)
            if condition is not None and not condition.holds(None):
                raise does_not_hold(tag, None)
            del push.etags[tag]

    def _names_of(self, push: ManifestPush, lease: Lease) -> list[Call]:
        repo, digest, value = push.repo, push.digest, push.value
        named = replace(value, is_mirrored=True) if push.is_tag_mirrored else value
        calls: list[Call] = [
            partial(self.pointers.tags.write, repo, tag, digest, named, push.condition_of(tag), push.etags, lease.due)
            for tag in push.tags
        ]
        if push.facts.subject is not None:
            calls.append(partial(self.pointers.write_referrer, repo, push.facts, digest, value))
        return calls
