"""When manifests were pulled: what replicas have written is read once, used for each repository, and merged.

Each replica writes what was pulled since it wrote last, under a new key. A collection reads all of it. When it has
finished a repository, it writes what may matter later; then it deletes what it has read. A crash, or another collection
at the same moment, loses nothing: new objects are written before old ones are deleted, and a pull that two objects name
counts once.
"""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial

import structlog

from zotpy.bucket.sweeps import list_all
from zotpy.bucket.tables import Table, table
from zotpy.collector.collection import Collection
from zotpy.collector.retention.tag_rules import PullTimes
from zotpy.concurrency import gather
from zotpy.core import keys
from zotpy.core.digests import Digest
from zotpy.core.framing import FramingError
from zotpy.core.names import RepositoryName
from zotpy.core.pulls import MOST, Pull, decode_pulls, decode_since, encode_pulls
from zotpy.store.interface import KeyMissing, Listed

LISTINGS = 16
"""How often pulls are listed again, in case other collections have merged some meanwhile."""

log = structlog.get_logger()


@dataclass(eq=False, slots=True)
class PullHistory:
    """All known pulls, on disk if they are too many for memory."""

    collection: Collection
    rows: Table
    since: datetime | None = None
    """Since when pulls are noted; `None`: unknown."""
    sources: set[str] = field(default_factory=set)
    """The keys that were read."""
    _kept: list[Pull] = field(default_factory=list)

    async def read(self) -> None:
        """Read everything. If something cannot be read, count nothing as known."""
        try:
            await self._read_all()
        except FramingError as error:
            self.collection.summary.problems.append(f"{keys.PULLS}: {error}: no tag is deleted for a lack of pulls")
            self.since = None
            self.leave()

    async def times_of(self, repo: RepositoryName) -> PullTimes:
        """Return the last known pulls in one repository."""
        found = (await self.rows.of([repo.text])).get(repo.text, frozenset())
        times: dict[Digest, datetime] = {}
        for row in found:
            name, _, seconds = row.partition(" ")
            digest, time = Digest.parse(name), datetime.fromtimestamp(int(seconds), UTC)
            times[digest] = max(time, times.get(digest, time))
        return PullTimes(times, self.since)

    async def keep(self, repo: RepositoryName, times: Mapping[Digest, datetime], matter_for: timedelta) -> None:
        """Write what may matter later of the pulls in one repository, together with those of others."""
        for digest, time in times.items():
            if self.collection.began - time < matter_for:
                self._kept.append(Pull(repo, digest, time))
        while len(self._kept) >= MOST:
            await self._write()

    def leave(self) -> None:
        """Delete nothing that was read: a repository could not be checked."""
        self.sources.clear()

    async def finish(self) -> None:
        """Write the rest, and delete what was read: all of it is written anew, or does not matter any more."""
        if self.collection.settings.dry_run or not self._should_rewrite:
            return
        while self._kept:
            await self._write()
        await self.collection.delete(sorted(self.sources))

    @property
    def _should_rewrite(self) -> bool:
        """Whether several objects exist that can be merged."""
        return len(self.sources) > 1

    async def _write(self) -> None:
        some, self._kept = self._kept[:MOST], self._kept[MOST:]
        if not self.collection.settings.dry_run and self._should_rewrite:
            await self.collection.store.put(keys.pulls(keys.new_id()), encode_pulls(some))

    async def _read_all(self) -> None:
        """Read until nothing new is listed: another collection writes all content anew before it deletes an object."""
        for _ in range(LISTINGS):
            listed = {each.key: each for each in await list_all(self.collection.store, keys.PULLS)}
            new = [each for key, each in listed.items() if key not in {keys.PULLS_SINCE, *self.sources}]
            if not new:
                await self._read_since()
                return
            reading = [partial(self._read_one, each) for each in new]
            await gather(*reading, limit=self.collection.settings.calls_at_once)
        log.warning("pulls_keep_changing", listings=LISTINGS)

    async def _read_one(self, listed: Listed) -> None:
        try:
            body = (await self.collection.store.get(listed.key)).body
        except KeyMissing:
            return
        pulls = list(decode_pulls(body, listed.last_modified))
        await self.rows.add(
            [(pull.repo.text, f"{pull.digest} {pull.time.timestamp():.0f}") for pull in pulls if pull.time is not None]
        )
        self.sources.add(listed.key)
        self.collection.advance(1)

    async def _read_since(self) -> None:
        try:
            self.since = decode_since((await self.collection.store.get(keys.PULLS_SINCE)).body)
        except KeyMissing:
            log.warning("pulls_not_noted", reason="no replica says that it notes them: start them with these settings")


@asynccontextmanager
async def pull_history(collection: Collection) -> AsyncIterator[PullHistory]:
    """Read all pulls for the length of a block, and merge them at its end; none if no rule needs them."""
    async with table(collection.settings.buffer_rows) as rows:
        history = PullHistory(collection, rows)
        if not collection.settings.retention.needs_pulls:
            await _forget(collection)
            yield history
            return
        await history.read()
        yield history
        await history.finish()


async def _forget(collection: Collection) -> None:
    """Delete the notes if no rule needs pulls any more: a later rule must not take the gap for a lack of pulls."""
    left = await list_all(collection.store, keys.PULLS)
    if left and not collection.settings.dry_run:
        await collection.delete([each.key for each in left])
