"""One tag copied with everything that it names: blobs first, then manifests, and the tag last.

So the order is that of a push, and an import that is stopped anywhere leaves nothing that is not whole.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Hashable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Protocol

import trio

from zotpy.concurrency import gather
from zotpy.core.digests import Digest
from zotpy.core.errors import BlobUnknown, ManifestUnknown
from zotpy.core.manifest_facts import ManifestFacts, parse_manifest
from zotpy.core.names import Reference, RepositoryName, Tag
from zotpy.importing.selection import companion_of
from zotpy.importing.sources import Source
from zotpy.importing.tally import Tally
from zotpy.registry.manifests import Found
from zotpy.registry.registry import Registry
from zotpy.upstream import ManifestBody, NotAtUpstream, UpstreamRefused

DEEPEST = 8
"""How many indexes may be inside each other, and referrers upon each other."""
IsImmutable = Callable[[str, str], bool]


class Names(Protocol):
    """A repository."""

    @property
    def source(self) -> str:
        """What the source calls it."""
        ...

    @property
    def target(self) -> RepositoryName:
        """What it is called here."""
        ...


class TooDeep(Exception):
    """Manifests name each other too deeply."""


@dataclass(eq=False, slots=True)
class Locks:
    """Lets only one task at a time copy something: the others then find it here.

    Who copies a manifest copies what it names meanwhile. No manifest names itself, so nobody waits for ever.
    """

    _held: dict[Hashable, tuple[trio.Lock, int]] = field(default_factory=dict)

    @asynccontextmanager
    async def only(self, what: Hashable) -> AsyncIterator[None]:
        """Wait until nobody else copies it."""
        lock, users = self._held.get(what, (trio.Lock(), 0))
        self._held[what] = lock, users + 1
        try:
            async with lock:
                yield
        finally:
            lock, users = self._held[what]
            if users == 1:
                del self._held[what]
            else:
                self._held[what] = lock, users - 1


@dataclass(frozen=True, slots=True)
class Mirroring:
    """Tags that follow those of the source. A tag that was pushed here is ours, and stays."""

    admits: Callable[[str, Digest], Awaitable[bool]] | None = None
    """Says whether an image of a repository, as the source names it, may come; `None`: each may."""

    async def takes(self, repo: str, tag: Tag, digest: Digest) -> bool:
        """Say whether what a tag names may come. What belongs to an image comes with it."""
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
    """How tags are copied that follow the source; `None`: what is copied is ours from then on."""
    locks: Locks = field(default_factory=Locks)
    places: trio.Semaphore = field(init=False)
    """For the blobs that are copied at once, of all manifests."""

    def __post_init__(self) -> None:
        self.places = trio.Semaphore(self.at_once)

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

    async def _is_whole(self, repo: Names, tagged: Found) -> bool:
        """Say whether all is here that a tag leads to: a mirror on demand fetches parts only when clients ask."""
        if not tagged.value.is_mirrored:
            return True
        found = await self._find(repo.target, tagged.digest)
        return self.mirroring is not None and found is not None and not found.value.is_mirrored

    async def manifest(self, repo: Names, digest: Digest, depth: int = 0) -> bool:
        """Copy a manifest with what it names, and return `True`, unless it is here already."""
        async with self.locks.only((repo.target, digest)):
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
        self, repo: Names, body: ManifestBody, reference: Reference, depth: int = 0, here: Found | None = None
    ) -> None:
        """Copy what a manifest names, then make it exist here. `here` is what the tag named before."""
        if depth > DEEPEST:
            msg = f"indexes are nested more than {DEEPEST} deep"
            raise TooDeep(msg)
        media_type = body.told_type
        facts = await trio.to_thread.run_sync(parse_manifest, body.content, media_type)
        calls = [partial(self._blob_or_other, repo, facts, digest, depth) for digest in facts.blobs]
        calls += [partial(self._child_or_other, repo, facts, digest, depth) for digest in facts.manifests]
        await gather(*calls, limit=self.at_once)
        tags = [reference] if isinstance(reference, Tag) else []
        immutable = [tag for tag in tags if self.is_immutable(repo.target.text, tag.text)]
        manifests, content = self.registry.manifests, body.content
        if self.mirroring is not None and isinstance(reference, Tag):
            whole, condition = (body.digest, content, media_type), manifests.as_seen(here)
            await manifests.follow(repo.target, whole, reference, condition, is_immutable=bool(immutable))
        else:
            await manifests.push(repo.target, body.digest, content, media_type, extra_tags=tags, immutable=immutable)
        self.tally.manifests_copied += 1

    async def _blob_or_other(self, repo: Names, facts: ManifestFacts, digest: Digest, depth: int) -> None:
        """Copy a blob, or the manifest that it is after all. If the source has neither, the push decides."""
        try:
            await self.blob(repo, digest)
        except UpstreamRefused:
            raise
        except NotAtUpstream:
            if digest in facts.guessed:
                with suppress(NotAtUpstream):
                    await self.manifest(repo, digest, depth + 1)

    async def _child_or_other(self, repo: Names, facts: ManifestFacts, digest: Digest, depth: int) -> None:
        """Copy a manifest, or the blob that it is after all."""
        try:
            await self.manifest(repo, digest, depth + 1)
        except UpstreamRefused:
            raise
        except NotAtUpstream:
            if digest in facts.guessed:
                with suppress(NotAtUpstream):
                    await self.blob(repo, digest)

    async def blob(self, repo: Names, digest: Digest) -> None:
        """Copy a blob, unless it is here already, or in another repository here."""
        async with self.locks.only(digest):
            try:
                await self.registry.blobs.stat(repo.target, digest)
            except BlobUnknown:
                pass
            else:
                self.tally.blobs_present += 1
                return
            if self.mirroring is None and await self._is_mounted(repo, digest):
                return
            async with self.places, self.source.blob(repo.source, digest) as stream:
                # A mirror's upstream must have the blob: its manifests may name one that others here may not read.
                if self.mirroring is not None and await self._is_mounted(repo, digest):
                    return
                session = self.registry.uploads.begin(repo.target, digest.algorithm)
                body = _Counted(stream.pieces(), self.tally)
                await self.registry.uploads.finish(session, digest, body, None, stream.length)
            self.tally.blobs_copied += 1

    async def _is_mounted(self, repo: Names, digest: Digest) -> bool:
        """Take a blob from another repository here, and say whether one has it."""
        value = await self.registry.mounts.mount(repo.target, digest, None)
        self.tally.blobs_mounted += value is not None
        return value is not None

    async def _find(self, repo: RepositoryName, reference: Reference) -> Found | None:
        try:
            return await self.registry.manifests.stat(repo, reference)
        except ManifestUnknown:
            return None


class _Counted:
    """Bytes that are counted on their way."""

    def __init__(self, pieces: AsyncIterator[bytes], tally: Tally) -> None:
        self._pieces = pieces
        self._tally = tally

    def __aiter__(self) -> "_Counted":
        return self

    async def __anext__(self) -> bytes:
        piece = await anext(self._pieces)
        self._tally.bytes_copied += len(piece)
        return piece
