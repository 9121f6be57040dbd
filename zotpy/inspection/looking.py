"""What the parts of one check share: the store, what is known of all data, the report, what may be repaired."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Self

from zotpy.bucket.layout import LayoutMoved
from zotpy.bucket.records import Records
from zotpy.bucket.tables import Table
from zotpy.core import keys
from zotpy.core.digests import Digest
from zotpy.core.framing import FramingError
from zotpy.core.keys import Kind
from zotpy.core.names import RepositoryName
from zotpy.core.record_values import Entry, decode_entry
from zotpy.inspection.report import Problem, Report
from zotpy.settings import Settings
from zotpy.store.interface import Fetched, KeyMissing, Store, StoreError

AT_ONCE = 16


@dataclass(frozen=True, slots=True)
class Look:
    """One check of a bucket."""

    store: Store
    settings: Settings
    """The settings of the replicas."""
    repair: bool
    should_read: Callable[[], bool]
    """Whether to read the next large blob whole."""
    sizes: Table
    """All data objects, by id."""
    named: Table
    """The ids of data that leases name."""
    verdicts: Table
    """What is wrong with data that was read whole, by digest and id."""
    report: Report = field(default_factory=Report)
    is_alone: bool = False
    """Nothing else uses the bucket, so no request is under way."""

    @property
    def records(self) -> Records:
        """The records of all repositories."""
        return Records(self.store, self.settings.gc)

    def is_recent(self, fetched: Fetched) -> bool:
        """Whether a request that wrote this may still be under way."""
        age_s = (fetched.store_time - fetched.last_modified).total_seconds()
        return age_s < self.settings.gc.deadline_s and not self.is_alone

    def tell(self, where: object, what: str, *, mended: bool = False) -> None:
        """Report what is wrong."""
        self.report.problems.append(Problem(str(where), what, "repaired" if mended else "left"))

    def tell_foreign(self, key: str) -> None:
        """Report an object that this registry did not write."""
        self.tell(key, f"it {keys.NOT_OURS}")

    async def tell_unreadable(self, where: object, error: StoreError) -> None:
        """Report that one object cannot be read. Raises `error` if the store answers nothing else either."""
        await self.raise_if_down(error)
        self.tell(where, f"damaged: it cannot be read: {error}")

    async def raise_if_down(self, error: StoreError) -> None:
        """Raise an error that the store has answered for one object, if it answers nothing else either."""
        if isinstance(error, LayoutMoved):
            raise error
        try:
            await self.store.get(keys.LAYOUT)
        except KeyMissing:
            return
        except StoreError:
            raise error from None

    async def exists(self, repo: RepositoryName, kind: Kind, digest: Digest) -> bool:
        """Whether a record exists now, readable or not."""
        try:
            return (await self.records.look(repo, kind, digest)).value is not None
        except (FramingError, StoreError):
            return True  # reported where records are checked

    async def is_gone(self, repo: RepositoryName, digest: Digest) -> bool:
        """Whether no manifest exists, and no DELETE is about to delete its names."""
        entry = await ReadEntry.of(self, repo, "manifests", digest)
        if entry is not None and entry.is_tombstone and self.is_recent(entry.fetched):
            return False
        return not await self.exists(repo, "manifests", digest)


@dataclass(frozen=True, slots=True)
class ReadEntry:
    """An entry as it was read."""

    fetched: Fetched
    entry: Entry | None
    """`None`: it is not an entry."""
    damage: str = ""
    """Why it is not one."""
    is_late: bool = False
    """It was written by a request that was stopped for too long, and counts for nothing."""

    @property
    def is_tombstone(self) -> bool:
        """Whether the record was deleted."""
        return self.entry is not None and self.entry.value is None

    @classmethod
    async def of(cls, look: Look, repo: RepositoryName, kind: Kind, digest: Digest) -> Self | None:
        """Read an entry; `None` if it does not exist."""
        try:
            fetched = await look.store.get(keys.entry(repo, kind, digest))
        except KeyMissing:
            return None
        try:
            entry = decode_entry(kind, fetched.body).as_of(fetched.last_modified)
        except FramingError as error:
            return cls(fetched, None, str(error))
        if entry is None:
            return cls(fetched, None, "it was written too late", is_late=True)
        return cls(fetched, entry)
