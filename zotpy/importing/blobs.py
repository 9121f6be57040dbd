"""Blobs of one source, copied here: each once, a bounded number of them at once."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import trio

from zotpy.core.digests import Digest
from zotpy.core.errors import BlobUnknown
from zotpy.importing.locks import Locks
from zotpy.importing.sources import Names, Source
from zotpy.importing.tally import Tally
from zotpy.registry.registry import Registry


@dataclass(eq=False, slots=True)
class BlobCopier:
    """Copies blobs. Raises `RegistryError`, `UpstreamError`, `StoreError`."""

    source: Source
    registry: Registry
    tally: Tally
    at_once: int
    """How many blobs are copied at once, of all manifests."""
    is_mirror: bool
    """What is copied follows the source."""
    _locks: Locks = field(default_factory=Locks)
    _places: trio.Semaphore = field(init=False)

    def __post_init__(self) -> None:
        self._places = trio.Semaphore(self.at_once)

    async def copy(self, repo: Names, digest: Digest) -> None:
        """Copy a blob, unless it is here already, or in another repository here."""
        async with self._locks.only(digest):
            try:
                await self.registry.blobs.stat(repo.target, digest)
            except BlobUnknown:
                pass
            else:
                self.tally.blobs_present += 1
                return
            if not self.is_mirror and await self._is_mounted(repo, digest):
                return
            async with self._places, self.source.blob(repo.source, digest) as stream:
                # A mirror's upstream must have the blob: its manifests may name one that others here may not read.
                if self.is_mirror and await self._is_mounted(repo, digest):
                    return
                session = self.registry.uploads.begin(repo.target, digest.algorithm)
                body = _Counted(stream.pieces(), self.tally)
                await self.registry.uploads.finish(session, digest, body, None, stream.length)
            self.tally.blobs_copied += 1

    async def _is_mounted(self, repo: Names, digest: Digest) -> bool:
        """Take a blob from another repository here, and say whether one has it."""
        value = await self.registry.mounts.mount(repo.target, digest, None)
        self.tally.blobs_mounted += value is not None
        return value is not None


class _Counted:
    """Bytes that are counted on their way."""

    def __init__(self, pieces: AsyncIterator[bytes], tally: Tally) -> None:
        self._pieces = pieces
        self._tally = tally

    def __aiter__(self) -> "_Counted":
        return self

    async def __anext__(self) -> bytes:
        piece = await anext(self._pieces)
        self._tally.bytes_copied += len(piece)
        return piece
