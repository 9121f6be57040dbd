"""`fsck`: whether everything that can be asked for can be had, and has the digest it is asked for by.

Repairs only add: an entry from a lease, a lease from an entry, a marker from a tag; hints that lead nowhere go. What is
gone cannot be brought back, and what is wrong is left for a person to look at. It runs while replicas serve; what
changes meanwhile is looked at a second time before it is called a problem.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

from zotpy.collector.repositories import all_repositories, for_each
from zotpy.collector.tables import Table, table
from zotpy.core import keys
from zotpy.core.names import RepositoryName
from zotpy.inspection.report import Fate, Problem, Report
from zotpy.inspection.repository import RepositoryCheck
from zotpy.store.interface import KeyMissing, Store
from zotpy.store.sweeps import pages

REPOSITORIES_AT_ONCE = 4
BUFFER_ROWS = 200_000


@dataclass(slots=True)
class Checker:
    """One check of a bucket."""

    store: Store
    repair: bool = False
    share_read: float = 0.0
    """How many of the large blobs are read whole to compare their digests, 0 to 1."""
    advance: Callable[[int], None] = lambda _: None
    """Told how many objects more were looked at."""
    report: Report = field(default_factory=Report)

    async def run(self) -> Report:
        """Check everything. Raises `StoreError`."""
        async with table(BUFFER_ROWS) as sizes, table(BUFFER_ROWS) as seen:
            async for page in pages(self.store, keys.DATA):
                await sizes.add(
                    [(listed.key.removeprefix(keys.DATA), str(listed.size_bytes)) for listed in page.objects]
                )
                self.advance(len(page.objects))
            await for_each(all_repositories(self.store), partial(self._look, sizes, seen), REPOSITORIES_AT_ONCE)
            await self._check_hints(sizes)
        return self.report

    async def _look(self, sizes: Table, seen: Table, repo: RepositoryName) -> None:
        if await seen.of([repo.text]):
            return
        await seen.add([(repo.text, "")])
        self.report.repositories += 1
        await RepositoryCheck(self.store, repo, sizes, self.report, self._should_read, self.repair).run()
        self.advance(1)

    def _should_read(self) -> bool:
        return random.random() < self.share_read  # noqa: S311 - a sample

    async def _check_hints(self, sizes: Table) -> None:
        """Find hints that lead to data that is gone: a push would rely on it."""
        async for page in pages(self.store, keys.HINTS):
            hints = {listed.key: keys.Hint.parse(listed.key) for listed in page.objects}
            known = await sizes.of([hint.data_id for hint in hints.values() if hint is not None])
            for key, hint in hints.items():
                if hint is None or (hint.data_id not in known and not await self._is_there(hint)):
                    if self.repair:
                        await self.store.delete(key)
                    fate: Fate = "repaired" if self.repair else "left"
                    self.report.problems.append(Problem(key, "leads to data that is gone", fate))

    async def _is_there(self, hint: keys.Hint) -> bool:
        """Look again for data that may be newer than the listing."""
        try:
            async with self.store.open(keys.data(hint.data_id), 0, 1):
                return True
        except KeyMissing:
            return False
