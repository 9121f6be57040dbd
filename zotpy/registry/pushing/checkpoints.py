"""States of an upload that are saved while its body goes on, so that a client whose replica dies sends less again."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import trio

from zotpy.core.upload_state import UploadState

Checkpoint = Callable[[UploadState], Awaitable[None]]
"""Saves a state from which the upload can go on."""


@dataclass(eq=False, slots=True)
class Checkpoints:
    """Says after which parts a state is saved, and saves one at a time, none older than one that was saved."""

    save: Checkpoint | None
    """`None` if the body is the upload's last: a client that sends it again begins it anew."""
    every_bytes: int
    """How many bytes are sent from one checkpoint to the next."""
    last_end: int = 0
    """How many bytes the upload has up to the last checkpoint."""
    body_ended: bool = False
    """Once true, no state is saved: the caller gets one that is newer."""
    _saving: trio.Lock = field(default_factory=trio.Lock)
    _saved_number: int = 0

    def is_due(self, end: int) -> bool:
        """Whether a part that ends here is the next checkpoint."""
        return self.save is not None and end - self.last_end >= self.every_bytes

    async def reach(self, number: int, state: Callable[[], UploadState]) -> None:
        """Save the state after the part of this number, unless a later one was saved, or the body has ended."""
        async with self._saving:
            if self.save is not None and not self.body_ended and number > self._saved_number:
                self._saved_number = number
                await self.save(state())
