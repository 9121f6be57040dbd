"""The fetching of one manifest from its upstreams into the bucket.

A manifest is stored with exactly the bytes of its upstream. If only signed images are mirrored, an index comes after
the manifests that it names: they have no signatures of their own.
"""

from dataclasses import dataclass, field
from functools import partial

import structlog

from zotpy.concurrency import gather
from zotpy.core.digests import Digest
from zotpy.core.errors import ManifestInvalid, ManifestTooLarge, ManifestUnknown, PreconditionFailed
from zotpy.core.names import Reference, RepositoryName, Tag
from zotpy.mirror.checks import Checks, Noted
from zotpy.mirror.events import MirrorEvents
from zotpy.mirror.fullness import Fullness
from zotpy.mirror.keeping import Keeping
from zotpy.mirror.only_signed import DEEPEST, MOST_PARTS, Admitted, get_admitted, parts_of
from zotpy.mirror.rules import Origin
from zotpy.mirror.upstreams import Upstream, Upstreams
from zotpy.registry.manifest_reads import FoundManifest
from zotpy.registry.manifests import Accepted, Manifests
from zotpy.upstream.answers import ManifestBody, ManifestHead
from zotpy.upstream.errors import NotAtUpstream, NotSigned

PARTS_AT_ONCE = 4
"""How many manifests of a signed index are fetched at the same time."""
PASSED_S = 3600.0
"""How long a replica remembers that a manifest is part of a signed index which was not kept."""
log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class ManifestFetches:
    """Asks upstreams for manifests, and stores them."""

    manifests: Manifests
    upstreams: Upstreams
    checks: Checks
    keeping: Keeping
    events: MirrorEvents
    fullness: Fullness = field(default_factory=Fullness)
    unsigned: Noted = field(default_factory=Noted)
    """What an upstream had without a signature."""
    passed_parts: Noted = field(default_factory=lambda: Noted(PASSED_S))
    """Manifests that signed indexes name, which were passed on and not kept."""

    async def head(self, origins: tuple[Origin, ...], reference: Reference) -> ManifestHead:
        """Ask which manifest the upstream has. Raises `UpstreamError`."""
        return await self.upstreams.first(origins, f"manifests/{reference}", partial(_head, reference))

    async def fetch(
        self,
        origins: tuple[Origin, ...],
        repo: RepositoryName,
        reference: Reference,
        found: FoundManifest | None,
        interval_s: float,
    ) -> FoundManifest | None:
        """Ask the upstreams, and store what they have; `None`: a tag still names what was found.

        Raises `UpstreamError`, `ManifestUnknown`.
        """
        wanted: Reference = reference
        if found is not None:
            head = await self.head(origins, reference)
            if head.digest == found.digest:
                self.events.on_mirror_check("unchanged")
                await self._remember(repo, reference, found.digest, interval_s)
                return None
            wanted = head.digest or reference
        if (error := self.not_signed(repo, wanted)) is not None:
            raise error
        got = await self._get(origins, repo, reference, wanted)
        self.events.on_mirror_check("changed")
        accepted = await self._accepted(repo, reference, got.body, found)
        if self.fullness.has_room(accepted.found.size_bytes):
            with self.fullness.noting():
                return await self._kept(origins, repo, reference, got, accepted, interval_s)
        for part in got.parts:
            self.passed_parts.add(repo, part)
        return accepted.found

    async def _kept(
        self,
        origins: tuple[Origin, ...],
        repo: RepositoryName,
        reference: Reference,
        got: Admitted,
        accepted: Accepted,
        interval_s: float,
    ) -> FoundManifest:
        """Store a manifest, after those that it names if only signed ones are mirrored. Raises `StoreFull`."""
        if got.parts:
            seen = set(got.parts)
            parts = [partial(self._keep_part, origins, repo, part, seen) for part in got.parts]
            await gather(*parts, limit=PARTS_AT_ONCE)

        async def store() -> None:
            with self.fullness.noting():
                await self.manifests.keep(accepted)
                await self._remember(repo, reference, accepted.found.digest, interval_s)

        try:
            await self.keeping.keep(repo, reference, accepted.found, store)
        except PreconditionFailed:
            return await self.manifests.find(repo, reference)  # it was pushed here meanwhile, or fetched by others
        return accepted.found

    def not_signed(self, repo: RepositoryName, wanted: Reference) -> NotSigned | None:
        """Return the error for a manifest that had no signature a moment ago, although it needs one."""
        if isinstance(wanted, Digest) and (repo, wanted) in self.unsigned:
            return NotSigned(f"{wanted} was not signed a moment ago")
        return None

    async def _accepted(
        self, repo: RepositoryName, reference: Reference, body: ManifestBody, found: FoundManifest | None
    ) -> Accepted:
        """Check a manifest that is to take the place of what was found. Raises `ManifestUnknown`."""
        condition = self.manifests.as_seen(found) if isinstance(reference, Tag) else None
        try:
            return await self.manifests.accept(repo, _naming(reference, body), body.content, body.told_type, condition)
        except (ManifestInvalid, ManifestTooLarge) as error:
            log.warning("upstream_manifest_refused", repository=repo.text, reference=str(reference), reason=str(error))
            msg = f"the upstream's manifest cannot be kept here: {error.message}"
            raise ManifestUnknown(msg, detail=error.detail) from error

    async def _get(
        self, origins: tuple[Origin, ...], repo: RepositoryName, reference: Reference, wanted: Reference
    ) -> Admitted:
        """Read a manifest from the first upstream that has it, signed if it must be. Raises `UpstreamError`."""
        if isinstance(wanted, Digest) and (repo, wanted) in self.passed_parts:
            body = await self.upstreams.first(origins, f"manifests/{wanted}", partial(_get, wanted))
            return Admitted(body, await parts_of(body))
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
            await self.manifests.keep(await self.manifests.accept(repo, part, body.content, body.told_type))
        except (NotAtUpstream, ManifestInvalid, ManifestTooLarge) as error:
            log.warning("part_not_mirrored", repository=repo.text, digest=str(part), reason=str(error))

    async def _remember(self, repo: RepositoryName, reference: Reference, digest: Digest, interval_s: float) -> None:
        if interval_s and isinstance(reference, Tag) and self.fullness.has_room():
            with self.fullness.noting():
                await self.checks.write(repo, reference, digest)


async def _head(reference: Reference, upstream: Upstream, name: str) -> ManifestHead:
    return await upstream.manifests.head_manifest(name, str(reference))


async def _get(reference: Reference, upstream: Upstream, name: str) -> ManifestBody:
    return await upstream.manifests.get_manifest(name, str(reference))


def _naming(reference: Reference, body: ManifestBody) -> Reference:
    """Return what a manifest is stored under: the tag, or the digest that the upstream's client compared it with."""
    return reference if isinstance(reference, Tag) else body.digest
