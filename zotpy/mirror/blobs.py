"""Blobs of mirrored repositories: who waits for the same blob, how many are copied at once, and what failures mean."""

from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from functools import partial

import structlog
import trio

from zotpy.core.digests import Digest
from zotpy.core.errors import (
    BlobUnknown,
    ChunkOutOfOrder,
    DigestInvalid,
    SizeInvalid,
    TryAgain,
    UploadInvalid,
    UploadUnknown,
)
from zotpy.core.names import RepositoryName
from zotpy.core.ranges import Span
from zotpy.core.record_values import INLINE_LIMIT_BYTES, BlobValue
from zotpy.mirror.checks import Noted
from zotpy.mirror.copying import Copy
from zotpy.mirror.events import MirrorEvents
from zotpy.mirror.fetching import BlobFetch
from zotpy.mirror.flights import Tasks, traced
from zotpy.mirror.fullness import Fullness
from zotpy.mirror.manifests import unanswered
from zotpy.mirror.ranges import Ranges
from zotpy.mirror.rules import Origin, source_of
from zotpy.mirror.upstreams import Upstreams
from zotpy.mirror.window import Window
from zotpy.registry.registry import Registry
from zotpy.upstream.errors import NotAtUpstream, UpstreamBroken, UpstreamError

MOST_COPIES = 16
"""How many blobs one replica copies at once: each holds some MiB beside the memory budget."""
OF_ONE_SOURCE = MOST_COPIES // 2
"""How many of them come from the same upstreams, unless their `reqConcurrent` is higher: a slow one leaves places."""
log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class MirroredBlobs:
    """Blobs that are not in the bucket yet."""

    registry: Registry
    upstreams: Upstreams
    absent: Noted
    tasks: Tasks
    events: MirrorEvents
    ranges: Ranges
    fullness: Fullness
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
        copy.waiting += 1
        try:
            await copy.begun.wait()
            if copy.size_bytes is None:
                await copy.ended.wait()
            elif copy.size_bytes <= INLINE_LIMIT_BYTES:
                await copy.confirmed.wait()  # so that an error is an answer, and not a cut
            copy.raise_error()
            copy.expect()
        finally:
            copy.waiting -= 1
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
        fetch = BlobFetch(self.registry, self.upstreams, self.events, origins, repo, digest, copy, self.fullness)
        try:
            async with self._places_at(origins), self._places:
                timeout_s = max(origin.registry.timeout_s for origin in origins)
                with holds.held(holds.patience(settings.upload.hold_timeout_s)), trio.fail_after(timeout_s):
                    value = await fetch.run()
        except Exception as caught:  # noqa: BLE001 - each of those who wait raises it
            error = self._explained(repo, digest, caught)
        finally:
            del self._copies[repo, digest]
            copy.end(value, error)

    def _places_at(self, origins: tuple[Origin, ...]) -> trio.CapacityLimiter:
        """Return the places for copies from the upstreams of a repository."""
        most = max(OF_ONE_SOURCE, *(origin.registry.requests_at_once for origin in origins))
        return self._places_of.setdefault(source_of(origins), trio.CapacityLimiter(most))

    def _explained(self, repo: RepositoryName, digest: Digest, error: Exception) -> Exception:
        """Return what those who wait are told, and log what the operator should know."""
        if isinstance(error, NotAtUpstream):
            self.absent.add(repo, digest)
            return unknown(digest)
        self.events.on_mirror_copy("failed")
        log.warning(
            "blob_not_mirrored",
            repository=repo.text,
            digest=str(digest),
            error=type(error).__name__,
            reason=str(error),
            exc_info=traced(error),
        )
        if isinstance(error, DigestInvalid | SizeInvalid):
            return unanswered(UpstreamBroken(error.message))
        if isinstance(error, UpstreamError):
            return unanswered(error)
        if isinstance(error, ChunkOutOfOrder | UploadInvalid | UploadUnknown):
            return TryAgain("another replica copies the same blob: try again")
        if isinstance(error, trio.TooSlowError):
            return TryAgain("the upstream of this repository is too slow: try again")
        return error


def unknown(digest: Digest) -> BlobUnknown:
    """Return the error for a blob that exists neither here nor at an upstream."""
    return BlobUnknown(f"neither this registry nor its upstream has {digest}", detail={"digest": str(digest)})
