"""Files that are read again when they change, also when Kubernetes points a link at another directory."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Generic, TypeVar

import trio

from zotpy.bell import Bell

Content = TypeVar("Content")
LOOK_INTERVAL_S = 5.0
"""How often the files are checked."""
Signature = tuple[tuple[int, ...], ...]
"""What `stat` says of each file. It follows links, so a link that points elsewhere is a change as well."""


def signature_of(*files: Path) -> Signature:
    """Return what changes if one of the files changes. A file that cannot be seen has a signature, too."""
    return tuple(_looks(file) for file in files)


class Watched(Generic[Content]):
    """What some files say together. If what they say now cannot be used, what they said before stays.

    A subclass says what happens then, and if it can be used.
    """

    def __init__(self, files: Sequence[Path], read: Callable[[], Content]) -> None:
        """Read the files. Raises what `read` raises: `OSError`, `ValueError`."""
        self.files = tuple(files)
        self._read = read
        self._seen = signature_of(*self.files)
        self._told: tuple[Signature, str] | None = None
        """The files that could not be opened at the last look, and why."""
        self.latest = read()

    async def keep_current(self, bell: Bell) -> None:
        """Look at the files every few seconds, and whenever the bell is rung, until cancelled."""
        while True:
            with trio.move_on_after(LOOK_INTERVAL_S):
                await bell.rung()
            await self.look()

    async def look(self) -> None:
        """Read the files again if one of them has changed since the last look."""
        signature = await trio.to_thread.run_sync(signature_of, *self.files)
        if signature == self._seen and self._told is None:
            return
        self._seen = signature
        try:
            self.latest = await trio.to_thread.run_sync(self._read)
        except (OSError, ValueError) as error:
            if await trio.to_thread.run_sync(signature_of, *self.files) != signature:
                return  # they have changed meanwhile, so the next look reads them again, and tells of them once
            # What could not be opened is tried again at each look: perhaps no file handle was left.
            told, self._told = self._told, (signature, str(error)) if isinstance(error, OSError) else None
            if self._told is None or told != self._told:
                self.on_unusable(error)
        else:
            self._told = None
            self.on_renewed()

    def on_renewed(self) -> None:
        """Tell that `latest` is new."""
        raise NotImplementedError

    def on_unusable(self, error: OSError | ValueError) -> None:
        """Tell that the files have changed, and that `latest` stays."""
        raise NotImplementedError


def reason_of(error: OSError | ValueError) -> str:
    """Say why a file cannot be used, without its name."""
    return error.strerror or str(error) if isinstance(error, OSError) else str(error)


def _looks(file: Path) -> tuple[int, ...]:
    try:
        found = file.stat()
    except OSError as error:
        return (error.errno or 0,)
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns
