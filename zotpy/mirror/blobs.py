"""Blobs of mirrored repositories: fetched from an upstream once, and streamed to clients meanwhile."""

from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from functools import partial

import structlog
import trio

from zotpy.concurrency import beside
from zotpy.core.digests import Digest
from zotpy.core.errors import BlobUnknown, DigestInvalid, SizeInvalid, TryAgain
from zotpy.core.names import RepositoryName
from zotpy.core.ranges import Span
from zotpy.core.record_values import INLINE_LIMIT_BYTES, BlobValue
from zotpy.core.units import MIB
from zotpy.mirror.checks import Absent
from zotpy.mirror.continuing import left_behind, note_of
from zotpy.mirror.copying import Copy
from zotpy.mirror.events import MirrorEvents
from zotpy.mirror.flights import Tasks
from zotpy.mirror.manifests import unanswered
from zotpy.mirror.present import Present
from zotpy.mirror.ranges import Ranges
from zotpy.mirror.rules import Origin
from zotpy.mirror.source import BlobSource
from zotpy.mirror.turns import Note, Turns
from zotpy.mirror.upstreams import Upstreams
from zotpy.mirror.window import Window
from zotpy.registry.pushing.sessions import Session
from zotpy.registry.registry import Registry
from zotpy.upstream.errors import NotAtUpstream, UpstreamBroken, UpstreamError

MOST_COPIES = 16
"""How many blobs one replica copies at once: each holds some MiB beside the memory budget."""
OF_ONE_SOURCE = MOST_COPIES // 2
"""How many of them come from the same upstreams, unless their `reqConcurrent` is higher: a slow one leaves places."""
SAVE_EVERY_BYTES = 64 * MIB
"""How much of a copy another replica has to fetch again at most, if this one is killed; and the parts under way."""
log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class MirroredBlobs:
    """Blobs that are not in the bucket yet."""

    registry: Registry
    upstreams: Upstreams
    absent: Absent
    tasks: Tasks
    events: MirrorEvents
    ranges: Ranges
    _copies: dict[tuple[RepositoryName, Digest], Copy] = field(default_factory=dict)
    _places: trio.CapacityLimiter = field(default_factory=lambda: trio.CapacityLimiter(MOST_COPIES))
    _places_of: dict[str, trio.CapacityLimiter] = field(default_factory=dict)

    async def fetch(self, origins: Sequence[Origin], repo: RepositoryName, digest: Digest) -> BlobValue | Copy:
        """Begin to copy a blob that is not here, or join those who wait for it. Return it, or what streams it.

        Raises `BlobUnknown`, `TryAgain`, `TooManyRequests`.
        """
        if self.is_absent(repo, digest):
            raise unknown(digest)
        copy = self._copies.get((repo, digest))
        if copy is None:
            ahead = partial(self.ranges.open, tuple(origins), digest)
            copy = Copy(Window(self.registry.blobs.readers), partial(self._open, repo, digest), ahead)
            self.tasks.start(partial(self._run, tuple(origins), repo, digest, copy))
            self._copies[repo, digest] = copy
        await copy.begun.wait()
        if copy.size_bytes is None:
            await copy.ended.wait()
        elif copy.size_bytes <= INLINE_LIMIT_BYTES:
            await copy.confirmed.wait()  # so that an error is an answer, and not a cut
        copy.raise_error()
        copy.expect()
        return copy if copy.value is None else copy.value

    def is_absent(self, repo: RepositoryName, digest: Digest) -> bool:
        """Say whether no upstream had the blob a moment ago."""
        return (repo, digest) in self.absent

    @property
    def under_way(self) -> int:
        """How many blobs are being copied, or wait for their turn."""
        return len(self._copies)

    def readers_of(self, repo: RepositoryName, digest: Digest) -> int:
        """Return how many read behind the copy of a blob."""
        copy = self._copies.get((repo, digest))
        return 0 if copy is None else copy.readers

    def _open(
        self, repo: RepositoryName, digest: Digest, value: BlobValue, span: Span
    ) -> AbstractAsyncContextManager[AsyncIterator[bytes]]:
        return self.registry.blobs.serve(repo, digest, value, span)

    async def _run(self, origins: tuple[Origin, ...], repo: RepositoryName, digest: Digest, copy: Copy) -> None:
        """Copy a blob. What goes wrong is for those who wait for it."""
        value: BlobValue | None = None
        error: Exception | None = None
        holds, settings = self.registry.holds, self.registry.settings
        try:
            async with self._places_at(origins), self._places:
                timeout_s = max(origin.registry.timeout_s for origin in origins)
                with holds.held(holds.patience(settings.upload.hold_timeout_s)), trio.fail_after(timeout_s):
                    session = self.registry.uploads.begin(repo, digest.algorithm)
                    note = Note(note_of(session))
                    work = partial(self._copy_alone, origins, copy, digest, session, note)
                    value = await Turns(self.registry.store, source_of(origins)).alone(digest, note, work)
        except Exception as caught:  # noqa: BLE001 - each of those who wait raises it
            error = self._explained(repo, digest, copy, caught)
        finally:
            del self._copies[repo, digest]
            copy.end(value, error)

    def _places_at(self, origins: tuple[Origin, ...]) -> trio.CapacityLimiter:
        """Return the places for copies from the upstreams of a repository."""
        most = max(OF_ONE_SOURCE, *(origin.registry.requests_at_once for origin in origins))
        return self._places_of.setdefault(source_of(origins), trio.CapacityLimiter(most))

    async def _copy_alone(
        self,
        origins: tuple[Origin, ...],
        copy: Copy,
        digest: Digest,
        session: Session,
        note: Note,
        before: str | None,
    ) -> BlobValue:
        repo, uploads = session.repo, self.registry.uploads
        if before is not None and (value := await self._shared(repo, digest)) is not None:
            return value
        if before and (begun := await left_behind(uploads, repo, digest.algorithm, before)) is not None:
            session, note.text = begun, note_of(begun)
            copy.go_on_at(session.token.offset)
            log.info("copy_continued", repository=repo.text, digest=str(digest), at=session.token.offset)
        source = BlobSource(self.upstreams, origins, digest, copy, self.events)
        try:
            value = await self._without_bytes(source, repo, digest, copy)
            if value is not None:
                return value
            left_bytes = None if copy.size_bytes is None else copy.size_bytes - copy.first
            value = await uploads.finish(
                session,
                digest,
                source,
                None,
                left_bytes,
                on_right=copy.confirm,
                save_every_bytes=SAVE_EVERY_BYTES,
            )
            self.events.on_mirror_copy("copied")
            return value
        finally:
            with trio.CancelScope(shield=True):
                await source.close()

    async def _without_bytes(
        self, source: BlobSource, repo: RepositoryName, digest: Digest, copy: Copy
    ) -> BlobValue | None:
        """Open the blob at the upstream, and return it without its bytes if the bucket has them. Both take a while."""
        registry = self.registry
        present = Present(registry.mounts.records, registry.mounts.hints, registry.settings.gc.deadline_s)
        shared: BlobValue | None = None

        async def ask() -> None:
            copy.begin((await source.open()).length)

        async def look() -> None:
            nonlocal shared
            shared = await self._shared(repo, digest)

        try:
            may_be_here = await beside(partial(present.may_have, repo, digest), ask, look)
        except UpstreamError:
            value = await present.own(repo, digest)
            if value is None:
                raise
        else:
            if shared is not None or not may_be_here:
                return shared
            value = await present.linked(repo, digest, copy.size_bytes)
        if value is not None:
            self.events.on_mirror_copy("linked")
        return value

    async def _shared(self, repo: RepositoryName, digest: Digest) -> BlobValue | None:
        """Return the blob if another copy of it has ended between the look of the request and our turn."""
        value = await self.registry.blobs.records.read_blob(repo, digest, by_entry_alone=True)
        if value is not None:
            self.events.on_mirror_copy("shared")
        return value

    def _explained(self, repo: RepositoryName, digest: Digest, copy: Copy, error: Exception) -> Exception:
        """Return what those who wait are told, and log what the operator should know."""
        if isinstance(error, NotAtUpstream) and not copy.first:
            self.absent.add(repo, digest)
            return unknown(digest)
        self.events.on_mirror_copy("failed")
        log.warning(
            "blob_not_mirrored",
            repository=repo.text,
            digest=str(digest),
            error=type(error).__name__,
            reason=str(error),
        )
        if isinstance(error, DigestInvalid | SizeInvalid):
            return unanswered(UpstreamBroken(error.message))
        if isinstance(error, UpstreamError):
            return unanswered(error)
        if isinstance(error, trio.TooSlowError):
            return TryAgain("the upstream of this repository is too slow: try again")
        return error


def source_of(origins: Sequence[Origin]) -> str:
    """Return what stands for the upstreams of a repository, the same at all replicas."""
    return Digest.of("\n".join(origin.registry.urls[0] for origin in origins).encode()).hex[:16]


def unknown(digest: Digest) -> BlobUnknown:
    """Return the error for a blob that exists neither here nor at an upstream."""
    return BlobUnknown(f"neither this registry nor its upstream has {digest}", detail={"digest": str(digest)})
