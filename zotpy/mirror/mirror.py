"""The mirror of a replica, put together."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from zotpy.bucket.long_reads import Room
from zotpy.core.digests import Digest
from zotpy.core.names import Reference, RepositoryName
from zotpy.core.record_values import BlobValue
from zotpy.mirror.blobs import MirroredBlobs, unknown
from zotpy.mirror.checks import Absent, Checks
from zotpy.mirror.copying import Copy
from zotpy.mirror.events import MirrorEvents, Unwatched
from zotpy.mirror.flights import Flights, Tasks
from zotpy.mirror.manifests import MirroredManifests
from zotpy.mirror.rules import Origin, origins
from zotpy.mirror.upstreams import Upstreams, open_upstreams
from zotpy.registry.manifests import Found
from zotpy.registry.registry import Registry
from zotpy.settings.mirror import MirrorSettings


@dataclass(frozen=True, slots=True)
class Mirror:
    """Reads of repositories, some of which have origins."""

    settings: MirrorSettings
    registry: Registry
    upstreams: Upstreams
    tasks: Tasks
    manifests: MirroredManifests
    blobs: MirroredBlobs

    async def find(self, repo: RepositoryName, reference: Reference, room: Room | None = None) -> Found:
        """Read a manifest whole; see `zotpy.registry.manifests.Manifests.find`. Raises `TryAgain`."""
        found = self._origins(repo)
        if not found:
            return await self.registry.manifests.find(repo, reference, room)
        return await self.manifests.find(found, repo, reference, room)

    async def stat(self, repo: RepositoryName, reference: Reference) -> Found:
        """Find a manifest; see `zotpy.registry.manifests.Manifests.stat`. Raises `TryAgain`."""
        found = self._origins(repo)
        if not found:
            return await self.registry.manifests.stat(repo, reference)
        return await self.manifests.stat(found, repo, reference)

    async def fetch(self, repo: RepositoryName, digest: Digest) -> BlobValue | Copy:
        """Fetch a blob that is not here. Raises `BlobUnknown`, `TryAgain`, `TooManyRequests`."""
        found = self._origins(repo)
        if not found:
            raise unknown(digest)
        return await self.blobs.fetch(found, repo, digest)

    def _origins(self, repo: RepositoryName) -> tuple[Origin, ...]:
        return tuple(origins(self.settings.mirrored, repo))


@asynccontextmanager
async def open_mirror(
    settings: MirrorSettings, registry: Registry, events: MirrorEvents | None = None
) -> AsyncIterator[Mirror]:
    """Open the clients of all upstreams. Nothing is fetched before `Mirror.tasks` runs. Raises `ValueError`."""
    events, tasks, absent = events or Unwatched(), Tasks(), Absent()
    async with open_upstreams(settings, registry.settings.manifest.max_size_bytes) as upstreams:
        checks, flights = Checks(registry.store), Flights[Found | None](tasks)
        manifests = MirroredManifests(registry.manifests, upstreams, checks, absent, flights, events)
        yield Mirror(
            settings, registry, upstreams, tasks, manifests, MirroredBlobs(registry, upstreams, absent, tasks, events)
        )
