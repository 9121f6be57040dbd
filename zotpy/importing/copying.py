"""One tag copied with everything that it names: blobs first, then manifests, and the tag last.

So the order is that of a push, and an import that is stopped anywhere leaves nothing that is not whole.
"""

from collections.abc import AsyncIterator, Callable, Collection, Hashable
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
from zotpy.importing.sources import Source
from zotpy.importing.tally import Tally
from zotpy.registry.registry import Registry
from zotpy.upstream import ManifestBody, NotAtUpstream, UpstreamRefused

DEEPEST = 8
"""How many indexes may be inside each other, and referrers upon each other."""
_SAY_NOTHING = {"", "application/octet-stream", "text/plain"}
"""Types of servers that do not know what a manifest is: its own field counts."""

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


@dataclass(eq=False, slots=True)
class Copier:
    """Copies manifests and blobs of one source. Raises `RegistryError`, `UpstreamError`, `StoreError`, `TooDeep`."""

    source: Source
    registry: Registry
    is_immutable: IsImmutable
    tally: Tally
    at_once: int
    """How many blobs of one manifest are copied at once."""
    locks: Locks = field(default_factory=Locks)
    places: trio.Semaphore = field(init=False)
    """For the blobs that are copied at once, of all manifests."""

    def __post_init__(self) -> None:
        self.places = trio.Semaphore(self.at_once)

    async def tag(self, repo: Names, tag: Tag) -> Digest:
        """Copy a tag, unless it names the same manifest here already. Return the digest of its manifest."""
        here = await self._find(repo.target, tag)
        if here is not None:
            there = await self.source.digest_of(repo.source, tag.text)
            if here == there:
                self.tally.tags_unchanged += 1
                return here
        body = await self.source.manifest(repo.source, tag.text)
        if here == body.digest:
            self.tally.tags_unchanged += 1
            return here
        await self._copy(repo, body, tag)
        self.tally.tags_copied += 1
        return body.digest

    async def manifest(self, repo: Names, digest: Digest, depth: int = 0) -> bool:
        """Copy a manifest with what it names, and return `True`, unless it is here already."""
        async with self.locks.only((repo.target, digest)):
            if await self._find(repo.target, digest) is not None:
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

    async def _copy(self, repo: Names, body: ManifestBody, reference: Reference, depth: int = 0) -> None:
        """Copy what a manifest names, then make it exist here."""
        if depth > DEEPEST:
            msg = f"manifests name each other more than {DEEPEST} deep"
            raise TooDeep(msg)
        media_type = None if body.media_type in _SAY_NOTHING else body.media_type
        facts = await trio.to_thread.run_sync(parse_manifest, body.content, media_type)
        calls = [partial(self._blob_or_other, repo, facts, digest, depth) for digest in facts.blobs]
        calls += [partial(self._child_or_other, repo, facts, digest, depth) for digest in facts.manifests]
        await gather(*calls, limit=self.at_once)
        tags = [reference] if isinstance(reference, Tag) else []
        await self.registry.manifests.push(
            repo.target,
            body.digest,
            body.content,
            media_type,
            extra_tags=tags,
            immutable=[tag for tag in tags if self.is_immutable(repo.target.text, tag.text)],
        )
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
            if await self.registry.mounts.mount(repo.target, digest, None) is not None:
                self.tally.blobs_mounted += 1
                return
            async with self.places, self.source.blob(repo.source, digest) as stream:
                session = self.registry.uploads.begin(repo.target, digest.algorithm)
                body = _Counted(stream.pieces(), self.tally)
                await self.registry.uploads.finish(session, digest, body, None, stream.length)
            self.tally.blobs_copied += 1

    async def _find(self, repo: RepositoryName, reference: Reference) -> Digest | None:
        try:
            return (await self.registry.manifests.stat(repo, reference)).digest
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
