"""Referrers of manifests of mirrored repositories, such as signatures and attestations: they are mirrored as well.

An upstream is asked for the list at most once in `manifestCheckInterval`, and each manifest of it is fetched once. Its
subject then lists it here. A manifest that cannot be fetched is missing in the list, as if nobody had pushed it yet.
If the store is full, none is fetched.
"""

from dataclasses import dataclass, field
from functools import partial
from typing import Any

import structlog
import trio

from zotpy.concurrency import gather
from zotpy.core.digests import Digest
from zotpy.core.errors import DigestInvalid, RegistryError
from zotpy.core.names import RepositoryName
from zotpy.mirror.checks import Checks
from zotpy.mirror.flights import Flights
from zotpy.mirror.fullness import Fullness
from zotpy.mirror.manifests import MirroredManifests
from zotpy.mirror.rules import Origin
from zotpy.mirror.upstreams import Upstream, Upstreams
from zotpy.upstream.errors import NotAtUpstream, UpstreamError

MOST = 250
"""How many referrers of one manifest are fetched: a page of the list."""
AT_ONCE = 4
LONGEST_S = 30.0
"""How long a client waits for its list because of the upstream, at most. The next request fetches what is missing."""
log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class MirroredReferrers:
    """Lists of referrers."""

    manifests: MirroredManifests
    upstreams: Upstreams
    checks: Checks
    flights: Flights[None]
    fullness: Fullness = field(default_factory=Fullness)

    async def fetch(self, origins: tuple[Origin, ...], repo: RepositoryName, subject: Digest) -> None:
        """Fetch the referrers of a manifest that are not here. What fails is logged."""
        try:
            with self.fullness.noting():
                await self.flights.join((repo, subject), partial(self._fetch_in_time, origins, repo, subject))
        except (UpstreamError, RegistryError, trio.TooSlowError) as error:
            log.warning("referrers_not_mirrored", repository=repo.text, subject=str(subject), reason=str(error))

    async def _fetch_in_time(self, origins: tuple[Origin, ...], repo: RepositoryName, subject: Digest) -> None:
        with trio.fail_after(LONGEST_S):
            await self._fetch(origins, repo, subject)

    async def _fetch(self, origins: tuple[Origin, ...], repo: RepositoryName, subject: Digest) -> None:
        if not self.fullness.has_room():
            return
        interval_s = min(origin.registry.check_interval_s for origin in origins)
        if interval_s:
            asked_s = await self.checks.asked_s(repo, subject)
            if asked_s is not None and asked_s < interval_s:
                return
        try:
            found = await self.upstreams.first(origins, f"referrers/{subject}", partial(_ask, subject))
        except NotAtUpstream:
            found = []
        digests = [digest for each in found[:MOST] if (digest := _digest(each)) is not None]
        await gather(*[partial(self._take, origins, repo, digest) for digest in digests], limit=AT_ONCE)
        if interval_s:
            await self.checks.note_asked(repo, subject)

    async def _take(self, origins: tuple[Origin, ...], repo: RepositoryName, digest: Digest) -> None:
        try:
            await self.manifests.stat(origins, repo, digest)
            await self.manifests.settle(repo, digest)
        except RegistryError as error:
            log.warning("referrer_not_mirrored", repository=repo.text, digest=str(digest), reason=str(error))


async def _ask(subject: Digest, upstream: Upstream, name: str) -> list[dict[str, Any]]:
    return await upstream.manifests.referrers(name, subject)


def _digest(descriptor: dict[str, Any]) -> Digest | None:
    try:
        return Digest.parse(str(descriptor.get("digest")))
    except DigestInvalid:
        return None
