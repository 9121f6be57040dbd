"""What the mirror does while the store is full: it passes on what clients ask for, and keeps nothing of it.

The store on this disk leaves its last share free, and pushes are refused before they reach it (`zotpy.store.space`).
The same holds for everything that the mirror would write. A store elsewhere says by itself when it is full.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import structlog
import trio

from zotpy.store.interface import StoreFull
from zotpy.store.space import Space

if TYPE_CHECKING:
    from zotpy.mirror.copying import Copy

REFUSED_S = 10.0
"""How long nothing is offered to a store that has said that it is full."""
NOTED_APART_S = 60.0
"""How often the log says at most that nothing is kept, if the store is full again and again."""
log = structlog.get_logger()


class NoRoom(StoreFull):
    """What was to be kept is longer than the room that is left."""


class Fullness:
    """Whether the store has room for what is fetched."""

    def __init__(self, space: Space | None = None) -> None:
        """Without a space the store has room until it says otherwise."""
        self._space = space or Space()
        self._copies: set[Copy] = set()
        self._refused_until = float("-inf")
        self._is_noted = False
        self._silent_until = float("-inf")

    def has_room(self, size_bytes: int = 0) -> bool:
        """Say whether this many bytes can be kept, beside all that copies under way still have to write."""
        if trio.current_time() < self._refused_until:
            return False
        coming_bytes = sum(copy.missing_bytes for copy in self._copies)
        if not self._space.has_room(coming_bytes + size_bytes):
            self._note(self._space.reason())
            return False
        self._is_noted = False
        return True

    def check(self, size_bytes: int) -> None:
        """Raise `NoRoom` if there is no room."""
        if not self.has_room(size_bytes):
            raise NoRoom(self._space.reason())

    @contextmanager
    def counting(self, copy: "Copy") -> Iterator[None]:
        """Count a copy among those that write, within the block."""
        self._copies.add(copy)
        try:
            yield
        finally:
            self._copies.discard(copy)

    @contextmanager
    def noting(self) -> Iterator[None]:
        """End the block if the store is full, and take note of it.

        If the store itself said so, it is offered nothing for a moment.
        """
        try:
            yield
        except StoreFull as error:
            if not isinstance(error, NoRoom):
                self._refused_until = trio.current_time() + REFUSED_S
            self._note(str(error))

    def _note(self, reason: str) -> None:
        """Log that something is not kept: once, until there is room again."""
        if not self._is_noted and (now := trio.current_time()) >= self._silent_until:
            self._silent_until = now + NOTED_APART_S
            log.warning("mirror_keeps_nothing", reason=reason)
        self._is_noted = True
