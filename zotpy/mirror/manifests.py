"""Manifests of mirrored repositories: from the bucket where that is right, otherwise from an upstream.

- By digest: what is in the bucket is right for ever, and no upstream is asked.
- By tag: a replica asks the upstream with HEAD which manifest the tag names. All replicas together ask at most once in
  `manifestCheckInterval` for each tag. If the upstream does not answer, what is in the bucket is served with a warning.
- A tag that was pushed here is ours: no upstream is asked. Nor is one for a tag that exists and is immutable here.

Without an interval, the upstream is asked in any case. If a replica has just seen that a tag is mirrored, it asks while
it reads the tag in the bucket. What the upstream says then counts only if both are the same, because the tag may have
been read later than the upstream answered. Otherwise the upstream is asked again, as if it had said nothing.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from functools import partial

import structlog

from zotpy.bucket.long_reads import Room
from zotpy.concurrency import gather
from zotpy.core.digests import Digest
from zotpy.core.errors import ManifestUnknown, TryAgain
from zotpy.core.names import Reference, RepositoryName, Tag
from zotpy.mirror.checks import Check, Checks, Noted
from zotpy.mirror.events import MirrorEvents
from zotpy.mirror.flights import Flights
from zotpy.mirror.manifest_fetching import ManifestFetches
from zotpy.mirror.rules import Origin
from zotpy.registry.manifest_reads import FoundManifest
from zotpy.registry.manifests import Manifests
from zotpy.upstream.answers import ManifestHead
from zotpy.upstream.errors import NotAtUpstream, NotSigned, UpstreamError, UpstreamUnavailable

STALE = '110 - "Response is Stale"'
NOT_REVALIDATED = '111 - "Revalidation Failed"'
FOLLOWED_S = 3600.0
"""How long a replica remembers that a tag is mirrored."""
log = structlog.get_logger()


@dataclass(slots=True)
class _Look:
    """What is known about a reference before the upstream is asked in earnest."""

    found: FoundManifest | None = None
    check: Check | None = None
    told: Digest | UpstreamError | None = None
    """What the upstream said at the same time; `None`: it was not asked, or did not say it."""


@dataclass(frozen=True, slots=True)
class MirroredManifests:
    """Reads of manifests of repositories that have origins."""

    manifests: Manifests
    fetches: ManifestFetches
    checks: Checks
    absent: Noted
    flights: Flights[FoundManifest | None]
    heads: Flights[ManifestHead]
    events: MirrorEvents
    is_immutable: Callable[[str, str], bool]
    """Says whether a tag, the second, of a repository is immutable now."""
    followed: Noted = field(default_factory=lambda: Noted(FOLLOWED_S))
    """Tags that are mirrored, as far as this replica knows."""

    async def find(
        self, origins: tuple[Origin, ...], repo: RepositoryName, reference: Reference, room: Room | None = None
    ) -> FoundManifest:
        """Read a manifest whole; see `Manifests.find`. Raises `ManifestUnknown`, `TryAgain`."""
        return await self._read(origins, repo, reference, partial(self.manifests.find, repo, reference, room))

    async def stat(self, origins: tuple[Origin, ...], repo: RepositoryName, reference: Reference) -> FoundManifest:
        """Find a manifest, of which the value may be the beginning; see `Manifests.stat`."""
        return await self._read(origins, repo, reference, partial(self.manifests.stat, repo, reference))

    async def settle(self, repo: RepositoryName, reference: Reference) -> None:
        """Wait until a manifest that was found is also in the bucket, or cannot be stored."""
        await self.fetches.keeping.settle(repo, reference)

    async def _read(
        self,
        origins: tuple[Origin, ...],
        repo: RepositoryName,
        reference: Reference,
        read: Callable[[], Awaitable[FoundManifest]],
    ) -> FoundManifest:
        origins = tuple(origin for origin in origins if origin.has(reference))
        if isinstance(reference, Digest):
            if (arriving := self.fetches.keeping.at_hand(repo, reference)) is not None:
                return arriving
        else:
            await self.settle(repo, reference)
        interval_s = min((origin.registry.check_interval_s for origin in origins), default=0.0)
        look = await self._look(origins, repo, reference, interval_s, read)
        if (known := self._known(origins, repo, reference, interval_s, look)) is not None:
            return known
        found = look.found
        fetch = partial(self.fetches.fetch, origins, repo, reference, found, interval_s)
        try:
            fetched = await self.flights.join((repo, reference), fetch)
        except UpstreamError as error:
            return self._without_upstream(repo, reference, found, error)
        return fetched or found or await read()

    def _known(
        self, origins: tuple[Origin, ...], repo: RepositoryName, reference: Reference, interval_s: float, look: _Look
    ) -> FoundManifest | None:
        """Return what was found if nobody needs to be asked any more."""
        found, check = look.found, look.check
        if found is None:
            return None
        if not origins or self._is_settled(repo, reference, found):
            self.followed.discard(repo, reference)
            return found
        if check is not None and check.digest == found.digest and check.age_s < interval_s:
            return found
        if look.told == found.digest:
            self.events.on_mirror_check("unchanged")
            return found
        told = look.told
        error = self.fetches.not_signed(repo, told) if isinstance(told, Digest) else told
        if error is not None:
            return self._without_upstream(repo, reference, found, error)
        self.followed.add(repo, reference)
        return None

    async def _look(
        self,
        origins: tuple[Origin, ...],
        repo: RepositoryName,
        reference: Reference,
        interval_s: float,
        read: Callable[[], Awaitable[FoundManifest]],
    ) -> _Look:
        """Look in the bucket, and ask the upstream at the same time if it will be asked anyway."""
        look = _Look()

        async def find() -> None:
            try:
                look.found = await read()
            except ManifestUnknown:
                if not origins or (repo, reference) in self.absent:
                    raise

        async def remember() -> None:
            if isinstance(reference, Tag):
                look.check = await self.checks.read(repo, reference)

        async def ask() -> None:
            try:
                head = await self.heads.join((repo, reference), partial(self.fetches.head, origins, reference))
                look.told = head.digest
            except UpstreamError as error:
                look.told = error

        calls = [find]
        if interval_s and isinstance(reference, Tag):
            calls.append(remember)
        elif origins and (repo, reference) in self.followed:
            calls.append(ask)
        await gather(*calls)
        return look

    def _is_settled(self, repo: RepositoryName, reference: Reference, found: FoundManifest) -> bool:
        """Say whether no upstream may change what was found."""
        if not isinstance(reference, Tag) or not found.value.is_mirrored:
            return True
        return self.is_immutable(repo.text, reference.text)

    def _without_upstream(
        self, repo: RepositoryName, reference: Reference, found: FoundManifest | None, error: UpstreamError
    ) -> FoundManifest:
        """Return what is in the bucket, with a warning. Raises `ManifestUnknown`, `TryAgain` if nothing is."""
        is_gone = isinstance(error, NotAtUpstream)
        if found is not None:
            self.events.on_mirror_check("stale")
            log.warning("served_stale", repository=repo.text, reference=str(reference), reason=str(error))
            return replace(found, warning=STALE if is_gone else NOT_REVALIDATED)
        if is_gone:
            self.events.on_mirror_check("absent")
            self.absent.add(repo, reference)
            msg = f"neither this registry nor its upstream has {reference}"
            if isinstance(error, NotSigned):
                msg = f"the upstream has {reference} without a signature, and only signed images are mirrored"
            raise ManifestUnknown(msg, detail={"name": str(reference)}) from None
        raise unanswered(error)


def unanswered(error: UpstreamError) -> TryAgain:
    """Return the error of a request for something that only the upstream has, and does not give now."""
    asked_s = error.retry_after_s if isinstance(error, UpstreamUnavailable) else None
    wait_s = 5 if asked_s is None else min(max(int(asked_s) + 1, 1), 3600)
    return TryAgain("the upstream of this repository does not answer as it should: try again", retry_after_s=wait_s)
