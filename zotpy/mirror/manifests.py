"""Manifests of mirrored repositories: from the bucket where that is right, otherwise from an upstream.

- By digest: what is in the bucket is right for ever, and no upstream is asked.
- By tag: a replica asks the upstream with HEAD which manifest the tag names. All replicas together ask at most once in
  `manifestCheckInterval` for each tag. If the upstream does not answer, what is in the bucket is served with a warning.
- A tag that was pushed here is ours: no upstream is asked. Nor is one for a tag that exists and is immutable here.

A manifest from an upstream is stored with exactly its bytes, and before what it names. If only signed images are
mirrored, an index comes after the manifests that it names: they have no signatures of their own.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial

import structlog

from zotpy.bucket.long_reads import Room
from zotpy.concurrency import gather
from zotpy.core.digests import Digest
from zotpy.core.errors import ManifestInvalid, ManifestTooLarge, ManifestUnknown, PreconditionFailed, TryAgain
from zotpy.core.names import Reference, RepositoryName, Tag
from zotpy.mirror.checks import Absent, Check, Checks
from zotpy.mirror.events import MirrorEvents
from zotpy.mirror.flights import Flights
from zotpy.mirror.rules import Origin
from zotpy.mirror.signed import DEEPEST, MOST_PARTS, Admitted, get_admitted, parts_of
from zotpy.mirror.upstreams import Upstream, Upstreams
from zotpy.registry.manifest_reads import Found
from zotpy.registry.manifests import Manifests
from zotpy.upstream.answers import ManifestBody, ManifestHead
from zotpy.upstream.errors import NotAtUpstream, NotSigned, UpstreamError, UpstreamUnavailable

STALE = '110 - "Response is Stale"'
PARTS_AT_ONCE = 4
"""How many manifests of a signed index are fetched at the same time."""
NOT_REVALIDATED = '111 - "Revalidation Failed"'
log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class MirroredManifests:
    """Reads of manifests of repositories that have origins."""

    manifests: Manifests
    upstreams: Upstreams
    checks: Checks
    absent: Absent
    flights: Flights[Found | None]
    events: MirrorEvents
    is_immutable: Callable[[str, str], bool]
    """Says whether a tag, the second, of a repository is immutable now."""
    unsigned: Absent = field(default_factory=Absent)
    """What an upstream had without a signature."""

    async def find(
        self, origins: tuple[Origin, ...], repo: RepositoryName, reference: Reference, room: Room | None = None
    ) -> Found:
        """Read a manifest whole; see `Manifests.find`. Raises `ManifestUnknown`, `TryAgain`."""
        return await self._read(origins, repo, reference, room, is_whole=True)

    async def stat(self, origins: tuple[Origin, ...], repo: RepositoryName, reference: Reference) -> Found:
        """Find a manifest, of which the value may be the beginning; see `Manifests.stat`."""
        return await self._read(origins, repo, reference, None, is_whole=False)

    async def _read(
        self,
        origins: tuple[Origin, ...],
        repo: RepositoryName,
        reference: Reference,
        room: Room | None,
        *,
        is_whole: bool,
    ) -> Found:
        origins = tuple(origin for origin in origins if origin.has(reference))
        found: Found | None = None
        check: Check | None = None

        async def look() -> None:
            nonlocal found
            try:
                whole = self.manifests.find(repo, reference, room) if is_whole else self.manifests.stat(repo, reference)
                found = await whole
            except ManifestUnknown:
                if not origins or (repo, reference) in self.absent:
                    raise

        async def remember() -> None:
            nonlocal check
            if isinstance(reference, Tag):
                check = await self.checks.read(repo, reference)

        interval_s = min((origin.registry.check_interval_s for origin in origins), default=0.0)
        await gather(look, *([remember] if interval_s and isinstance(reference, Tag) else []))
        if found is not None and (not origins or self._is_settled(repo, reference, found)):
            return found
        if found is not None and check is not None and check.digest == found.digest and check.age_s < interval_s:
            return found
        fetch = partial(self._fetch, origins, repo, reference, found, interval_s)
        try:
            fetched = await self.flights.join((repo, reference), fetch)
        except UpstreamError as error:
            return self._without_upstream(repo, reference, found, error)
        return fetched or found or await self.manifests.find(repo, reference, room)

    def _is_settled(self, repo: RepositoryName, reference: Reference, found: Found) -> bool:
        """Say whether no upstream may change what was found."""
        if not isinstance(reference, Tag) or not found.value.is_mirrored:
            return True
        return self.is_immutable(repo.text, reference.text)

    def _without_upstream(
        self, repo: RepositoryName, reference: Reference, found: Found | None, error: UpstreamError
    ) -> Found:
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

    async def _fetch(
        self,
        origins: tuple[Origin, ...],
        repo: RepositoryName,
        reference: Reference,
        found: Found | None,
        interval_s: float,
    ) -> Found | None:
        """Ask the upstreams, and store what they have; `None`: a tag still names what was found.

        Raises `UpstreamError`.
        """
        wanted: Reference = reference
        if found is not None:
            head = await self.upstreams.first(origins, f"manifests/{reference}", partial(_head, reference))
            if head.digest == found.digest:
                self.events.on_mirror_check("unchanged")
                await self._remember(repo, reference, found.digest, interval_s)
                return None
            wanted = head.digest or reference
        if isinstance(wanted, Digest) and (repo, wanted) in self.unsigned:
            msg = f"{wanted} was not signed a moment ago"
            raise NotSigned(msg)
        got = await self._get(origins, repo, reference, wanted)
        body = got.body
        self.events.on_mirror_check("changed")
        if got.parts:
            seen = set(got.parts)
            parts = [partial(self._keep_part, origins, repo, part, seen) for part in got.parts]
            await gather(*parts, limit=PARTS_AT_ONCE)
        try:
            kept = await self.manifests.keep(
                repo,
                _naming(reference, body),
                body.content,
                body.told_type,
                self.manifests.as_seen(found) if isinstance(reference, Tag) else None,
            )
        except PreconditionFailed:
            return await self.manifests.find(repo, reference)  # it was pushed here meanwhile, or fetched by others
        except (ManifestInvalid, ManifestTooLarge) as error:
            log.warning("upstream_manifest_refused", repository=repo.text, reference=str(reference), reason=str(error))
            msg = f"the upstream's manifest cannot be kept here: {error.message}"
            raise ManifestUnknown(msg, detail=error.detail) from error
        await self._remember(repo, reference, kept.digest, interval_s)
        return kept

    async def _get(
        self, origins: tuple[Origin, ...], repo: RepositoryName, reference: Reference, wanted: Reference
    ) -> Admitted:
        """Read a manifest from the first upstream that has it, signed if it must be. Raises `UpstreamError`."""
        try:
            return await self.upstreams.first(origins, f"manifests/{wanted}", partial(get_admitted, reference, wanted))
        except NotSigned as error:
            log.info("not_signed", repository=repo.text, reference=str(reference))
            if error.digest is not None:
                self.unsigned.add(repo, error.digest)
            raise

    async def _keep_part(
        self, origins: tuple[Origin, ...], repo: RepositoryName, part: Digest, seen: set[Digest], depth: int = 1
    ) -> None:
        """Store a manifest that a signed index names, if the upstream has it, and what is below it.

        `seen` has all parts of the signed index, `MOST_PARTS` at most. Raises `UpstreamError`.
        """
        try:
            await self.manifests.stat(repo, part)
        except ManifestUnknown:
            pass
        else:
            return
        try:
            body = await self.upstreams.first(origins, f"manifests/{part}", partial(_get, part))
            if depth < DEEPEST:
                for below in await parts_of(body):
                    if below not in seen and len(seen) < MOST_PARTS:
                        seen.add(below)
                        await self._keep_part(origins, repo, below, seen, depth + 1)
            await self.manifests.keep(repo, part, body.content, body.told_type)
        except (NotAtUpstream, ManifestInvalid, ManifestTooLarge) as error:
            log.warning("part_not_mirrored", repository=repo.text, digest=str(part), reason=str(error))

    async def _remember(self, repo: RepositoryName, reference: Reference, digest: Digest, interval_s: float) -> None:
        if interval_s and isinstance(reference, Tag):
            await self.checks.write(repo, reference, digest)


async def _head(reference: Reference, upstream: Upstream, name: str) -> ManifestHead:
    return await upstream.manifests.head_manifest(name, str(reference))


async def _get(reference: Reference, upstream: Upstream, name: str) -> ManifestBody:
    return await upstream.manifests.get_manifest(name, str(reference))


def _naming(reference: Reference, body: ManifestBody) -> Reference:
    """Return what a manifest is stored under: the tag, or the digest that the upstream's client compared it with."""
    return reference if isinstance(reference, Tag) else body.digest


def unanswered(error: UpstreamError) -> TryAgain:
    """Return the error of a request for something that only the upstream has, and does not give now."""
    asked_s = error.retry_after_s if isinstance(error, UpstreamUnavailable) else None
    wait_s = 5 if asked_s is None else min(max(int(asked_s) + 1, 1), 3600)
    return TryAgain("the upstream of this repository does not answer as it should: try again", retry_after_s=wait_s)
