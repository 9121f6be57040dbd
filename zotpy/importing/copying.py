"""One tag copied with everything that it names: blobs first, then manifests, and the tag last.

This is the order of a push. So an import that is stopped at any moment leaves nothing incomplete.
"""

from collections.abc import Awaitable, Callable, Collection
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial

import trio

from zotpy.concurrency import gather
from zotpy.core.companions import companion_of
from zotpy.core.digests import Digest
from zotpy.core.errors import ManifestUnknown
from zotpy.core.manifest_facts import ManifestFacts, parse_manifest
from zotpy.core.names import Reference, RepositoryName, Tag
from zotpy.importing.blobs import BlobCopier
from zotpy.importing.locks import Locks
from zotpy.importing.sources import Names, Source
from zotpy.importing.tally import Tally
from zotpy.registry.manifest_reads import FoundManifest
from zotpy.registry.pushing.manifest_push import TagLimits
from zotpy.registry.registry import Registry
from zotpy.upstream import ManifestBody, NotAtUpstream, UpstreamRefused

DEEPEST = 8
"""How many indexes may contain each other, and how many referrers may refer to each other."""
IsImmutable = Callable[[str, str], bool]


class TooDeep(Exception):
    """Manifests name each other too deeply."""


@dataclass(frozen=True, slots=True)
class Mirroring:
    """Tags that follow those of the source. A tag that a client has pushed here stays as it is."""

    admits: Callable[[str, Digest], Awaitable[bool]] | None = None
    """Says whether an image of a repository, as the source names it, may be copied; `None`: each may."""

    async def takes(self, repo: str, tag: Tag, digest: Digest) -> bool:
        """Say whether the image that a tag names may be copied. Signatures and the like are copied with their image."""
        return self.admits is None or companion_of(tag.text) is not None or await self.admits(repo, digest)


@dataclass(eq=False, slots=True)
class Copier:
    """Copies manifests and blobs of one source. Raises `RegistryError`, `UpstreamError`, `StoreError`, `TooDeep`."""

    source: Source
    registry: Registry
    is_immutable: IsImmutable
    tally: Tally
    at_once: int
    """How many blobs of one manifest are copied at once."""
    mirroring: Mirroring | None = None
    """How to copy tags that follow the source; `None`: copied tags no longer follow it."""
    _locks: Locks = field(default_factory=Locks)
    _blobs: BlobCopier = field(init=False)

    def __post_init__(self) -> None:
        is_mirror = self.mirroring is not None
        self._blobs = BlobCopier(self.source, self.registry, self.tally, self.at_once, is_mirror)

    async def tag(self, repo: Names, tag: Tag) -> Digest | None:
        """Copy a tag, unless it names the same manifest here already. Return the digest of its manifest.

        `None`: the tag does not follow the source.
        """
        here = await self._find(repo.target, tag)
        if here is not None:
            if self.mirroring is not None and not here.value.is_mirrored:
                self.tally.tags_kept += 1
                return None
            there = await self.source.digest_of(repo.source, tag.text)
            if here.digest == there and await self._is_whole(repo, here):
                self.tally.tags_unchanged += 1
                return there
        body = await self.source.manifest(repo.source, tag.text)
        if here is not None and here.digest == body.digest and await self._is_whole(repo, here):
            self.tally.tags_unchanged += 1
            return body.digest
        if self.mirroring is not None and not await self.mirroring.takes(repo.source, tag, body.digest):
            self.tally.tags_unsigned += 1
            return None
        await self._copy(repo, body, tag, here=here)
        self.tally.tags_copied += 1
        return body.digest

    async def _is_whole(self, repo: Names, tagged: FoundManifest) -> bool:
        """Say whether everything is here that a tag leads to.

        A mirror on demand fetches what a manifest names only when clients ask for it.
        """
        if not tagged.value.is_mirrored:
            return True
        found = await self._find(repo.target, tagged.digest)
        return self.mirroring is not None and found is not None and not found.value.is_mirrored

    async def manifest(self, repo: Names, digest: Digest, depth: int = 0) -> bool:
        """Copy a manifest with what it names, and return `True`, unless it is here already."""
        async with self._locks.only((repo.target, digest)):
            found = await self._find(repo.target, digest)
            if found is not None and not found.value.is_mirrored:
                self.tally.manifests_present += 1
                return False
            await self._copy(repo, await self.source.manifest(repo.source, str(digest)), digest, depth)
            return True

    async def children(self, repo: Names, digest: Digest) -> Collection[Digest]:
        """Return which manifests a manifest here names, itself included."""
        found, waiting = {digest}, [(digest, 0)]
        while waiting:
            each, depth = waiting.pop()
            try:
                value = (await self.registry.manifests.find(repo.target, each)).value
            except ManifestUnknown:
                found.discard(each)  # a blob by the index of another tool, or a part that its source did not have
                continue
            new = set(parse_manifest(value.content, value.media_type).manifests) - found
            found |= new
            if depth < DEEPEST:
                waiting += [(child, depth + 1) for child in new]
        return found

    async def _copy(
        self, repo: Names, body: ManifestBody, reference: Reference, depth: int = 0, here: FoundManifest | None = None
    ) -> None:
        """Copy what a manifest names, then make it exist here. `here` is what the tag named before."""
        if depth > DEEPEST:
            msg = f"indexes are nested more than {DEEPEST} deep"
            raise TooDeep(msg)
        media_type = body.told_type
        facts = await trio.to_thread.run_sync(parse_manifest, body.content, media_type)
        calls = [partial(self._blob_or_other, repo, facts, digest, depth) for digest in (*facts.blobs, *facts.foreign)]
        calls += [partial(self._child_or_other, repo, facts, digest, depth) for digest in facts.manifests]
        await gather(*calls, limit=self.at_once)
        tags = [reference] if isinstance(reference, Tag) else []
        immutable = [tag for tag in tags if self.is_immutable(repo.target.text, tag.text)]
        manifests, content = self.registry.manifests, body.content
        if self.mirroring is not None and isinstance(reference, Tag):
            whole, condition = (body.digest, content, media_type), manifests.as_seen(here)
            await manifests.follow(repo.target, whole, reference, condition, is_immutable=bool(immutable))
        else:
            await manifests.push(
                repo.target, body.digest, content, media_type, extra_tags=tags, limits=TagLimits(immutable)
            )
        self.tally.manifests_copied += 1

    async def _blob_or_other(self, repo: Names, facts: ManifestFacts, digest: Digest, depth: int) -> None:
        """Copy a blob, or a manifest if it turns out to be one. If the source has neither, the push decides."""
        try:
            await self._blobs.copy(repo, digest)
        except UpstreamRefused:
            raise
        except NotAtUpstream:
            if digest in facts.guessed:
                with suppress(NotAtUpstream):
                    await self.manifest(repo, digest, depth + 1)

    async def _child_or_other(self, repo: Names, facts: ManifestFacts, digest: Digest, depth: int) -> None:
        """Copy a manifest, or a blob if it turns out to be one."""
        try:
            await self.manifest(repo, digest, depth + 1)
        except UpstreamRefused:
            raise
        except NotAtUpstream:
            if digest in facts.guessed:
                with suppress(NotAtUpstream):
                    await self._blobs.copy(repo, digest)

    async def _find(self, repo: RepositoryName, reference: Reference) -> FoundManifest | None:
        try:
            return await self.registry.manifests.stat(repo, reference)
        except ManifestUnknown:
            return None
