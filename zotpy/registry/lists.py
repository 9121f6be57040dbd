"""Lists: the tags of a repository, the referrers of a manifest, the repositories (end-8a, end-8b, end-12; catalog).

Each is one listing of a prefix in which nothing else lives; a page of it costs a call for each 1,000 names. Referrers
cost a read each besides: their descriptors are objects.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from zotpy.core import keys
from zotpy.core.digests import Digest
from zotpy.core.errors import NameUnknown
from zotpy.core.framing import unframe
from zotpy.core.names import RepositoryName
from zotpy.core.paging import MAX_PAGE
from zotpy.registry.concurrency import gather
from zotpy.store.interface import KeyMissing, Store

REFERRERS_PAGE = 250
"""Referrers on one page: with annotations of usual length, well below the 4 MiB that clients read."""
REFERRERS_AT_ONCE = 32


@dataclass(frozen=True, slots=True)
class Page:
    """Names in the order of the list, and whether more follow."""

    names: Sequence[str]
    more: bool


@dataclass(frozen=True, slots=True)
class Referrers:
    """Descriptors of one page; `last` leads to the next one."""

    descriptors: Sequence[dict[str, Any]]
    last: str | None


@dataclass(frozen=True, slots=True)
class Lists:
    """All requests for lists."""

    store: Store

    async def tags(self, repo: RepositoryName, n: int | None, last: str) -> Page:
        """List tags after `last`, at most `n`, all without `n`. Raises `NameUnknown` where nothing was ever pushed."""
        prefix = keys.tags(repo)
        page = await self._names(prefix, n, last)
        if not page.names and not await self._exists(repo):
            msg = f"there is no repository {repo}"
            raise NameUnknown(msg, detail={"name": repo.text})
        return page

    async def catalog(self, n: int | None, last: str) -> Page:
        """List repositories that had a manifest pushed, after `last`, at most `n`, all without `n`."""
        page = await self._names(keys.REPOS, n, last.replace("/", "!"))
        return Page([keys.repository_of(keys.REPOS + name).text for name in page.names], page.more)

    async def referrers(self, repo: RepositoryName, subject: Digest, artifact_type: str | None, last: str) -> Referrers:
        """List manifests whose subject is this digest, whether it exists or not."""
        prefix = keys.referrers(repo, subject)
        listing = await self.store.list(prefix, start_after=prefix + last if last else "", limit=REFERRERS_PAGE)
        found = await gather(
            *[partial(self._descriptor, listed.key) for listed in listing.objects], limit=REFERRERS_AT_ONCE
        )
        descriptors = [
            descriptor
            for descriptor in found
            if descriptor is not None and artifact_type in {None, descriptor.get("artifactType", "")}
        ]
        more = listing.truncated and bool(listing.objects)
        return Referrers(descriptors, listing.objects[-1].key.removeprefix(prefix) if more else None)

    async def _names(self, prefix: str, n: int | None, last: str) -> Page:
        """List names below a prefix in which there are no directories."""
        if n == 0:
            return Page([], more=False)
        names: list[str] = []
        start_after = prefix + last if last else ""
        while True:
            limit = MAX_PAGE if n is None else min(MAX_PAGE, n - len(names))
            listing = await self.store.list(prefix, start_after=start_after, limit=limit)
            names.extend(listed.key.removeprefix(prefix) for listed in listing.objects)
            if not listing.truncated or not listing.objects:
                return Page(names, more=False)
            if n is not None and len(names) >= n:
                return Page(names, more=True)
            start_after = listing.objects[-1].key

    async def _exists(self, repo: RepositoryName) -> bool:
        try:
            await self.store.get(keys.repository(repo))
        except KeyMissing:
            return False
        return True

    async def _descriptor(self, key: str) -> dict[str, Any] | None:
        try:
            header, _ = unframe((await self.store.get(key)).body)
        except KeyMissing:
            return None  # deleted since the listing
        descriptor = header.get("descriptor")
        return descriptor if isinstance(descriptor, dict) else None
