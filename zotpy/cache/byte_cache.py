"""Reads of large blobs by way of the cache: from its files, behind a download under way, or past it.

The bytes of a data object never change and its id is never used twice, so they may be kept for as long as one likes.
Whether the blob exists, its entry has said before. Nothing that fails here fails a read: the bytes that the disk does
not give come from the store.
"""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import Literal, Protocol

import structlog
import trio

from zotpy.cache.filling import Filling, Source
from zotpy.cache.following import Follower
from zotpy.cache.open_files import OpenFiles
from zotpy.cache.reading import CacheReads, Supply
from zotpy.cache.shelf import CachedFile, Shelf
from zotpy.cache.verifying import Verification
from zotpy.core.digests import Digest
from zotpy.core.ranges import Span
from zotpy.memory.readers import Readers, Turn
from zotpy.services import LongWork

MOST_FILLINGS = 16
"""How many downloads are under way at once: each holds some MiB beside the memory budget."""
PAUSE_S = 60.0
"""How long no new file is begun after the disk has failed."""
Outcome = Literal["hit", "shared", "filled", "passed"]

log = structlog.get_logger()


class CacheEvents(Protocol):
    """What is called when something happens."""

    def on_cache_read(self, outcome: Outcome) -> None:
        """Count a read: from a file, behind a download of another read, with a new download, or past the cache."""

    def on_cache_bytes(self, size_bytes: int) -> None:
        """Count bytes that came from a file."""

    def on_cache_evictions(self, count: int) -> None:
        """Count files that were deleted for others."""

    def on_cache_failure(self) -> None:
        """Count a failure of the disk."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """A data object, and the digest of all its bytes."""

    data_id: str
    size_bytes: int
    digest: Digest


class ByteCache:
    """The cache of a process."""

    def __init__(self, shelf: Shelf, readers: Readers, events: CacheEvents) -> None:
        """Keep files on `shelf`. Nothing is filled before `keep_filling` runs."""
        self.shelf = shelf
        self._readers = readers
        self._events = events
        self._fillings: dict[str, Filling] = {}
        self._verifications: dict[CachedFile, Verification] = {}
        self._open_files = OpenFiles(shelf, self.failed)
        self._work = LongWork()
        self._paused_until = -1.0
        self._is_failing = False

    async def keep_filling(self) -> None:
        """Run the downloads, and the comparisons of what they brought, until cancelled."""
        await self._work.run()

    @asynccontextmanager
    async def open(
        self, wanted: Wanted, span: Span, turn: Turn, source: Source, filling_source: Source
    ) -> AsyncIterator[AsyncIterator[bytes]]:
        """Stream bytes as `source` does. `filling_source` reads for a download, which may outlive this read."""
        file, supply = self._choose(wanted, span, filling_source)
        if file is None:
            async with source(span) as chunks:
                yield chunks
            return
        file.users += 1
        filling = supply.filling if isinstance(supply, Follower) else supply if isinstance(supply, Filling) else None
        try:
            if filling is None:
                await self._open_files.open(file)
            account = self._readers.account()
            async with AsyncExitStack() as stack:
                rest = partial(_enter, stack, source)
                reads = CacheReads(file, supply, span, self._readers, account, turn, rest, self)
                stack.callback(reads.close)
                yield reads
        finally:
            if isinstance(supply, Follower):
                supply.filling.leave()
            await self._leave(file, filling)

    def served(self, size_bytes: int) -> None:
        """Count bytes that came from a file."""
        self._events.on_cache_bytes(size_bytes)

    def failed(self, file: CachedFile, error: OSError) -> None:
        """Note that the disk has failed. It is said once, until a file is filled again."""
        self._events.on_cache_failure()
        self._open_files.drop(file)
        self._paused_until = trio.current_time() + PAUSE_S
        if not self._is_failing:
            self._is_failing = True
            log.warning("cache_failed", reason=str(error), effect="pulls come from the store")

    def _choose(self, wanted: Wanted, span: Span, source: Source) -> tuple[CachedFile | None, Supply | None]:
        """Return the file to read, with what it still waits for; no file: read past the cache."""
        is_whole = span.length == wanted.size_bytes
        file = self.shelf.find(wanted.data_id, wanted.size_bytes)
        if file is not None:
            verification = None if file.is_verified else self._verify(file, wanted.digest)
            is_hit = file.is_verified or (is_whole and verification is not None)
            self._events.on_cache_read("hit" if is_hit else "passed")
            return (file, verification) if is_hit else (None, None)
        filling = self._fillings.get(wanted.data_id)
        if filling is not None and span.start <= filling.window.end and not filling.has_ended:
            self._events.on_cache_read("shared")
            filling.stop_following()
            return filling.file, filling
        filling = self._begin(wanted, source) if filling is None and is_whole else None
        self._events.on_cache_read("passed" if filling is None else "filled")
        return (None, None) if filling is None else (filling.file, Follower(filling))

    def _verify(self, file: CachedFile, digest: Digest) -> Verification | None:
        """Have a file compared with its digest. `None`: the process is about to end."""
        verification = self._verifications.get(file)
        if verification is None and self._work.may_begin:
            verification = self._verifications[file] = Verification(self.shelf, file, digest)
            file.users += 1
            self._work.begin(partial(self._run_verification, verification))
        return verification

    async def _run_verification(self, verification: Verification) -> None:
        """Run to the end, whether or not a read still waits for it: once in the life of a file."""
        file = verification.file
        try:
            if await self._open_files.open(file):
                await verification.run()
        finally:
            verification.end()
            del self._verifications[file]
            if verification.disk_error is not None:
                self.failed(file, verification.disk_error)
            elif verification.is_wrong:
                log.error("cache_refused_bytes", data=file.data_id, reason="they do not have the blob's digest")
                self._open_files.drop(file)
            await self._leave(file, None)

    def _begin(self, wanted: Wanted, source: Source) -> Filling | None:
        """Begin a download, if there is room for one."""
        if (
            not self._work.may_begin
            or len(self._fillings) >= MOST_FILLINGS
            or trio.current_time() < self._paused_until
            or not self.shelf.can_hold(wanted.data_id, wanted.size_bytes)
        ):
            return None
        evicted = self.shelf.make_room(wanted.size_bytes)
        if evicted is None:
            return None
        self._events.on_cache_evictions(len(evicted))
        filling = Filling(self.shelf, CachedFile(wanted.data_id, wanted.size_bytes), self._readers)
        self._fillings[wanted.data_id] = filling
        filling.file.users += 1
        self._work.begin(partial(self._fill, filling, source, evicted))
        return filling

    async def _fill(self, filling: Filling, source: Source, evicted: list[CachedFile]) -> None:
        try:
            await filling.run(source, evicted)
        finally:
            self._remove(filling)
            if filling.disk_error is not None:
                self.failed(filling.file, filling.disk_error)
            elif filling.file.is_listed:
                self._is_failing = False
            await self._leave(filling.file, None)

    async def _leave(self, file: CachedFile, filling: Filling | None) -> None:
        """Use a file no more. If only its download is left and is not done, that ends."""
        if filling is not None and file.users == 2 and not filling.is_received:  # noqa: PLR2004 - it and we
            self._remove(filling)
            filling.scope.cancel()
        await self._open_files.leave(file, is_known=self._is_known)

    def _is_known(self, data_id: str) -> bool:
        """Say whether another file of this name exists, or is about to."""
        return data_id in self._fillings or data_id in self.shelf

    def _remove(self, filling: Filling) -> None:
        """Let no further read share a download."""
        if self._fillings.get(filling.file.data_id) is filling:
            del self._fillings[filling.file.data_id]


async def _enter(stack: AsyncExitStack, source: Source, span: Span) -> AsyncIterator[bytes]:
    return await stack.enter_async_context(source(span))
