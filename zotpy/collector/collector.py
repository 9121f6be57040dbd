"""One collection from its beginning to its end."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Protocol

import structlog

from zotpy.bucket.record_listing import list_records
from zotpy.bucket.repositories import all_repositories, for_each
from zotpy.bucket.tables import Table, table
from zotpy.collector.collection import Collection
from zotpy.collector.collector_settings import CollectorSettings
from zotpy.collector.data_sweep import data_sweep
from zotpy.collector.mirror_sweep import MirrorSweep
from zotpy.collector.pointer_sweep import NameSweep
from zotpy.collector.record_sweep import RecordSweep
from zotpy.collector.retention.byte_bounds import Bounds, byte_bounds
from zotpy.collector.retention.pull_history import PullHistory, pull_history
from zotpy.collector.retention.retention_sweep import Retained, RetentionSweep
from zotpy.collector.summary import Expiration, Summary
from zotpy.collector.upload_sweep import UploadSweep
from zotpy.core import keys
from zotpy.core.errors import RegistryError
from zotpy.core.framing import FramingError
from zotpy.core.names import RepositoryName
from zotpy.store.interface import Store

log = structlog.get_logger()


class Progress(Protocol):
    """What shows the progress of a collection."""

    def begin(self, what: str) -> Callable[[int], None]:
        """Take note of what is checked now. Return a function to call with how many more objects were checked."""
        ...

    def tell(self, expiration: Expiration) -> None:
        """Take note, in a dry run, of a thing that retention would delete."""
        ...


class Unwatched:
    """Shows nothing."""

    def begin(self, what: str) -> Callable[[int], None]:
        """See `Progress`."""
        del what
        return lambda _: None

    def tell(self, expiration: Expiration) -> None:
        """See `Progress`."""


@dataclass(frozen=True, slots=True)
class Collector:
    """Collects the garbage of one bucket."""

    store: Store
    settings: CollectorSettings
    progress: Progress = Unwatched()  # noqa: RUF009 - it has no state

    async def run(self, summary: Summary | None = None) -> Summary:
        """Collect once, and count in `summary`, if it is given, while that goes on.

        Raises `StoreError`; what was deleted until then was rightly deleted.
        """
        summary = Summary() if summary is None else summary
        summary.dry_run, summary.retention_dry_run = self.settings.dry_run, self.settings.retention.dry_run
        began = (await self.store.list(keys.LEASES, limit=1)).store_time
        rows = self.settings.buffer_rows
        async with table(rows) as seen, table(rows) as condemned:

            def collection(what: str) -> Collection:
                begun = self.progress.begin(what)
                return Collection(self.store, self.settings, began, summary, condemned, begun, self.progress.tell)

            async with pull_history(collection("pulls")) as history:
                bounds: Bounds = {}
                if self.settings.retention.counts_bytes:
                    bounds = await byte_bounds(collection("bytes"), history)
                await self._repositories(collection("repositories"), seen, history, bounds)
            await self._data(collection("data"))
            await UploadSweep(collection("uploads")).run()
            await MirrorSweep(collection("mirror")).run()
        return summary

    async def _repositories(self, collection: Collection, seen: Table, history: PullHistory, bounds: Bounds) -> None:
        foreign: list[str] = []
        collect = partial(self._repository, collection, history, bounds)
        await for_each(all_repositories(self.store, foreign, seen), collect, self.settings.repositories_at_once)
        collection.summary.problems += [f"{key}: it belongs to no repository" for key in foreign]

    async def _data(self, collection: Collection) -> None:
        """Collect data. If something among the leases cannot be understood, delete no data."""
        try:
            async with data_sweep(collection) as sweep:
                await sweep.run()
        except (FramingError, RegistryError) as error:
            log.warning("data_skipped", reason=str(error))
            collection.summary.problems.append(f"data: {error}")

    async def _repository(
        self, collection: Collection, history: PullHistory, bounds: Bounds, repo: RepositoryName
    ) -> None:
        """Collect in one repository. If something in it cannot be read, delete nothing of it."""
        collection.summary.repositories += 1
        try:
            records = await list_records(self.store, repo)
            policy = self.settings.retention.policy_of(repo)
            retained = Retained()
            if policy is not None:
                sweep = RetentionSweep(collection, repo, policy, history, bounds.get(policy, {}))
                retained = await sweep.run(records)
            left = await RecordSweep(collection, repo).run(records, retained.gone, retained.references)
            await NameSweep(collection, repo).run(left)
        except (FramingError, RegistryError) as error:
            log.warning("repository_skipped", repository=repo.text, reason=str(error))
            collection.summary.problems.append(f"{repo}: {error}")
            history.leave()
        collection.advance(1)
