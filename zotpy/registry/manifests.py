"""Manifests and the tags that name them: pushed, read, deleted (OCI distribution spec, end-2, end-3, end-7, end-9).

A push writes in an order in which every step leaves the bucket right: all references are checked (and their leases
renewed) at once; then the lease, the authority; then, at once, what makes it found: entry, tags, referrer. The markers
that tell a later DELETE which tags to look at come before the tags.

A DELETE removes exactly what it saw at one moment: leases by their keys, tags by their ETags. At its end it looks
whether the manifest was pushed again meanwhile: if so it restores what that push relied on.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

from zotpy.core import keys
from zotpy.core.digests import Digest
from zotpy.core.errors import (
    DigestInvalid,
    ManifestBlobUnknown,
    ManifestTooLarge,
    ManifestUnknown,
    Unavailable,
)
from zotpy.core.framing import frame
from zotpy.core.manifests import ManifestFacts, parse_manifest
from zotpy.core.names import Reference, RepositoryName, Tag
from zotpy.core.records import ManifestValue
from zotpy.registry.concurrency import beside, gather, within_deadline
from zotpy.registry.records import Records
from zotpy.registry.settings import RegistrySettings
from zotpy.registry.tags import Condition, Tags
from zotpy.store.interface import Listed, Store
from zotpy.store.sweeps import delete_all, list_all

Call = Callable[[], Awaitable[object]]


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


@dataclass(frozen=True, slots=True)
class _Seen:
    """What there was of a manifest when its DELETE looked: just that is deleted."""

    leases: Sequence[Listed]
    tags: Sequence[Tag]
    """Tags that name it, or once did."""
    naming: Mapping[Tag, str | None]
    """Those that name it, each with its ETag; those that may name it, where the store deletes without a condition."""
    unguarded: list[Tag] = field(default_factory=list)
    """Those that were deleted without a condition."""


@dataclass(frozen=True, slots=True)
class Manifests:
    """All requests for manifests."""

    store: Store
    records: Records
    tags: Tags
    settings: RegistrySettings

    async def find(self, repo: RepositoryName, reference: Reference) -> Found:
        """Read a manifest: one store call, by tag or by digest. Raises `ManifestUnknown`."""
        if isinstance(reference, Tag):
            tag = await self.tags.read(repo, reference)
            if tag is None:
                raise _unknown(reference)
            found = Found(tag[0].digest, tag[0].manifest)
        else:
            value = await self.records.read_manifest(repo, reference)
            if value is None:
                raise _unknown(reference)
            found = Found(reference, value)
        if Digest.of(found.value.content, found.digest.algorithm) != found.digest:
            msg = f"the store returned other bytes than those of {found.digest}: ask the operator to look at the bucket"
            raise Unavailable(msg)
        return found

    async def push(
        self,
        repo: RepositoryName,
        reference: Reference,
        content: bytes,
        content_type: str | None,
        *,
        extra_tags: Sequence[Tag] = (),
        condition: Condition | None = None,
    ) -> Pushed:
        """Make a manifest exist, and its tags name it.

        Raises `ManifestInvalid`, `ManifestTooLarge`, `DigestInvalid`, `ManifestBlobUnknown`, `PreconditionFailed`,
        `Unsupported`; nothing was written then, but for a condition lost to a push at the same moment.
        """
        digest = self._digest(reference, content)
        facts = parse_manifest(content, content_type)
        value = ManifestValue(facts.media_type, content)
        tags = [reference, *extra_tags] if isinstance(reference, Tag) else list(extra_tags)
        with within_deadline(self.settings.deadline_s):
            etags = await self._check(repo, facts, tags, condition)
            lease = await beside(
                partial(self.records.write_lease, repo, "manifests", digest, value),
                partial(self.store.put, keys.repository(repo), b""),
                *[partial(self.store.put, keys.tagged(repo, digest) + tag.text, b"") for tag in tags],
            )
            visible: list[Call] = [partial(self.records.write_entry, repo, "manifests", digest, value, lease)]
            visible += [partial(self.tags.write, repo, tag, digest, value, condition, etags) for tag in tags]
            if facts.subject is not None:
                visible.append(partial(self._write_referrer, repo, facts, digest, value))
            await gather(*visible)
        return Pushed(digest, facts.subject)

    async def delete(self, repo: RepositoryName, digest: Digest) -> None:
        """Delete a manifest with its tags and its referrer entry. Raises `ManifestUnknown`."""
        value = await self.records.read_manifest(repo, digest)
        if value is None:
            raise _unknown(digest)
        facts = parse_manifest(value.content, value.media_type)
        seen = await self._look(repo, digest)
        calls: list[Call] = [partial(self._delete_tag, repo, tag, digest, seen) for tag in seen.naming]
        if facts.subject is not None:
            calls.append(partial(self.store.delete, keys.referrer(repo, facts.subject, digest)))
        calls.append(partial(self.records.delete_listed, repo, "manifests", digest, seen.leases))
        await gather(*calls, limit=16)
        if seen.tags:
            await delete_all(self.store, [keys.tagged(repo, digest) + tag.text for tag in seen.tags])
        if await self.records.list_leases(repo, "manifests", digest):
            await self._restore(repo, digest, value, facts, seen)

    async def delete_tag(self, repo: RepositoryName, tag: Tag) -> None:
        """Delete one tag; its manifest stays. Raises `ManifestUnknown`."""
        if await self.tags.read(repo, tag) is None:
            raise _unknown(tag)
        await self.tags.delete(repo, tag)

    def _digest(self, reference: Reference, content: bytes) -> Digest:
        if len(content) > self.settings.manifest_limit_bytes:
            raise too_large(self.settings.manifest_limit_bytes)
        if isinstance(reference, Tag):
            return Digest.of(content)
        actual = Digest.of(content, reference.algorithm)
        if actual != reference:
            msg = f"the manifest has the digest {actual}, not {reference}"
            raise DigestInvalid(msg, detail={"digest": str(reference), "actual": str(actual)})
        return actual

    async def _check(
        self, repo: RepositoryName, facts: ManifestFacts, tags: Sequence[Tag], condition: Condition | None
    ) -> dict[Tag, str]:
        """Rely on every reference, and read the tags of a conditional push; returns the ETags of those tags."""
        missing: list[str] = []
        etags: dict[Tag, str] = {}

        async def rely(digest: Digest, kind: keys.Kind) -> None:
            may_miss = kind == "manifests" and self.settings.allow_sparse_indexes
            if await self.records.rely(repo, kind, digest) is None and not may_miss:
                missing.append(str(digest))

        calls: list[Call] = [partial(rely, digest, "blobs") for digest in facts.blobs]
        calls += [partial(rely, digest, "manifests") for digest in facts.manifests]
        if condition is not None:
            self.tags.require_conditions(condition)
            calls += [partial(self.tags.check, repo, tag, condition, etags) for tag in tags]
        if calls:
            await gather(*calls)
        if missing:
            raise ManifestBlobUnknown(sorted(missing))
        return etags

    async def _write_referrer(
        self, repo: RepositoryName, facts: ManifestFacts, digest: Digest, value: ManifestValue
    ) -> None:
        if facts.subject is not None:
            descriptor = facts.descriptor(digest, value.size_bytes)
            await self.store.put(keys.referrer(repo, facts.subject, digest), frame({"v": 1, "descriptor": descriptor}))

    async def _look(self, repo: RepositoryName, digest: Digest) -> _Seen:
        """Look at leases and tags such that no push came between the looks: else it would be deleted by halves."""
        leases = await self.records.list_leases(repo, "manifests", digest)
        while True:
            markers = await list_all(self.store, keys.tagged(repo, digest))
            tags = [Tag.parse(marker.key.rpartition("/")[2]) for marker in markers]
            naming: Mapping[Tag, str | None] = dict.fromkeys(tags)
            if self.store.features.conditional_delete:
                found = await gather(*[partial(self.tags.etag_of, repo, tag, digest) for tag in tags], limit=16)
                naming = {tag: etag for tag, etag in zip(tags, found, strict=True) if etag is not None}
            before, leases = leases, await self.records.list_leases(repo, "manifests", digest)
            if leases == before:
                return _Seen(leases, tags, naming)

    async def _delete_tag(self, repo: RepositoryName, tag: Tag, digest: Digest, seen: _Seen) -> None:
        """Delete a tag if it is still the one that was seen; without conditions, if it names the manifest now."""
        etag = seen.naming[tag]
        if etag is None:
            if await self.tags.etag_of(repo, tag, digest) is None:
                return
            seen.unguarded.append(tag)
        await self.tags.delete(repo, tag, etag)

    async def _restore(
        self, repo: RepositoryName, digest: Digest, value: ManifestValue, facts: ManifestFacts, seen: _Seen
    ) -> None:
        """Put back what a push of the same manifest, which overtook this DELETE, wrote under predictable keys."""
        calls: list[Call] = [partial(self.store.put, keys.tagged(repo, digest) + tag.text, b"") for tag in seen.tags]
        calls += [partial(self._put_back, repo, tag, digest, value) for tag in seen.unguarded]
        if facts.subject is not None:
            calls.append(partial(self._write_referrer, repo, facts, digest, value))
        if calls:
            await gather(*calls)

    async def _put_back(self, repo: RepositoryName, tag: Tag, digest: Digest, value: ManifestValue) -> None:
        """Write a tag again that may have been pushed between our look at it and its deletion."""
        if await self.tags.read(repo, tag) is None:
            await self.tags.write(repo, tag, digest, value)


def too_large(limit_bytes: int) -> ManifestTooLarge:
    """Return the error that says how long a manifest may be."""
    return ManifestTooLarge(f"the manifest is longer than the {limit_bytes} bytes accepted here")


def _unknown(reference: Reference) -> ManifestUnknown:
    return ManifestUnknown(f"{reference} is not in this repository", detail={"reference": str(reference)})
