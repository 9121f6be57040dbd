"""Files that are read again when they change, also when Kubernetes points a link at another directory."""

from collections.abc import Awaitable, Callable
from pathlib import Path

import trio

from zotpy.bell import Bell

LOOK_INTERVAL_S = 5.0
"""How often the files are checked."""
Signature = tuple[tuple[int, ...], ...]
"""What `stat` says of each file. It follows links, so a link that points elsewhere is a change as well."""


def signature_of(*files: Path) -> Signature:
    """Return what changes if one of the files changes. A file that cannot be seen has a signature, too."""
    return tuple(_looks(file) for file in files)


async def keep_looking(look: Callable[[], Awaitable[object]], bell: Bell) -> None:
    """Call `look` every few seconds, and whenever the bell is rung, until cancelled."""
    while True:
        with trio.move_on_after(LOOK_INTERVAL_S):
            await bell.rung()
        await look()


def _looks(file: Path) -> tuple[int, ...]:
    try:
        found = file.stat()
    except OSError as error:
        return (error.errno or 0,)
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns
