"""Uploads that no client continued: their states, their multiparts, and multiparts that no state names.

An upload that rests longer than its time to live is ended as if its client had cancelled it. A multipart is aborted if
it began that long ago and no state names it: an upload in one request has no state, and none takes that long.

What a state keeps as data (`zotpy.registry.pushing.kept`) is data that no lease names, and is deleted as such.
"""

from dataclasses import dataclass

from zotpy.bucket.sweeps import each_multipart, pages
from zotpy.bucket.tables import Table, table
from zotpy.collector.collection import Collection
from zotpy.core import keys
from zotpy.core.framing import FramingError
from zotpy.core.upload_state import UploadState
from zotpy.store.interface import KeyMissing, Listed, ListedMultipart


@dataclass(frozen=True, slots=True)
class UploadSweep:
    """The uploads' part of one collection."""

    collection: Collection

    async def run(self) -> None:
        """End the uploads that no client continued."""
        async for page in pages(self.collection.store, keys.UPLOADS):
            for listed in page.objects:
                if self.collection.is_past(listed, self.collection.settings.gc.upload_ttl_s):
                    await self._end(listed)
        await self._abort_unowned()

    async def _end(self, listed: Listed) -> None:
        """Delete the state if it still rests.

        After that no client can continue with its parts, and they are deleted.
        """
        state = await self._read(listed)
        if state is None or not await self.collection.delete_seen(listed):
            return
        self.collection.summary.uploads_ended += 1
        if state.multipart is not None:
            await self._abort(state.multipart.key, state.multipart.multipart_id)

    async def _read(self, listed: Listed) -> UploadState | None:
        try:
            return UploadState.decode((await self.collection.store.get(listed.key)).body)
        except KeyMissing:
            return None
        except FramingError as error:
            self.collection.summary.problems.append(f"{listed.key}: {error}")
            return None

    async def _abort_unowned(self) -> None:
        old = await self._old_multiparts()
        if not old:
            return
        async with table(self.collection.settings.buffer_rows) as owned:
            await self._note_owned(owned)
            for found in old:
                if not await owned.of([found.multipart_id]):
                    await self._abort(found.key, found.multipart_id)

    async def _old_multiparts(self) -> list[ListedMultipart]:
        old: dict[str, ListedMultipart] = {}  # some stores list the last one of a page on the next one as well
        ttl_s = self.collection.settings.gc.upload_ttl_s

        def look(found: ListedMultipart) -> None:
            if (self.collection.began - found.initiated).total_seconds() > ttl_s:
                old[found.multipart_id] = found

        await each_multipart(self.collection.store, keys.DATA, look)
        return list(old.values())

    async def _note_owned(self, owned: Table) -> None:
        """Read all remaining states, for the multiparts that they name."""
        async for page in pages(self.collection.store, keys.UPLOADS):
            for listed in page.objects:
                state = await self._read(listed)
                if state is not None and state.multipart is not None:
                    await owned.add([(state.multipart.multipart_id, "")])

    async def _abort(self, key: str, multipart_id: str) -> None:
        self.collection.summary.multiparts_aborted += 1
        if not self.collection.settings.dry_run:
            await self.collection.store.abort_multipart(key, multipart_id)
