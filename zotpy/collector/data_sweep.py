"""Data: the bytes of large blobs. Two collections delete them, once no lease names them.

1. A listing of all leases finds none that names a data object older than the grace. The collector deletes its hints, so
   that no push finds it any more. Then it writes a note: `retired/<data id>-<when that listing began>`.
2. A later collection lists all leases again. That listing must begin two deadlines after the note was written, and end
   within one grace of the beginning of the first one. If it finds no lease either, the collector deletes the data, and
   then the notes.

Why that is enough: a request that writes a lease has read the data's id before, no longer than a deadline ago, from
another lease, an entry or a hint. A lease that the store dates later counts for nothing (`zotpy.bucket.reliance`). A
lease that the first listing missed was written after it began. So it exists for at least a grace, and the second
listing sees it. To write a lease after the second listing began, a request would have to read the id from something
that exists after the note. That is a lease as above, or was deleted before the note was written. Pauses do no harm: a
note that took too long counts for nothing, and what the second listing has found stays true for ever.

Hints are listed before data. So a hint whose data is not in that listing leads nowhere, and is deleted: a request wrote
it late, when the data had been collected.

One more thing names data and stays: the state of an upload. A request that reads the id there writes the lease while
the data is younger than the grace (`zotpy.registry.pushing.kept`). So the first listing sees it, and the sweep does not
look at that data.
"""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from zotpy.bucket.repositories import for_each, repositories_below
from zotpy.bucket.sweeps import pages
from zotpy.bucket.tables import Table, table
from zotpy.collector.collection import Collection
from zotpy.core import keys
from zotpy.core.framing import FramingError
from zotpy.core.names import RepositoryName
from zotpy.core.record_values import BlobValue, decode_value
from zotpy.store.interface import KeyMissing, Listed

NAMED = ""


@dataclass(slots=True)
class Unnamed:
    """Data objects of one page of the listing that nothing names, each with what leads to it."""

    data: Listed
    data_id: str
    hints: frozenset[str] = field(default_factory=frozenset)
    notes: frozenset[str] = field(default_factory=frozenset)


@dataclass(frozen=True, slots=True)
class DataSweep:
    """The data's part of one collection."""

    collection: Collection
    named: Table
    hints: Table
    notes: Table

    async def run(self) -> None:
        """Look at all leases, then at all data."""
        began = self.collection.began
        await for_each(
            repositories_below(self.collection.store, keys.LEASES),
            self._note_named,
            self.collection.settings.repositories_at_once,
        )
        await self._note_hints()
        ended = await self._note_notes()
        async for page in pages(self.collection.store, keys.DATA):
            self.collection.summary.data_objects += len(page.objects)
            self.collection.advance(len(page.objects))
            for found in await self._unnamed(page.objects):
                await self._retire_or_delete(found, began, ended)
            await self.hints.discard([listed.key.removeprefix(keys.DATA) for listed in page.objects])
        async for hints in self.hints.values():
            await self._delete_hints(hints)

    async def _note_named(self, repo: RepositoryName) -> None:
        async for page in pages(self.collection.store, keys.all_of(keys.LEASES, repo) + "blobs/"):
            self.collection.advance(len(page.objects))
            rows = []
            for listed in await self.collection.without_condemned(page.objects):
                data_id = keys.data_of(listed.key) if "-" in listed.key.rpartition("/")[2] else await self._read(listed)
                if data_id is not None:
                    rows.append((data_id, NAMED))
            await self.named.add(rows)

    async def _read(self, listed: Listed) -> str | None:
        """Read a lease that was written before the keys of leases named their data."""
        try:
            value = decode_value("blobs", (await self.collection.store.get(listed.key)).body)
        except KeyMissing:
            return None
        except FramingError as error:
            msg = f"{listed.key}: {error}"
            raise FramingError(msg) from error
        return value.data_id if isinstance(value, BlobValue) else None

    async def _note_hints(self) -> None:
        async for page in pages(self.collection.store, keys.HINTS):
            hints = [(keys.Hint.parse(listed.key), listed.key) for listed in page.objects]
            await self.hints.add([(hint.data_id, key) for hint, key in hints if hint is not None])

    async def _note_notes(self) -> datetime:
        """Remember all notes with the time of their writing. Return the store's time after all listings."""
        ended = self.collection.began
        async for page in pages(self.collection.store, keys.RETIRED):
            rows, void = [], []
            for listed in page.objects:
                note = keys.retired_data(listed.key)
                if note is not None and not self._is_void(note[1], page.store_time):
                    rows.append((note[0], f"{listed.last_modified.timestamp():.3f} {listed.key}"))
                else:
                    void.append(listed.key)
            self.collection.summary.notes_void += await self.collection.delete(void)
            await self.notes.add(rows)
            ended = max(ended, page.store_time)
        return ended

    def _is_void(self, listed_at_s: int, now: datetime) -> bool:
        """Whether the listing of a note began too long ago to be the first of two."""
        return now >= datetime.fromtimestamp(listed_at_s, UTC) + timedelta(seconds=self.collection.settings.gc.grace_s)

    async def _unnamed(self, objects: Sequence[Listed]) -> list[Unnamed]:
        ids = {listed.key.removeprefix(keys.DATA): listed for listed in objects}
        named, notes = await self.named.of(list(ids)), await self.notes.of(list(ids))
        old = [data_id for data_id, listed in ids.items() if self.collection.is_past_grace(listed)]
        for data_id in notes.keys() & named.keys():
            await self._drop_notes(notes[data_id])
        free = [data_id for data_id in old if data_id not in named]
        hints = await self.hints.of(free)
        none: frozenset[str] = frozenset()
        return [Unnamed(ids[i], i, hints.get(i, none), notes.get(i, none)) for i in free]

    async def _retire_or_delete(self, found: Unnamed, began: datetime, ended: datetime) -> None:
        summary = self.collection.summary
        await self._delete_hints(sorted(found.hints))
        verdicts = [self._counts(note, began, ended) for note in found.notes]
        if True in verdicts:
            await self.collection.delete([found.data.key])
            summary.data_deleted += 1
            summary.data_deleted_bytes += found.data.size_bytes
            await self._drop_notes(found.notes)
        elif None not in verdicts:
            summary.data_retired += 1
            summary.data_retired_bytes += found.data.size_bytes
            await self._drop_notes(found.notes)
            if not self.collection.settings.dry_run:
                await self.collection.store.put(keys.retired(found.data_id, int(began.timestamp())), b"")

    async def _delete_hints(self, hints: Sequence[str]) -> None:
        """Delete hints, so that no push can find the data."""
        self.collection.summary.hints_deleted += await self.collection.delete(hints)

    def _counts(self, note: str, began: datetime, ended: datetime) -> bool | None:
        """Whether this note lets the data be deleted; `None`: not yet; `False`: never."""
        settings = self.collection.settings
        written, _, key = note.partition(" ")
        retired = keys.retired_data(key)
        if retired is None or self._is_void(retired[1], ended):
            return False
        due = datetime.fromtimestamp(float(written), UTC) + timedelta(seconds=2 * settings.gc.deadline_s)
        return True if began > due else None

    async def _drop_notes(self, notes: frozenset[str]) -> None:
        await self.collection.delete([note.partition(" ")[2] for note in sorted(notes)])


@asynccontextmanager
async def data_sweep(collection: Collection) -> AsyncIterator[DataSweep]:
    """Open the tables of one sweep for the length of a block."""
    rows = collection.settings.buffer_rows
    async with table(rows) as named, table(rows) as hints, table(rows) as notes:
        yield DataSweep(collection, named, hints, notes)
