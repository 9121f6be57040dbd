"""Manifests and the tags that name them: pushed and read (OCI distribution spec, end-2, end-3, end-7).

A push writes in an order in which every step leaves the bucket right: all references are checked (and their leases
renewed) at once; then the lease, the authority; then tags and referrer; then the entry. The markers that tell a later
DELETE which tags to look at come before the tags.

The entry is what pushes and deletions of one manifest agree on (see `zotpy.bucket.deletions`). Each reads it, reads
or writes the names, and then replaces the entry if it is still the one it read. So of a push and a DELETE at the same
moment one comes wholly before the other: the DELETE sees all tags that the push wrote, or none of its deletions
touches them. Pushes do not hinder each other: an entry that is replaced after a push has written its names, and was
not deleted in between, serves as well.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

import structlog

from zotpy.bucket.deletions import Deletions, unknown
from zotpy.bucket.digesting import hash_pieces
from zotpy.bucket.entries import Seen
from zotpy.bucket.long_reads import Read, Room, beginnings, whole
from zotpy.bucket.pointers import Names
from zotpy.bucket.records import ATTEMPTS, Records, overtaken
from zotpy.bucket.reliance import Reliance, in_time, require
from zotpy.bucket.tags import does_not_hold
from zotpy.concurrency import beside, gather, watched
from zotpy.core import keys
from zotpy.core.conditions import Condition
from zotpy.core.digests import Digest
from zotpy.core.errors import DigestInvalid, ManifestBlobUnknown, ManifestTooLarge, ManifestUnknown
from zotpy.core.hashing import new_hasher
from zotpy.core.manifest_facts import ManifestFacts, parse_pushed
from zotpy.core.names import Reference, RepositoryName, Tag
from zotpy.core.pieces import Pieces
from zotpy.core.record_values import Lease, ManifestValue, TagValue, is_late
from zotpy.memory.parsing import read_apart
from zotpy.registry.settings import RegistrySettings
from zotpy.store.interface import Fetched, Store

Call = Callable[[], Awaitable[object]]
Left = Callable[[], Awaitable[object]]
LONG_LIST = 64
"""Up to so many references are looked up at once; with more, it is seen whether the client has left meanwhile."""
MOST_NAMED = 20
"""Absent digests that one answer names; with so many, no more are looked up."""


log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Pushed:
    """A manifest that was pushed."""

    digest: Digest
    subject: Digest | None


@dataclass(frozen=True, slots=True)
class Found:
    """A manifest that was read."""

    digest: Digest
    value: ManifestValue
    size_bytes: int
    """Length of the manifest, of which `value` may be the beginning."""


@dataclass(frozen=True, slots=True)
class _Push:
    """One push, all of whose references were found."""

    repo: RepositoryName
    digest: Digest
    value: ManifestValue
    facts: ManifestFacts
    tags: Sequence[Tag]
    condition: Condition | None
    etags: dict[Tag, str] = field(default_factory=dict)
    """Of a conditional push: the tags that it may replace."""


@dataclass(frozen=True, slots=True)
class Manifests:
    """All requests for manifests."""

    store: Store
    records: Records
    names: Names
    deletions: Deletions
    settings: RegistrySettings

    async def find(self, repo: RepositoryName, reference: Reference, room: Room | None = None) -> Found:
        """Read a manifest, by tag or by digest: one store call, two if it is long, which then is held in `room`.

        Raises `ManifestUnknown`, `TooManyRequests`.
        """
        read = whole(self.store, room)
        found = await self._find(repo, reference, read)
        if await _is_whole(found):
            return found
        return await self._undamaged(repo, reference, found.digest, read)

    async def stat(self, repo: RepositoryName, reference: Reference) -> Found:
        """Find a manifest by one store call; of a long one only the beginning is read. Raises `ManifestUnknown`."""
        missing_bytes = 0

        async def read(key: str) -> Fetched:
            nonlocal missing_bytes
            fetched = await beginnings(self.store)(key)
            missing_bytes = 0 if fetched.total_bytes is None else fetched.total_bytes - len(fetched.body)
            return fetched

        found = await self._find(repo, reference, read)
        if missing_bytes:
            return replace(found, size_bytes=found.size_bytes + missing_bytes)
        if await _is_whole(found):
            return found
        return await self._undamaged(repo, reference, found.digest, read)

    async def _undamaged(self, repo: RepositoryName, reference: Reference, digest: Digest, read: Read) -> Found:
        """Read again what had other bytes than were pushed: from where it was, and what a tag holds from its record."""
        for place in (reference, digest):
            found = await self._find(repo, place, read)
            if await _is_whole(found):
                return found
        log.error("damaged_manifest", repository=repo.text, digest=str(digest))
        msg = f"the manifest {digest} is damaged in the store: push it again"
        raise ManifestUnknown(msg, detail={"digest": str(digest), "reason": "damaged"})

    async def _find(self, repo: RepositoryName, reference: Reference, read: Read) -> Found:
        if isinstance(reference, Tag):
            tag = await self.names.tags.read(repo, reference, read)
            if tag is None or await self._leads_nowhere(repo, *tag):
                raise unknown(reference)
            return Found(tag[0].digest, tag[0].manifest, tag[0].manifest.size_bytes)
        value = await self.records.read_manifest(repo, reference, read)
        if value is None:
            raise unknown(reference)
        return Found(reference, value, value.size_bytes)

    async def _leads_nowhere(self, repo: RepositoryName, tag: TagValue, fetched: Fetched) -> bool:
        """Whether a tag was written too late, for a manifest that was deleted before."""
        if not is_late(fetched.last_modified, tag.until):
            return False
        return await self.records.read_manifest(repo, tag.digest, beginnings(self.store)) is None

    async def push(
        self,
        repo: RepositoryName,
        reference: Reference,
        content: bytes,
        content_type: str | None,
        *,
        extra_tags: Sequence[Tag] = (),
        condition: Condition | None = None,
        until_left: Left | None = None,
    ) -> Pushed:
        """Make a manifest exist, and its tags name it.

        `until_left` raises an error when the client has left: then no more is looked up, as long as nothing is written.

        Raises `ManifestInvalid`, `ManifestTooLarge`, `DigestInvalid`, `ManifestBlobUnknown`, `PreconditionFailed`,
        `Unsupported`; nothing was written then, but for a condition lost to a push at the same moment.
        """
        digest, facts = await read_apart(len(content), partial(self._read, reference, content, content_type))
        tags = [reference, *extra_tags] if isinstance(reference, Tag) else list(extra_tags)
        push = _Push(repo, digest, ManifestValue(facts.media_type, content), facts, tags, condition)
        await in_time(self.settings.deadline_s, partial(self._push, push, until_left))
        return Pushed(digest, facts.subject)

    async def _push(self, push: _Push, until_left: Left | None, reliance: Reliance) -> None:
        """Check everything, then write. Raises `TooLate`; then nothing that was written counts."""
        check = partial(self._check, push, reliance)
        is_long = len(push.facts.blobs) + len(push.facts.manifests) > LONG_LIST
        seen = await (watched(until_left, check) if until_left is not None and is_long else check())
        lease = await beside(
            partial(self.records.leases.write, push.repo, "manifests", push.digest, push.value, reliance),
            partial(self.names.mark_repository, push.repo),
            *[partial(self.names.mark_tag, push.repo, push.digest, tag) for tag in push.tags],
        )
        await self._make_visible(push, seen, lease)

    async def delete(
        self, repo: RepositoryName, digest: Digest, condition: Condition | None = None, room: Room | None = None
    ) -> None:
        """Delete a manifest with its tags and its referrer entry. Raises `ManifestUnknown`, `PreconditionFailed`."""
        if condition is not None and not condition.holds(digest):
            await self.stat(repo, digest)
            raise does_not_hold(digest, digest)
        await self.deletions.delete(repo, digest, room)

    async def delete_tag(self, repo: RepositoryName, tag: Tag, condition: Condition | None = None) -> None:
        """Delete one tag; its manifest stays. Raises `ManifestUnknown`, `PreconditionFailed`, `Unsupported`."""
        for _ in range(ATTEMPTS):
            found = await self.names.tags.read(repo, tag)
            if found is None:
                raise unknown(tag)
            if condition is None:
                await self.names.tags.delete(repo, tag)
                return
            self.names.tags.require_conditional_delete()
            if not condition.holds(found[0].digest):
                raise does_not_hold(tag, found[0].digest)
            if await self.names.tags.delete(repo, tag, found[1].etag):
                return
        raise overtaken(tag)

    def _read(self, reference: Reference, content: bytes, content_type: str | None) -> tuple[Digest, ManifestFacts]:
        facts = parse_pushed(content, content_type, self.settings.manifest_limits)
        return self._digest(reference, content), facts.kept()

    def _digest(self, reference: Reference, content: bytes) -> Digest:
        if len(content) > self.settings.manifest_limit_bytes:
            raise too_large(self.settings.manifest_limit_bytes)
        if isinstance(reference, Tag):
            return Digest.of(content)
        actual = Digest.of(content, reference.algorithm)
        if actual != reference:
            msg = f"the manifest has the digest {actual}, not {reference}: send it unchanged"
            raise DigestInvalid(msg, detail={"digest": str(reference), "actual": str(actual)})
        return actual

    async def _check(self, push: _Push, reliance: Reliance) -> Seen:
        """Rely on every reference, read the tags of a conditional push, and what there is of the manifest itself."""
        missing: list[str] = []

        async def rely(digest: Digest, kind: keys.Kind) -> None:
            if await self.records.rely(push.repo, kind, digest, reliance) is not None:
                return
            is_guessed, other = digest in push.facts.guessed, keys.OTHER_KIND[kind]
            if is_guessed and await self.records.rely(push.repo, other, digest, reliance) is not None:
                return
            may_miss = (kind == "manifests" or is_guessed) and self.settings.allow_sparse_indexes
            if not may_miss:
                missing.append(str(digest))
            if len(missing) >= MOST_NAMED:
                raise ManifestBlobUnknown(sorted(missing))

        calls: list[Call] = [partial(rely, digest, "blobs") for digest in push.facts.blobs]
        calls += [partial(rely, digest, "manifests") for digest in push.facts.manifests]
        if push.condition is not None and push.tags:
            self.names.tags.require_conditions(push.condition)
            calls += [
                partial(self.names.tags.check, push.repo, tag, push.condition, push.etags)
                for tag in push.tags
                if tag not in push.etags  # else an attempt that was too late has looked, and perhaps written
            ]
        seen = await beside(partial(self._look, push), *calls)
        if missing:
            raise ManifestBlobUnknown(sorted(missing))
        if push.condition is not None and not push.tags:  # it is then about the manifest itself
            there = None if seen.value is None else push.digest
            if not push.condition.holds(there):
                raise does_not_hold(push.digest, there)
        return seen

    async def _make_visible(self, push: _Push, seen: Seen, lease: Lease) -> None:
        """Write the names, then the entry, such that no deletion came between; again where one did."""
        swap = partial(self.records.entries.replace, push.repo, "manifests", push.digest)
        look = partial(self._look, push)
        for _ in range(ATTEMPTS):
            if seen.is_tombstone:  # names of what was deleted would last no longer than what they name
                revived = await swap(seen, push.value, lease)
                if revived is None:
                    seen = await look()
                    continue
                seen = revived
            await gather(*self._names_of(push, lease))
            if await swap(seen, push.value, lease) is not None:
                return
            again = await look()
            if again.continues(seen):
                if await swap(again, push.value, lease) is not None:
                    return
                again = await look()
                if again.continues(seen):
                    if lease.due is not None and again.time is not None:
                        require(lease.due, again.time)
                    return  # by what another one wrote after it was read, so after our names
            seen = again
            await gather(*[partial(self._forget_if_deleted, push, tag) for tag in list(push.etags)])
        raise overtaken(push.digest)

    async def _look(self, push: _Push) -> Seen:
        """Look at the entry of the pushed manifest; its content is at hand."""
        return await self.records.entries.look(push.repo, "manifests", push.digest, beginnings(self.store))

    async def _forget_if_deleted(self, push: _Push, tag: Tag) -> None:
        """Let a conditional push, whose tag was deleted with the manifest, make it again."""
        if await self.names.tags.read(push.repo, tag) is None:
            del push.etags[tag]

    def _names_of(self, push: _Push, lease: Lease) -> list[Call]:
        repo, digest, value = push.repo, push.digest, push.value
        calls: list[Call] = [
            partial(self.names.tags.write, repo, tag, digest, value, push.condition, push.etags, lease.due)
            for tag in push.tags
        ]
        if push.facts.subject is not None:
            calls.append(partial(self.names.write_referrer, repo, push.facts, digest, value))
        return calls


async def _is_whole(found: Found) -> bool:
    """Say whether a manifest has the bytes that were pushed."""
    hasher = new_hasher(found.digest.algorithm)
    await hash_pieces(hasher, Pieces(found.value.content))
    return hasher.digest() == found.digest


def too_large(limit_bytes: int) -> ManifestTooLarge:
    """Return the error that says how long a manifest may be."""
    return ManifestTooLarge(f"the manifest is longer than the {limit_bytes} bytes accepted here")
