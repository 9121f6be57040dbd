"""Files of the cache that somebody uses: they are opened once, and the last user closes them."""

import os
from collections.abc import Callable
from functools import partial

import structlog
import trio

from zotpy.cache.disk import on_disk
from zotpy.cache.shelf import CachedFile, Shelf

log = structlog.get_logger()


class OpenFiles:
    """Opens and closes the files of a shelf. A caller counts itself in `CachedFile.users` before it opens one."""

    def __init__(self, shelf: Shelf, on_failure: Callable[[CachedFile, OSError], None]) -> None:
        """Call `on_failure` with a file that the disk does not give."""
        self._shelf = shelf
        self._on_failure = on_failure
        self._openings: dict[CachedFile, trio.Event] = {}

    async def open(self, file: CachedFile) -> bool:
        """Open a file, unless it is open, or was found broken. Say whether it is open."""
        while (opening := self._openings.get(file)) is not None:
            await opening.wait()
        if file.descriptor is None and not file.is_broken:
            opening = self._openings[file] = trio.Event()
            try:
                with trio.CancelScope(shield=True):
                    file.descriptor = await on_disk(partial(self._shelf.open_file, file))
            except OSError as error:
                self._on_failure(file, error)
            finally:
                del self._openings[file]
                opening.set()
        return file.descriptor is not None

    def drop(self, file: CachedFile) -> None:
        """Take a file from the shelf, if it is there: its last user deletes it."""
        file.is_broken = file.is_broken or file.is_listed
        self._shelf.forget(file)

    async def leave(self, file: CachedFile, is_known: Callable[[str], bool]) -> None:
        """Use a file no more. A broken one is deleted, unless `is_known` says that another has its name."""
        file.users -= 1
        if file.users == 0 and (file.descriptor is not None or file.is_broken):
            descriptor, file.descriptor = file.descriptor, None
            is_useless = file.is_broken and not is_known(file.data_id)
            file.is_broken = False
            with trio.CancelScope(shield=True):
                await on_disk(partial(self._close, descriptor, file if is_useless else None))

    def _close(self, descriptor: int | None, useless: CachedFile | None) -> None:
        """Close and delete, in a thread: to close a deleted file may take long."""
        try:
            if descriptor is not None:
                os.close(descriptor)
            if useless is not None:
                self._shelf.delete(useless)
        except OSError as error:
            log.warning("cache_failed", reason=str(error), effect="a file was not deleted")
