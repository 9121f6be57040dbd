"""Whether the disk of the store has space: zotpy refuses pushes while it still has enough for everything else.

Deletes and garbage collection write a little before they free anything, and SeaweedFS needs space to compact a volume.
So the last share of the disk is for them. zotpy looks once a second how much is free. In between it counts what it
writes as used, so that a fast push cannot overrun the share.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import structlog
import trio

from zotpy.core import keys
from zotpy.core.errors import StorageFull
from zotpy.store.interface import Body, Part, Store, Stored, StoreFull
from zotpy.store.wrapper import StoreWrapper

LOOK_S = 1.0

log = structlog.get_logger()


class Space:
    """The space on the disk of a directory. Without a directory the store is elsewhere, and has any amount."""

    def __init__(self, directory: Path | None = None, reserved: float = 0.0) -> None:
        """`reserved`: the share of the disk, 0 to 1, that pushes leave free."""
        self.directory = directory
        self._reserved = reserved
        self.total_bytes = 0
        self.free_bytes = 0
        """At the last look, minus what was written since."""
        self._on_its_way_bytes = 0
        self._was_full = False

    @property
    def reserved_bytes(self) -> int:
        """What pushes leave free."""
        return int(self.total_bytes * self._reserved)

    def has_room(self, size_bytes: int = 0) -> bool:
        """Say whether this many more bytes can be pushed."""
        left_bytes = self.free_bytes - self._on_its_way_bytes - size_bytes
        return self.directory is None or left_bytes >= self.reserved_bytes

    def check(self) -> None:
        """Raise `StorageFull` if nothing can be pushed now."""
        if not self.has_room():
            raise StorageFull(self.reason())

    def reason(self) -> str:
        """Say why nothing can be pushed."""
        numbers = f"{_mib(self.free_bytes)} of {_mib(self.total_bytes)} are free, {_mib(self.reserved_bytes)} reserved"
        return f"the disk of this registry is full ({numbers}): delete images and collect garbage, or enlarge the disk"

    @contextmanager
    def taken(self, size_bytes: int) -> Iterator[None]:
        """Count the bytes that the block writes as used, from its beginning on. Raises `StoreFull`."""
        if not self.has_room(size_bytes):
            raise StoreFull(self.reason(), self.reason())
        self._on_its_way_bytes += size_bytes
        try:
            yield
        finally:
            self._on_its_way_bytes -= size_bytes
            self.free_bytes = max(0, self.free_bytes - size_bytes)

    async def look(self) -> None:
        """Look how much is free. Raises `OSError`."""
        if self.directory is None:
            return
        found = await trio.to_thread.run_sync(os.statvfs, self.directory)
        self.total_bytes = found.f_blocks * found.f_frsize
        self.free_bytes = found.f_bavail * found.f_frsize
        is_full = not self.has_room()
        if is_full != self._was_full:
            self._was_full = is_full
            if is_full:
                log.error("disk_full", reason=self.reason())
            else:
                log.info("disk_has_room_again", free_bytes=self.free_bytes)

    async def keep_looking(self) -> None:
        """Look once a second, until cancelled. If the store is elsewhere, do nothing."""
        while self.directory is not None:
            await trio.sleep(LOOK_S)
            try:
                await self.look()
            except OSError as error:  # what was seen last still holds
                log.warning("disk_cannot_be_looked_at", error=error.strerror)


class SpacedStore(StoreWrapper):
    """A store that accepts pushed bytes only while it has space for them: those of blobs, or all that are written."""

    def __init__(self, store: Store, space: Space, *, only_pushes: bool = False) -> None:
        """Stand in front of `store`. `only_pushes`: not only the bytes of blobs are pushed, but all that is written."""
        super().__init__(store)
        self._space = space
        self._only_pushes = only_pushes

    async def put(self, key: str, body: Body, *, if_none_match: bool = False, if_match: str | None = None) -> Stored:
        """See `Store`. Raises `StoreFull`."""
        if not key.startswith(keys.DATA) and not self._only_pushes:
            return await self.store.put(key, body, if_none_match=if_none_match, if_match=if_match)
        with self._space.taken(len(body)):
            return await self.store.put(key, body, if_none_match=if_none_match, if_match=if_match)

    async def put_part(self, key: str, multipart_id: str, number: int, body: Body) -> Part:
        """See `Store`. Raises `StoreFull`."""
        with self._space.taken(len(body)):
            return await self.store.put_part(key, multipart_id, number, body)


def _mib(size_bytes: int) -> str:
    return f"{size_bytes / 2**20:,.0f} MiB"
