"""Manifests and the tags that name them: pushed and deleted (OCI distribution spec, end-7, end-9).

`zotpy.registry.manifest_reads` has how they are read, `zotpy.registry.pushing.manifest_push` how a push is written, and
`zotpy.bucket.deletions` how a manifest is deleted.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from zotpy.bucket.deletions import Deletions, Judge, every_tag, unknown
from zotpy.bucket.entries import ATTEMPTS, overtaken
from zotpy.bucket.long_reads import Room
from zotpy.bucket.tags import does_not_hold
from zotpy.core.digests import Digest
from zotpy.core.errors import DigestInvalid, ManifestTooLarge
from zotpy.core.manifest_facts import ManifestFacts, parse_pushed
from zotpy.core.names import Reference, RepositoryName, Tag
from zotpy.core.preconditions import Condition
from zotpy.core.record_values import ManifestValue
from zotpy.memory.parsing import read_apart
from zotpy.registry.manifest_reads import FoundManifest, ManifestReads
from zotpy.registry.pushing.manifest_push import NO_LIMITS, Left, ManifestPush, ManifestPushes, TagLimits
from zotpy.settings import Settings


@dataclass(frozen=True, slots=True)
class Pushed:
    """A manifest that was pushed."""

    digest: Digest
    subject: Digest | None


@dataclass(frozen=True, slots=True)
class Accepted:
    """A manifest of an upstream that may be kept."""

    push: ManifestPush
    found: FoundManifest
    """What those who ask for it get."""


@dataclass(frozen=True, slots=True)
class Manifests(ManifestReads):
    """All requests for manifests."""

    deletions: Deletions
    settings: Settings

    async def push(
        self,
        repo: RepositoryName,
        reference: Reference,
        content: bytes,
        content_type: str | None,
        *,
        extra_tags: Sequence[Tag] = (),
        condition: Condition | None = None,
        limits: TagLimits = NO_LIMITS,
        until_left: Left | None = None,
    ) -> Pushed:
        """Make a manifest exist, and its tags name it. `limits` says what must hold of single tags.

        `until_left` raises an error when the client has left. Then nothing more is looked up, as long as nothing is
        written.

        Raises `ManifestInvalid`, `ManifestTooLarge`, `DigestInvalid`, `ManifestBlobUnknown`, `PreconditionFailed`,
        `TagImmutable`, `Unsupported`. Nothing was written then, unless a push at the same moment broke the condition.
        """
        digest, facts = await read_apart(len(content), partial(self._read, reference, content, content_type))
        tags = [reference, *extra_tags] if isinstance(reference, Tag) else list(extra_tags)
        value = ManifestValue(facts.media_type, content)
        push = ManifestPush(repo, digest, value, facts, tags, condition, limits)
        await ManifestPushes(self.records, self.pointers, self.settings).run(push, until_left)
        return Pushed(digest, facts.subject)

    async def follow(
        self,
        repo: RepositoryName,
        body: tuple[Digest, bytes, str | None],
        tag: Tag,
        condition: Condition | None,
        *,
        is_immutable: bool,
    ) -> None:
        """Make a manifest of an upstream exist with all that it names, and a tag that follows the upstream name it.

        `body` is its digest, its bytes and its media type. Raises what `push` raises.
        """
        digest, content, content_type = body
        _, facts = await read_apart(len(content), partial(self._read, digest, content, content_type))
        value, limits = ManifestValue(facts.media_type, content), TagLimits([tag] if is_immutable else ())
        push = ManifestPush(repo, digest, value, facts, [tag], condition, limits, is_tag_mirrored=True)
        await ManifestPushes(self.records, self.pointers, self.settings).run(push)

    def as_seen(self, found: FoundManifest | None) -> Condition | None:
        """Return the condition that a tag still names what was found (`None`: nothing); `None`: the store has none."""
        features = self.store.features
        if not (features.conditional_create and features.conditional_replace):
            return None
        return Condition.absent() if found is None else Condition.names(found.digest)

    async def accept(
        self,
        repo: RepositoryName,
        reference: Reference,
        content: bytes,
        content_type: str | None,
        condition: Condition | None = None,
    ) -> Accepted:
        """Check a manifest of an upstream, which `keep` may then make exist, if the condition holds for the tag.

        Raises `ManifestInvalid`, `ManifestTooLarge`, `DigestInvalid`.
        """
        digest, facts = await read_apart(len(content), partial(self._read, reference, content, content_type))
        value = ManifestValue(facts.media_type, content, is_mirrored=True)
        tags = [reference] if isinstance(reference, Tag) else []
        push = ManifestPush(repo, digest, value, facts, tags, condition, may_miss=True)
        return Accepted(push, FoundManifest(digest, value, len(content)))

    async def keep(self, accepted: Accepted) -> None:
        """Make a manifest of an upstream exist. What it names may be missing: it comes when a client asks for it.

        Raises `PreconditionFailed` if the condition does not hold for the tag.
        """
        await ManifestPushes(self.records, self.pointers, self.settings).run(accepted.push)

    async def delete(
        self,
        repo: RepositoryName,
        digest: Digest,
        condition: Condition | None = None,
        room: Room | None = None,
        judge: Judge = every_tag,
    ) -> None:
        """Delete a manifest with its tags and its referrer entry. Raises `ManifestUnknown`, `PreconditionFailed`.

        `judge` raises an error if tags must not be deleted with it.
        """
        if condition is not None and not condition.holds(digest):
            await self.stat(repo, digest)
            raise does_not_hold(digest, digest)
        await self.deletions.delete(repo, digest, room, judge)

    async def delete_tag(self, repo: RepositoryName, tag: Tag, condition: Condition | None = None) -> None:
        """Delete one tag; its manifest stays. Raises `ManifestUnknown`, `PreconditionFailed`, `Unsupported`."""
        for _ in range(ATTEMPTS):
            found = await self.pointers.tags.read(repo, tag)
            if found is None:
                raise unknown(tag)
            if condition is None:
                await self.pointers.tags.delete(repo, tag)
                return
            self.pointers.tags.require_conditional_delete()
            if not condition.holds(found[0].digest):
                raise does_not_hold(tag, found[0].digest)
            if await self.pointers.tags.delete(repo, tag, found[1].etag):
                return
        raise overtaken(tag)

    def _read(self, reference: Reference, content: bytes, content_type: str | None) -> tuple[Digest, ManifestFacts]:
        facts = parse_pushed(content, content_type, self.settings.manifest.limits)
        return self._digest(reference, content), facts.kept()

    def _digest(self, reference: Reference, content: bytes) -> Digest:
        if len(content) > self.settings.manifest.max_size_bytes:
            raise too_large(self.settings.manifest.max_size_bytes)
        if isinstance(reference, Tag):
            return Digest.of(content)
        actual = Digest.of(content, reference.algorithm)
        if actual != reference:
            msg = f"the manifest has the digest {actual}, not {reference}: send it unchanged"
            raise DigestInvalid(msg, detail={"digest": str(reference), "actual": str(actual)})
        return actual


def too_large(limit_bytes: int) -> ManifestTooLarge:
    """Return the error that says how long a manifest may be."""
    return ManifestTooLarge(f"the manifest is longer than the {limit_bytes} bytes accepted here")
