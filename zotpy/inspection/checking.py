"""`fsck`: whether everything that clients can ask for exists, and has the digest by which they ask for it.

Repairs only add: an entry from a lease, a lease from an entry, a marker from a tag. They delete hints and referrers
that lead nowhere. What is lost cannot be brought back, and what is wrong is left for a person to look at. The check
runs while replicas serve. It looks a second time at what changes meanwhile before it calls it a problem, and does not
report what a request may be about to finish.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

from zotpy.bucket.repositories import all_repositories, for_each
from zotpy.bucket.sweeps import pages
from zotpy.bucket.tables import table
from zotpy.core import keys
from zotpy.core.errors import RegistryError
from zotpy.core.framing import FramingError
from zotpy.core.names import RepositoryName
from zotpy.inspection.data_check import is_there
from zotpy.inspection.looking import Look
from zotpy.inspection.report import Report
from zotpy.inspection.repository_check import RepositoryCheck
from zotpy.inspection.restoring import Restoring
from zotpy.settings import Settings
from zotpy.store.interface import Store

REPOSITORIES_AT_ONCE = 4
BUFFER_ROWS = 200_000


@dataclass(slots=True)
class Checker:
    """One check of a bucket."""

    store: Store
    repair: bool = False
    """Whether to rebuild what can be rebuilt."""
    share_read: float = 0.0
    """Which share of the large blobs is read whole to compare their digests, 0 to 1."""
    restored: bool = False
    """Whether the bucket was filled from a backup: first what it holds is made to count."""
    advance: Callable[[int], None] = lambda _: None
    """Called with how many more objects were checked."""
    settings: Settings = field(default_factory=Settings)
    """Grace, deadline and sparse indexes as the replicas have them."""
    report: Report = field(default_factory=Report)
    """Grows while the check runs."""

    async def run(self) -> Report:
        """Check everything. Raises `StoreError`."""
        if self.restored:
            await Restoring(self.store, self.report, self.advance).run()
        rows = BUFFER_ROWS
        async with table(rows) as sizes, table(rows) as seen, table(rows) as named, table(rows) as verdicts:
            known = sizes, named, verdicts
            look = Look(self.store, self.settings, self.repair, self._should_read, *known, self.report, self.restored)
            await self._list_data(look)
            foreign: list[str] = []
            repositories = all_repositories(self.store, foreign, seen)
            await for_each(repositories, partial(self._check, look), REPOSITORIES_AT_ONCE)
            for key in foreign:
                look.tell(key, "it belongs to no repository")
            await self._check_hints(look)
            await self._count_unnamed(look)
        return self.report

    async def _list_data(self, look: Look) -> None:
        async for page in pages(self.store, keys.DATA):
            sizes = [(listed.key.removeprefix(keys.DATA), str(listed.size_bytes)) for listed in page.objects]
            await look.sizes.add(sizes)
            self.advance(len(page.objects))

    async def _check(self, look: Look, repo: RepositoryName) -> None:
        self.report.repositories += 1
        try:
            await RepositoryCheck(look, repo).run()
        except (FramingError, RegistryError) as error:
            look.tell(repo, f"it cannot be read: {error}")
        self.advance(1)

    def _should_read(self) -> bool:
        return random.random() < self.share_read  # noqa: S311 - a sample

    async def _check_hints(self, look: Look) -> None:
        """Find hints that lead to data that is missing or was cut: a push would rely on it."""
        async for page in pages(self.store, keys.HINTS):
            hints = {listed.key: keys.Hint.parse(listed.key) for listed in page.objects}
            known = await look.sizes.of([hint.data_id for hint in hints.values() if hint is not None])
            for key, hint in hints.items():
                if hint is None:
                    look.tell(key, "it is not a hint")
                    continue
                sizes = known.get(hint.data_id)
                if sizes is None and not await is_there(look, hint.data_id):
                    await self._drop_hint(look, key, "leads to data that does not exist")
                elif sizes is not None and str(hint.size_bytes) not in sizes:
                    await self._drop_hint(look, key, "leads to data of another length")
            self.advance(len(page.objects))

    async def _drop_hint(self, look: Look, key: str, problem: str) -> None:
        if self.repair:
            await self.store.delete(key)
        look.tell(key, problem, mended=self.repair)

    async def _count_unnamed(self, look: Look) -> None:
        """Count data that no lease names and that no push may be about to name."""
        async for page in pages(self.store, keys.DATA):
            named = await look.named.of([listed.key.removeprefix(keys.DATA) for listed in page.objects])
            for listed in page.objects:
                age_s = (page.store_time - listed.last_modified).total_seconds()
                if listed.key.removeprefix(keys.DATA) not in named and age_s > self.settings.gc.grace_s:
                    self.report.data_unnamed += 1
                    self.report.data_unnamed_bytes += listed.size_bytes
