"""The mirror of a replica, put together."""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial

import trio

from zotpy.bucket.long_reads import Room
from zotpy.concurrency import gather
from zotpy.core.digests import Digest
from zotpy.core.errors import BlobUnknown, NameUnknown
from zotpy.core.names import Reference, RepositoryName
from zotpy.core.record_values import BlobValue
from zotpy.mirror.blobs import MirroredBlobs, unknown
from zotpy.mirror.checks import Checks, Noted
from zotpy.mirror.copying import Copy
from zotpy.mirror.events import MirrorEvents, Unwatched
from zotpy.mirror.flights import Flights, Tasks
from zotpy.mirror.fullness import Fullness
from zotpy.mirror.keeping import Keeping
from zotpy.mirror.manifest_fetching import ManifestFetches
from zotpy.mirror.manifests import MirroredManifests
from zotpy.mirror.opening import open_upstreams
from zotpy.mirror.ranges import Ranges
from zotpy.mirror.referrers import MirroredReferrers
from zotpy.mirror.rules import Origin, is_of, local_name, origins
from zotpy.mirror.upstreams import Upstreams
from zotpy.registry.manifest_reads import FoundManifest
from zotpy.registry.registry import Registry
from zotpy.settings.mirror import MirrorSettings
from zotpy.store.space import Space
from zotpy.upstream.answers import ManifestHead

COUNT_S = 5.0
BROUGHT_AT_ONCE = 4
"""How many blobs one push fetches at the same time."""


@dataclass(frozen=True, slots=True)
class Mirror:
    """Reads of repositories, some of which have origins."""

    settings: MirrorSettings
    registry: Registry
    upstreams: Upstreams
    tasks: Tasks
    manifests: MirroredManifests
    blobs: MirroredBlobs
    referrers: MirroredReferrers

    async def keep_counting(self) -> None:
        """Report how many more requests the upstreams answer, until cancelled."""
        while True:
            for host, requests in self.upstreams.remaining().items():
                self.blobs.events.on_mirror_remaining(host, requests)
            await trio.sleep(COUNT_S)

    async def find(self, repo: RepositoryName, reference: Reference, room: Room | None = None) -> FoundManifest:
        """Read a manifest whole; see `zotpy.registry.manifest_reads.ManifestReads.find`. Raises `TryAgain`."""
        found = self._origins(repo)
        if not found:
            return await self.registry.manifests.find(repo, reference, room)
        return await self.manifests.find(found, repo, reference, room)

    async def stat(self, repo: RepositoryName, reference: Reference) -> FoundManifest:
        """Find a manifest; see `zotpy.registry.manifest_reads.ManifestReads.stat`. Raises `TryAgain`."""
        found = self._origins(repo)
        if not found:
            return await self.registry.manifests.stat(repo, reference)
        return await self.manifests.stat(found, repo, reference)

    def fetches(self, repo: RepositoryName, digest: Digest) -> bool:
        """Say whether a blob that is not here is fetched. If so, nobody needs to look for its leases before."""
        return bool(self._origins(repo)) and not self.blobs.is_absent(repo, digest)

    async def fetch(self, repo: RepositoryName, digest: Digest) -> BlobValue | Copy:
        """Fetch a blob that is not here. Raises `BlobUnknown`, `TryAgain`, `TooManyRequests`."""
        found = self._origins(repo)
        if not found:
            raise unknown(digest)
        return await self.blobs.fetch(found, repo, digest)

    async def bring(self, repo: RepositoryName, digests: Sequence[str]) -> bool:
        """Fetch what a pushed manifest names and a mirrored repository lacks. Say whether everything is here.

        A client that asks whether a blob exists is told that it does if the upstream has it. So it does not push that
        blob. Raises `TryAgain`.
        """
        if not (found := self._origins(repo)):
            return False
        wanted = [Digest.parse(digest) for digest in digests]
        return all(
            await gather(*[partial(self._bring, found, repo, digest) for digest in wanted], limit=BROUGHT_AT_ONCE)
        )

    async def _bring(self, origins: tuple[Origin, ...], repo: RepositoryName, digest: Digest) -> bool:
        try:
            fetched = await self.blobs.fetch(origins, repo, digest)
        except BlobUnknown:
            return False
        if isinstance(fetched, Copy):
            await fetched.settled.wait()
            fetched.raise_error()
            return fetched.value is not None
        return True

    async def refer(self, repo: RepositoryName, subject: Digest) -> None:
        """Fetch the manifests that refer to this one, if its repository is mirrored. Log what fails."""
        if found := self._origins(repo):
            await self.referrers.fetch(found, repo, subject)

    def local_name(self, namespace: str, name: RepositoryName) -> RepositoryName:
        """Return what we call a repository of the registry with this namespace (distribution spec, *Proxying*).

        Raises `NameUnknown` if it is not mirrored.
        """
        for registry in self.settings.mirrored:
            if is_of(registry, namespace) and (found := local_name(registry, name)) is not None:
                return found
        msg = f"this registry does not mirror {name} of {namespace[:255]!r}"
        raise NameUnknown(msg, detail={"name": name.text})

    def _origins(self, repo: RepositoryName) -> tuple[Origin, ...]:
        return tuple(origins(self.settings.mirrored, repo))


@asynccontextmanager
async def open_mirror(
    settings: MirrorSettings,
    registry: Registry,
    events: MirrorEvents | None = None,
    is_immutable: Callable[[str, str], bool] = lambda *_: False,
    space: Space | None = None,
) -> AsyncIterator[Mirror]:
    """Open the clients of all upstreams. Nothing is fetched before `Mirror.tasks` runs. Raises `ValueError`.

    `is_immutable` says whether a tag, the second, of a repository is immutable now. Without a `space` the store has
    room until it says otherwise.
    """
    events, tasks, absent, fullness = events or Unwatched(), Tasks(), Noted(), Fullness(space)
    async with open_upstreams(settings, registry.settings.manifest.max_size_bytes, events=events) as upstreams:
        checks, flights, heads = (
            Checks(registry.store),
            Flights[FoundManifest | None](tasks),
            Flights[ManifestHead](tasks),
        )
        fetches = ManifestFetches(registry.manifests, upstreams, checks, Keeping(tasks), events, fullness)
        manifests = MirroredManifests(registry.manifests, fetches, checks, absent, flights, heads, events, is_immutable)
        blobs = MirroredBlobs(registry, upstreams, absent, tasks, events, Ranges(upstreams, events), fullness)
        referrers = MirroredReferrers(manifests, upstreams, checks, Flights[None](tasks), fullness)
        yield Mirror(settings, registry, upstreams, tasks, manifests, blobs, referrers)
