"""Manifests of upstreams on their way into the bucket: a client gets one as soon as it was read and checked.

Storing one takes four calls to the store, one after another. A client need not wait for them: if they fail, the next
client gets the manifest from the upstream again. Until they end, this replica answers requests for the digest from
memory. A request for the tag waits for their end, because a push of that tag may come first, and then counts.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import structlog
import trio

from zotpy.core.digests import Digest
from zotpy.core.errors import PreconditionFailed, TooManyRequests
from zotpy.core.names import Reference, RepositoryName
from zotpy.mirror.flights import Tasks, traced
from zotpy.registry.manifest_reads import FoundManifest

MOST = 16
"""How many manifests are stored while their clients have them already. With more, clients wait for the store."""
log = structlog.get_logger()


@dataclass(slots=True)
class _Arrival:
    found: FoundManifest
    references: frozenset[Reference]
    """By what it is asked for: its digest, and perhaps a tag."""
    ended: trio.Event = field(default_factory=trio.Event)


@dataclass(frozen=True, slots=True)
class Keeping:
    """The manifests that one replica is storing."""

    tasks: Tasks
    _arrivals: dict[tuple[RepositoryName, Digest], _Arrival] = field(default_factory=dict)

    async def keep(
        self, repo: RepositoryName, reference: Reference, found: FoundManifest, store: Callable[[], Awaitable[object]]
    ) -> None:
        """Begin to store what was found under a reference. If too many are being stored, wait for the end of it.

        Raises what `store` raises, if it waits.
        """
        key = (repo, found.digest)
        if len(self._arrivals) >= MOST or key in self._arrivals:
            await store()
            return
        arrival = _Arrival(found, frozenset([reference, found.digest]))

        async def run() -> None:
            try:
                await store()
            except PreconditionFailed:
                pass  # it was pushed here meanwhile, or fetched by others
            except Exception as error:
                log.warning(
                    "manifest_not_mirrored",
                    repository=repo.text,
                    digest=str(found.digest),
                    error=type(error).__name__,
                    reason=str(error),
                    exc_info=traced(error),
                )
            finally:
                del self._arrivals[key]
                arrival.ended.set()

        try:
            self.tasks.start(run)
        except TooManyRequests:
            await store()
        else:
            self._arrivals[key] = arrival

    def at_hand(self, repo: RepositoryName, reference: Reference) -> FoundManifest | None:
        """Return a manifest that is being stored, if it is asked for by its digest."""
        arrival = self._arrivals.get((repo, reference)) if isinstance(reference, Digest) else None
        return None if arrival is None else arrival.found

    async def settle(self, repo: RepositoryName, reference: Reference) -> None:
        """Wait until no manifest is being stored under a reference."""
        for (name, _), arrival in [*self._arrivals.items()]:
            if name == repo and reference in arrival.references:
                await arrival.ended.wait()
